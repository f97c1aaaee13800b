"""The front door of `gen`: load a trained generator by name, sample structures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from gen.crystals import generation
from gen.crystals.checkpoint import WEIGHTS as WEIGHTS
from gen.crystals.checkpoint import CrystalModel, find_checkpoint, read_model
from gen.crystals.sampling import SamplingConfig
from potentials.config import parse_config
from potentials.errors import InputError


class Generator:
    """A trained crystal generator.

    >>> Generator.from_pretrained("crystals").sample(4, seed=1, conditions={"chemical_system": "Li-P-S"})
    """

    def __init__(self, model: CrystalModel) -> None:
        self.model = model

    @classmethod
    def from_pretrained(cls, name: str | Path = "crystals", device: str = "cpu") -> "Generator":
        """Load shipped weights by name, or a checkpoint folder by path.

        Raises:
            InputError: no such weights, or a damaged checkpoint.
        """
        return cls(read_model(find_checkpoint(name), device))

    def sample(
        self,
        n: int,
        *,
        seed: int,
        conditions: Mapping[str, Any] | None = None,
        start: int = 0,
        batch_size: int = 64,
        progress: bool = False,
        resample_invalid: bool = False,
        symmetrize: bool = False,
        symprec: float = 0.1,
        **settings: Any,
    ) -> list[Structure]:
        """Generate `n` crystals.

        Structure i depends on (seed, start + i), the conditions and the settings, not on `n` or `batch_size`.

        Args:
            conditions: `num_atoms`, `chemical_system` ("Li-P-S") and/or `composition` ("Li3PS4").
            start: index of the first structure; more of the same stream are had by raising it.
            resample_invalid: draw crystals that fail the geometry gate again (the command line does); by default
                they are returned, marked in `properties["fault"]`, so that metrics see what the model makes.
            symmetrize: impose the symmetry spglib finds within `symprec` Å.
            settings: fields of `SamplingConfig`, e.g. steps=50, temperature=0.9.

        Returns:
            Structures with their provenance in `properties`: model hash, seed, index, conditions, settings.

        Raises:
            InputError: an unknown condition, element or setting, or a request the model cannot meet.
        """
        if n < 0:
            raise InputError(f"n = {n} is negative: ask for 0 or more structures")
        config = parse_config(SamplingConfig, settings, "sampling")
        results = generation.generate_crystals(
            self.model,
            range(start, start + n),
            seed,
            conditions,
            config,
            batch_size=batch_size,
            resample_invalid=resample_invalid,
            progress=progress,
        )
        structures = []
        for result in results:
            if result.structure is None:
                raise InputError(
                    f"structure {result.index} failed {result.attempts} times ({result.fault}): "
                    "raise steps, or check the checkpoint"
                )
            structures.append(generation.symmetrize(result.structure, symprec) if symmetrize else result.structure)
        return structures
