"""A stability screen: several candidates are drawn for each crystal, and a fast potential says which one is returned.

Drawing is cheap beside what follows, so a filter pays even where it is often wrong. Each candidate is rattled, relaxed
for a few steps by a potential distilled from the one that judges crystals in the twin, and placed above a hull of that
same fast potential. Its energies are wrong by tens of meV an atom, which is why its word is only used to choose among
candidates, and why a second judge of another origin belongs beside any rate measured after it.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pymatgen.core import Structure

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.gate import geometry_fault
from gen.crystals.generation import Generated, generate_crystals
from gen.crystals.inpainting import Fixed, Start
from gen.crystals.rattle import rattled
from gen.crystals.sampling import SamplingConfig
from gen.evaluation.hull import CREDIBLE, SCREEN_TABLE, HullTable, energy_above_hull, potential_key, read_table
from potentials.config import Config, parse_config
from potentials.errors import InputError

if TYPE_CHECKING:
    from potentials.potential import Potential


class ScreenConfig(Config):
    """How the crystal that is returned is chosen; the defaults were chosen on seeds of their own."""

    candidates: int = Field(default=8, ge=1)  # drawn for each crystal returned, at most
    limit: float | None = 0.05  # eV/atom above the hull: the first candidate at most this high; None: the lowest
    rattle: float = Field(default=0.05, ge=0)  # Å, before relaxing: off the saddles of a symmetry
    max_steps: int = Field(default=15, ge=0)  # of relaxation; what needs many is seldom as stable as it looks then
    fmax: float = Field(default=0.1, gt=0)  # eV/Å; below its own error the fast potential's forces are noise
    potential: str = "sorbus-crystals"  # the hull's own
    hull: str | None = None  # table of reference energies by it; None: the shipped one

    def describe(self) -> str:
        """One phrase for protocols."""
        rule = "the lowest" if self.limit is None else f"the first below {self.limit} eV/atom, else the lowest,"
        return (
            f"screened: of {self.candidates} candidates {rule} above the hull of {self.potential} after at most "
            f"{self.max_steps} steps with it (rattled by {self.rattle} Å first), returned as drawn"
        )


@dataclasses.dataclass(frozen=True)
class Screened:
    """What the fast potential says of one candidate."""

    structure: Structure | None  # relaxed; None where that failed
    above_hull: float | None  # eV/atom; None without an energy or a hull, or where it is incredibly low
    reason: str | None = None  # why there is no figure


class Screen:
    """A loaded potential with its hull; loading takes a second, so keep one for many calls.

    Raises:
        InputError: the hull is of another potential.
    """

    def __init__(self, config: ScreenConfig | None = None) -> None:
        from potentials.potential import load_potential  # a second of imports, which drawing alone needs not

        self.config = config or ScreenConfig()
        self.table: HullTable = read_table(self.config.hull or SCREEN_TABLE)
        key = potential_key(self.config.potential)
        if self.table.potential != key:
            raise InputError(
                f"the screen's hull is by {self.table.potential}, its potential is {key}: they cannot be compared, "
                "give screen.hull of the same potential (python -m gen.evaluation.build_hull screen)"
            )
        self.potential: Potential = load_potential(self.config.potential)

    def judge(self, structures: Sequence[Structure], *, progress: bool = False) -> list[Screened]:
        """Relax crystals for a few steps and place them above the fast potential's hull, each on its own account."""
        from potentials.relaxation import relax

        config = self.config
        starts = [rattled(structure, config.rattle) if config.rattle else structure for structure in structures]
        relaxed = relax(
            starts,
            self.potential,
            fmax=config.fmax,
            max_steps=config.max_steps,
            optimizer="lbfgs",
            progress=progress,
        )
        found = []
        for result in relaxed:
            if result.failure is not None or result.energy is None:
                found.append(Screened(None, None, result.failure or "no energy"))
                continue
            structure = result.structure
            if fault := geometry_fault(structure.frac_coords, structure.lattice.matrix):
                found.append(Screened(None, None, fault))
                continue
            above = energy_above_hull(structure.composition, result.energy / len(structure), self.table)
            if above.energy is not None and above.energy < CREDIBLE:
                found.append(Screened(structure, None, f"{above.energy:.2f} eV/atom above the hull is not credible"))
            else:
                found.append(Screened(structure, above.energy, above.reason))
        return found

    def is_enough(self, row: Screened | None) -> bool:
        """Whether a candidate is below the limit, so that no further one is needed; None stands for an unusable one."""
        limit = self.config.limit
        return limit is not None and row is not None and row.above_hull is not None and row.above_hull <= limit

    def choose(self, judged: Sequence[Screened | None]) -> int:
        """Place of the candidate to return: the first below the limit, else the lowest, else one that is usable."""
        for place, row in enumerate(judged):
            if self.is_enough(row):
                return place
        heights = [math.inf if row is None or row.above_hull is None else row.above_hull for row in judged]
        if min(heights) < math.inf:
            return heights.index(min(heights))
        # none has a figure: one that can be relaxed, then one that is a crystal at all
        ranks = [2 if row is None else int(row.structure is None) for row in judged]
        return ranks.index(min(ranks))


