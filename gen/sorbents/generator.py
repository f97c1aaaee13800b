"""The front door of sorbent generation: what `Generator.from_pretrained("sorbents")` gives."""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from gen.crystals.checkpoint import find_checkpoint
from gen.crystals.properties import PropertySpec
from gen.sorbents.bead_model import BeadModel, read_bead_model
from gen.sorbents.beads import Beads
from gen.sorbents.generation import GeneratedSorbent, generate_sorbents
from gen.sorbents.inpainting import Fixed, Start
from gen.sorbents.sampling import SorbentSampling
from potentials.config import parse_config
from potentials.errors import InputError

logger = logging.getLogger(__name__)


class SorbentGenerator:
    """A trained generator of porous frameworks from building blocks.

    >>> SorbentGenerator.from_pretrained().generate(4, seed=1, conditions={"void_fraction": 0.8, "metals": "Zn"})
    """

    def __init__(self, model: BeadModel) -> None:
        self.model = model

    @classmethod
    def from_pretrained(cls, name: str | Path = "sorbents", device: str = "cpu") -> "SorbentGenerator":
        """Load shipped weights by name, or a checkpoint folder by path.

        Raises:
            InputError: no such weights, or a damaged checkpoint.
        """
        return cls(read_bead_model(find_checkpoint(name), device))

    @property
    def properties(self) -> tuple[PropertySpec, ...]:
        """What the network was taught to be steered by, with the range of values it saw."""
        return self.model.properties

    def sample(
        self, n: int, *, seed: int, conditions: Mapping[str, Any] | None = None, start: int = 0, **options: Any
    ) -> list[Structure]:
        """Generate `n` frameworks as the model makes them: those of one attempt each that could be assembled.

        Args:
            start: index of the first; more of the same stream are had by raising it.
            options: those of `generate`.
        """
        return self.generate(n, seed=seed, conditions=conditions, first=start, **{"resample_invalid": False, **options})

    def generate(self, n: int, *, seed: int = 0, **options: Any) -> list[Structure]:
        """Generate `n` frameworks under conditions, around a fixed part, or from a given framework.

        Framework i depends on (seed, first + i), what is asked for and the settings, not on `n` or `batch_size`.
        Those that could not be assembled are left out, with a line in the log; `results` tells why.

        Args:
            options: those of `results`.

        Returns:
            Structures with their provenance in `properties`: model hash, seed, index, conditions, settings, net,
            blocks, metals.

        Raises:
            InputError: an unknown condition, block, metal, net or setting, or a request the model cannot meet.
        """
        results = self.results(n, seed=seed, **options)
        faults = Counter(result.fault.split(":")[0] for result in results if result.fault is not None)
        if faults:
            listed = ", ".join(f"{count} {name}" for name, count in faults.most_common())
            logger.warning("%d of %d frameworks could not be built (%s)", faults.total(), n, listed)
        return [result.structure for result in results if result.structure is not None]

    def results(
        self,
        n: int,
        *,
        seed: int = 0,
        conditions: Mapping[str, Any] | None = None,
        guidance: float | None = None,
        fixed: Fixed | Beads | None = None,
        start: Start | Beads | None = None,
        noise: float = 0.3,
        first: int = 0,
        batch_size: int = 64,
        progress: bool = False,
        resample_invalid: bool = True,
        **settings: Any,
    ) -> list[GeneratedSorbent]:
        """One outcome for each of `n` frameworks, beads and the reason for a failure included.

        Args:
            conditions: `metals`, `nodes`, `linkers`, `net`, `num_beads`, `max_atoms`, `mofs`, `cofs`, `neutral`, and
                any property of `self.properties`; see `gen.sorbents.conditions.parse_conditions`.
            guidance: weight of property conditions, 1 plain, by default that of `SorbentSampling`.
            fixed: part of a framework to keep; plain beads are kept whole but for the blocks of their linkers.
            start: a framework to start from, at `noise` (or as its `Start` says): 0 itself, 1 nothing left of it.
            first: index of the first; more of the same stream are had by raising it.
            resample_invalid: draw frameworks that cannot be assembled again, at most five times.
            settings: fields of `SorbentSampling`, e.g. steps=25, temperature=0.9.

        Raises:
            InputError: as `generate`.
        """
        if n < 0:
            raise InputError(f"n = {n} is negative: ask for 0 or more frameworks")
        if guidance is not None:
            settings["guidance"] = guidance
        return generate_sorbents(
            self.model,
            range(first, first + n),
            seed,
            conditions,
            parse_config(SorbentSampling, settings, "sampling"),
            batch_size=batch_size,
            resample_invalid=resample_invalid,
            progress=progress,
            fixed=Fixed(fixed, ("nodes", "coordinates", "lattice")) if isinstance(fixed, Beads) else fixed,
            start=Start(start, noise) if isinstance(start, Beads) else start,
        )
