"""The crystal generator as a proposer of a campaign."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from gen.crystals.generation import Generated, generate_crystals, make_task, symmetrize
from gen.crystals.inpainting import Fixed, Start
from gen.crystals.sampling import SamplingConfig
from gen.crystals.screen import Screen, ScreenConfig, screened_crystals
from gen.generator import Generator
from gen.proposal import Proposal
from potentials.errors import InputError
from potentials.structure_files import read_structure

CHUNK = 32  # structures generated at once; larger batches are hardly faster on a CPU and hold up the campaign


class CrystalSettings(SamplingConfig):
    """What the `crystals` proposer may be told; the sampler's own settings are among them."""

    checkpoint: str = "crystals"  # shipped weights by name, or a checkpoint folder
    conditions: dict[str, Any] = Field(default_factory=dict)  # as `gen.crystals.conditions` describes
    symmetrize: bool = True  # impose the symmetry spglib finds, and give the primitive cell
    symprec: float = Field(default=0.1, gt=0)  # Å
    fix: str | None = None  # structure file, part of which is completed
    fix_sites: tuple[int, ...] | None = None  # its sites to keep; None: all
    fix_what: tuple[Literal["species", "coordinates", "lattice"], ...] = ("species", "coordinates", "lattice")
    start: str | None = None  # structure file to start from
    start_noise: float = Field(default=0.3, gt=0, le=1)  # noise level it is brought to first
    species_noise: float = Field(default=0.0, ge=0, le=1)  # share of its elements that are drawn again
    screen: ScreenConfig | None = None  # draw several candidates for each crystal, return the most stable


class CrystalProposer:
    """Proposes crystals of a trained generator; a faulty geometry is drawn again, up to ten times.

    Raises:
        InputError: no such checkpoint, or conditions it cannot meet.
    """

    name = "crystals"

    def __init__(self, settings: CrystalSettings | None = None) -> None:
        self.settings = settings or CrystalSettings()
        self.sampling = SamplingConfig(**{name: getattr(self.settings, name) for name in SamplingConfig.model_fields})
        self.model = Generator.from_pretrained(self.settings.checkpoint).model
        given = self.settings
        self.fixed = self.start = None
        if given.fix is not None:
            kept = {name: name in given.fix_what for name in ("species", "coordinates", "lattice")}
            self.fixed = Fixed(read_structure(given.fix), given.fix_sites, **kept)
        else:
            _refuse_without("fix", given, ("fix_sites", "fix_what"))
        if given.start is not None:
            self.start = Start(read_structure(given.start), given.start_noise, given.species_noise)
        else:
            _refuse_without("start", given, ("start_noise", "species_noise"))
        self.screen = None if given.screen is None else Screen(given.screen)
        # refuse now what would otherwise fail at the first proposal
        make_task(self.model, given.conditions, self.sampling, self.fixed, self.start)

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one `Proposal` for each index, in order."""
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            for result in self._generated(chunk, seed):
                yield self._proposal(result, seed)

    def _generated(self, indices: range, seed: int) -> list[Generated]:
        asked: dict[str, Any] = {"conditions": self.settings.conditions, "config": self.sampling}
        asked |= {"fixed": self.fixed, "start": self.start}
        if self.screen is None:
            return generate_crystals(self.model, indices, seed, resample_invalid=True, **asked)
        return screened_crystals(self.model, indices, seed, self.screen, **asked)

    def _proposal(self, result: Generated, seed: int) -> Proposal:
        provenance = {
            "proposer": self.name,
            "model_sha256": self.model.sha256,
            "seed": seed,
            "index": result.index,
            "attempts": result.attempts,
            "conditions": self.settings.conditions,
            "sampling": self.sampling.model_dump(mode="json"),
        }
        if self.fixed is not None:
            provenance["fixed"] = {"sites": self.fixed.sites, "what": self.settings.fix_what}
        if self.start is not None:
            provenance["start"] = {"noise": self.start.noise, "species_noise": self.start.species_noise}
        if self.screen is not None and result.structure is not None:
            provenance["screen"] = result.structure.properties["screen"]
        if result.structure is None or result.fault is not None:
            return Proposal(result.index, None, provenance, failure=result.fault)
        if not self.settings.symmetrize or self.fixed is not None:  # a standard cell would not hold the fixed part
            return Proposal(result.index, result.structure, provenance)
        structure = symmetrize(result.structure, self.settings.symprec)
        provenance["space_group"] = structure.properties["space_group"]
        provenance["symprec"] = structure.properties.get("symprec", self.settings.symprec)
        return Proposal(result.index, structure, provenance)


def _refuse_without(file: str, settings: CrystalSettings, names: tuple[str, ...]) -> None:
    """Refuse settings that say what to do with a structure file when there is none."""
    for name in names:
        if getattr(settings, name) != CrystalSettings.model_fields[name].default:
            raise InputError(f"{name} without {file}: name the structure file it is about")