def screened_crystals(
    model: CrystalModel,
    indices: Sequence[int],
    seed: int,
    screen: Screen,
    conditions: Mapping[str, Any] | None = None,
    config: SamplingConfig | None = None,
    *,
    batch_size: int = 64,
    progress: bool = False,
    fixed: Fixed | None = None,
    start: Start | None = None,
) -> list[Generated]:
    """Generate one screened crystal for each index, in the order given; arguments as `generate_crystals`.

    Candidates that fail the geometry gate are drawn again.

    Candidate k of index i is crystal `i * candidates + k` of the unscreened stream of the same seed, so it depends on
    (seed, i), the conditions and the settings alone, never on the batch. It is returned as it was drawn, with whatever
    holds of it; what the screen found is in `properties["screen"]`.
    """
    count = screen.config.candidates
    drawn: dict[int, list[Generated]] = {index: [] for index in indices}
    judged: dict[int, list[Screened | None]] = {index: [] for index in indices}
    for part in _rounds(count, all_at_once=screen.config.limit is None):
        waiting = [index for index in drawn if not any(screen.is_enough(row) for row in judged[index])]
        fresh = generate_crystals(
            model,
            [index * count + k for index in waiting for k in part],
            seed,
            conditions,
            config,
            batch_size=batch_size,
            resample_invalid=True,
            progress=progress,
            fixed=fixed,
            start=start,
        )
        sound = [g.structure for g in fresh if g.structure is not None and g.fault is None]
        found = iter(screen.judge(sound, progress=progress))
        rows = [next(found) if g.structure is not None and g.fault is None else None for g in fresh]
        for place, index in enumerate(waiting):
            mine = slice(place * len(part), (place + 1) * len(part))
            drawn[index] += fresh[mine]
            judged[index] += rows[mine]
    results = []
    for index in indices:
        k = screen.choose(judged[index])
        results.append(_returned(drawn[index][k], judged[index], index, k, screen.config))
    return results


def _rounds(count: int, *, all_at_once: bool) -> list[range]:
    """Candidates 0..count-1 in rounds that double; most crystals need no more than the first, and a batch is quick."""
    if all_at_once:
        return [range(count)]
    edges = [0, 1]
    while edges[-1] < count:
        edges.append(min(2 * edges[-1], count))
    return [range(first, last) for first, last in itertools.pairwise(edges)]


def _returned(
    drawn: Generated, judged: Sequence[Screened | None], index: int, k: int, config: ScreenConfig
) -> Generated:
    """The chosen candidate as it was drawn, under the index asked for, with what the screen found."""
    if drawn.structure is None:
        return dataclasses.replace(drawn, index=index)
    chosen = judged[k]
    found = {
        "chosen": k,
        "above_hull": [None if row is None or row.above_hull is None else round(row.above_hull, 4) for row in judged],
        "reason": None if chosen is None else chosen.reason,
    }
    structure = drawn.structure.copy()
    screen = {**config.model_dump(mode="json"), **found}
    structure.properties = {**drawn.structure.properties, "index": index, "screen": screen}
    return dataclasses.replace(drawn, index=index, structure=structure)


def load_screen(value: "Screen | ScreenConfig | Mapping[str, Any] | int | bool | None") -> Screen | None:
    """A screen from what a caller may say: settings, a number of candidates, True for the defaults, None for none."""
    if value is None or value is False:
        return None
    if isinstance(value, Screen):
        return value
    if isinstance(value, ScreenConfig):
        return Screen(value)
    given = {} if value is True else {"candidates": value} if isinstance(value, int) else dict(value)
    return Screen(parse_config(ScreenConfig, given, "screen"))
