"""The front door of `gen`: load a trained generator by name, sample structures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from pymatgen.core import Structure

from gen.crystals import generation
from gen.crystals.checkpoint import WEIGHTS as WEIGHTS
from gen.crystals.checkpoint import CrystalModel, find_checkpoint, read_model
from gen.crystals.inpainting import Fixed, Start
from gen.crystals.properties import PropertySpec
from gen.crystals.sampling import SamplingConfig
from gen.crystals.screen import Screen, ScreenConfig, load_screen, screened_crystals
from potentials.config import parse_config
from potentials.errors import InputError

if TYPE_CHECKING:
    from gen.sorbents.generator import SorbentGenerator


class Generator:
    """A trained crystal generator; `from_pretrained("sorbents")` gives its sibling for porous frameworks.

    >>> Generator.from_pretrained("crystals").sample(4, seed=1, conditions={"chemical_system": "Li-P-S"})
    """

    def __init__(self, model: CrystalModel) -> None:
        self.model = model

    @overload
    @classmethod
    def from_pretrained(  # type: ignore[overload-overlap]  # a name is a text, of another generator
        cls, name: Literal["sorbents"], device: str = "cpu"
    ) -> "SorbentGenerator": ...

    @overload
    @classmethod
    def from_pretrained(cls, name: str | Path = "crystals", device: str = "cpu") -> "Generator": ...

    @classmethod
    def from_pretrained(cls, name: str | Path = "crystals", device: str = "cpu") -> Any:
        """Load shipped weights by name, or a checkpoint folder by path.

        A checkpoint of the sorbent generator, by name or by path, gives a `gen.sorbents.generator.SorbentGenerator`.

        Raises:
            InputError: no such weights, or a damaged checkpoint.
        """
        folder = find_checkpoint(name)
        if _kind(folder) == "sorbents":
            from gen.sorbents.generator import SorbentGenerator

            return SorbentGenerator.from_pretrained(folder, device)
        return cls(read_model(folder, device))

    @property
    def properties(self) -> tuple[PropertySpec, ...]:
        """What the network was taught to be steered by, with the range of values it saw."""
        return self.model.properties

    def sample(
        self,
        n: int,
        *,
        seed: int,
        conditions: Mapping[str, Any] | None = None,
        start: int = 0,
        **options: Any,
    ) -> list[Structure]:
        """Generate `n` crystals as the model makes them: `generate` with nothing drawn again unless asked.

        Args:
            start: index of the first structure; more of the same stream are had by raising it.
            options: those of `generate`.
        """
        return self.generate(n, seed=seed, conditions=conditions, first=start, **{"resample_invalid": False, **options})

    def generate(
        self,
        n: int,
        *,
        seed: int = 0,
        conditions: Mapping[str, Any] | None = None,
        guidance: float | None = None,
        fixed: Fixed | Structure | None = None,
        start: Start | Structure | None = None,
        noise: float = 0.3,
        first: int = 0,
        batch_size: int = 64,
        progress: bool = False,
        resample_invalid: bool = True,
        symmetrize: bool = False,
        symprec: float = 0.1,
        screen: Screen | ScreenConfig | Mapping[str, Any] | int | None = None,
        **settings: Any,
    ) -> list[Structure]:
        """Generate `n` crystals under conditions, around a fixed part, or from a given structure.

        Structure i depends on (seed, first + i), what is asked for and the settings, not on `n` or `batch_size`.

        Args:
            conditions: `num_atoms`, `chemical_system`, `composition`, `required_elements`, `allowed_elements`,
                `excluded_elements`, `space_group`, and any property of `self.properties`;
                see `gen.crystals.conditions.parse_conditions`.
            guidance: weight of property conditions, 1 plain, by default 2.
            fixed: part of a structure to complete; a plain structure is kept whole, and `num_atoms` beyond its size
                adds atoms to it. Its sites come first in the results, in its cell.
            start: a structure to start from, at `noise` (or as its `Start` says): 0 itself, 1 nothing left of it.
            first: index of the first structure; more of the same stream are had by raising it.
            resample_invalid: draw crystals that fail the geometry gate again, at most ten times; otherwise they are
                returned, marked in `properties["fault"]`.
            symmetrize: impose the symmetry spglib finds within `symprec` Å and give the primitive cell; not
                available around a fixed part, which it would move.
            screen: draw several candidates for each structure and return the one that a fast potential finds most
                stable: how many, or settings as `ScreenConfig` has them (`gen.crystals.screen`). Draws candidates
                that fail the gate again whatever `resample_invalid` says.
            settings: fields of `SamplingConfig`, e.g. steps=50, temperature=0.9, resample=3.

        Returns:
            Structures with their provenance in `properties`: model hash, seed, index, conditions, settings.

        Raises:
            InputError: an unknown condition, element or setting, or a request the model cannot meet.
        """
        if n < 0:
            raise InputError(f"n = {n} is negative: ask for 0 or more structures")
        if guidance is not None:
            settings["guidance"] = guidance
        if symmetrize and fixed is not None:
            raise InputError("symmetrize would move what is fixed: drop one of the two")
        chosen = load_screen(screen)
        asked: dict[str, Any] = {
            "conditions": conditions,
            "config": parse_config(SamplingConfig, settings, "sampling"),
            "batch_size": batch_size,
            "progress": progress,
            "fixed": Fixed(fixed) if isinstance(fixed, Structure) else fixed,
            "start": Start(start, noise) if isinstance(start, Structure) else start,
        }
        indices = range(first, first + n)
        if chosen is None:
            results = generation.generate_crystals(
                self.model, indices, seed, resample_invalid=resample_invalid, **asked
            )
        else:
            results = screened_crystals(self.model, indices, seed, chosen, **asked)
        structures = []
        for result in results:
            if result.structure is None:
                raise InputError(
                    f"structure {result.index} failed {result.attempts} times ({result.fault}): "
                    "raise steps, or check the checkpoint"
                )
            structures.append(generation.symmetrize(result.structure, symprec) if symmetrize else result.structure)
        return structures


def _kind(folder: Path) -> str:
    """What a checkpoint says it is; whatever is wrong with it is found when it is read."""
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(description.get("kind")) if isinstance(description, dict) else ""
