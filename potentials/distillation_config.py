"""Everything that can be set about the training set of a distilled potential, typed."""

from pathlib import Path
from typing import Annotated

import pydantic

from potentials.config import Config
from potentials.potential import PotentialChoice

Positive = Annotated[float, pydantic.Field(gt=0)]
NotNegative = Annotated[float, pydantic.Field(ge=0)]
Count = Annotated[int, pydantic.Field(ge=1)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class PerturbationConfig(Config):
    """Copies of each structure, strained and rattled: how the surface looks around a minimum."""

    copies: Annotated[int, pydantic.Field(ge=0)] = 2  # beside the structure as it is
    rattles: tuple[Positive, ...] = (0.02, 0.05, 0.1, 0.2)  # Å, standard deviation of a coordinate; a copy draws one
    strain: NotNegative = 0.02  # standard deviation of each component of a symmetric strain
    volume: Annotated[float, pydantic.Field(ge=0, lt=0.6)] = 0.08  # volumes change by up to this share, evenly drawn


class SubstitutionConfig(Config):
    """More compositions than the pool holds: its structures with other elements, which only a teacher can label."""

    count: Annotated[int, pydantic.Field(ge=0)] = 0  # structures made, each labelled once, strained and rattled
    share: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.7  # of a structure's elements that are replaced
    reach: Count = 12  # places on Mendeleev's scale from an element to what replaces it
    rattles: tuple[NotNegative, ...] = (0.0, 0.02, 0.05, 0.1, 0.2)  # Å; each structure draws one
    # A potential that moves some of them towards its own minima before they are perturbed, e.g. an earlier student:
    # they are then like real crystals, and lie where a student relaxes to; null: none
    relaxed_by: PotentialChoice | None = pydantic.Field(default=None, exclude_if=lambda name: name is None)
    # of the structures, where `relaxed_by` is given; with a rattle of 0 unstrained as well
    relaxed: Share = pydantic.Field(default=0.5, exclude_if=lambda share: share == 0.5)
    relaxed_steps: Count = pydantic.Field(default=10, exclude_if=lambda steps: steps == 10)  # of L-BFGS


class TrajectoryConfig(Config):
    """Stages of the teacher's own relaxations: what a relaxation with the distilled potential passes through."""

    share: Share = 0.05  # of the structures of `structures` relaxed too, from `rattle`; of `generated` all are
    rattle: Positive = 0.3  # Å
    steps: tuple[Annotated[int, pydantic.Field(ge=0)], ...] = (0, 2, 5, 10, 20)  # FIRE steps at which it is labelled

    @pydantic.field_validator("steps")
    @classmethod
    def _ascending(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if not steps or list(steps) != sorted(set(steps)):
            raise ValueError("give ascending step numbers such as [0, 2, 5, 10]")
        return steps


class DistillationConfig(Config):
    """`sorbus dataset distill`: one YAML file."""

    out: Path = Path("runs/distill")  # train.extxyz, held_out.extxyz, summary.json, and parts to resume from
    seed: Annotated[int, pydantic.Field(ge=0)] = 0
    teacher: PotentialChoice = "chgnet-fast"  # whatever `load_potential` takes, {name: external, ...} included
    # Structure files or folders, tables (.csv, column `cif`) and archives of CIFs (.tar); compressed or not. A
    # path that is not there is looked for in the data folder ($SORBUS_DATA).
    structures: tuple[Path, ...]  # near their minima, e.g. relaxed by DFT
    generated: tuple[Path, ...] = ()  # far from them, e.g. samples of a generator: all are relaxed by the teacher
    exclude_formulas_of: tuple[Path, ...] = ()  # such files: no structure of a reduced formula found there is used
    count: Count | None = None  # structures drawn from `structures`; null: all
    max_atoms: Count = 20  # of a structure
    min_structures_per_element: Count = 5  # structures with an element rarer than this among those used are left out
    held_out: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.05  # share of the reduced formulas
    validation: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0  # of the others: validation.extxyz, to choose by
    perturbed: PerturbationConfig = PerturbationConfig()
    substituted: SubstitutionConfig = SubstitutionConfig()
    trajectories: TrajectoryConfig = TrajectoryConfig()
    max_force: Positive = 10.0  # eV/Å; frames on which an atom feels more are dropped
    min_contact: Share = 0.5  # of the sum of two covalent radii; frames with closer atoms are dropped unlabelled
    max_atoms_per_batch: Count = 400  # that share a call of the teacher
    part_size: Count = 100  # structures labelled between two saves
    max_minutes: Positive | None = None  # stop then with what there is; run again to go on
