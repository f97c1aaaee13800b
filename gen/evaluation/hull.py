"""Energy above the convex hull, from a compact table of reference energies of one potential.

The lowest energy any mixture of reference phases can have at a composition is a linear programme over the phases'
amounts (the hull's facet is its basis), solved exactly by the simplex method: no diagram of the whole chemical system
is built. Energies on both sides must come from the same potential, or the difference means nothing.
"""

import collections
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Composition, Element
from scipy.optimize import linprog

import potentials
from potentials.errors import InputError
from potentials.files import sha256_file, write_atomic

TABLE = Path(__file__).parent / "data" / "hull_chgnet.json.gz"
SCREEN_TABLE = Path(__file__).parent / "data" / "hull_sorbus_crystals.json.gz"  # of the distilled potential
FORMAT_VERSION = 1
CREDIBLE = -0.3  # eV/atom; finds lie meV below a known hull: further down a phase is missing, or the potential fails
METASTABLE = 0.1  # eV/atom above the hull, the field's usual limit (Zeni et al. 2025; Sun et al. 2016)


@dataclass(frozen=True)
class Phase:
    """The lowest reference structure of one composition."""

    formula: str  # reduced
    energy: float  # eV/atom
    relaxed: bool  # by the table's potential; otherwise a single point at the published geometry
    source: str = ""  # "" for the crystal pool; element: an elemental crystal; substituted: a guessed compound


@dataclass(frozen=True)
class HullTable:
    """Reference phases of one potential; `potential` names whose energies may be compared with it."""

    phases: Mapping[str, Phase]  # by reduced formula
    potential: str
    protocol: str  # how the energies were had
    data_sha256: str  # of the crystal pool

    def __post_init__(self) -> None:
        # the phases of a system and all its subsystems, found through their least common element
        index: dict[str, list[tuple[frozenset[str], Phase]]] = collections.defaultdict(list)
        for formula, phase in self.phases.items():
            elements = frozenset(Composition(formula).get_el_amt_dict())
            index[min(elements)].append((elements, phase))
        object.__setattr__(self, "_index", dict(index))

    def inside(self, elements: Iterable[str]) -> list[Phase]:
        """Phases made of these elements alone."""
        wanted = frozenset(elements)
        index: dict[str, list[tuple[frozenset[str], Phase]]] = self.__dict__["_index"]
        return [phase for first in sorted(wanted) for own, phase in index.get(first, ()) if own <= wanted]


@dataclass(frozen=True)
class AboveHull:
    """How far a composition's energy lies above the hull."""

    energy: float | None  # eV/atom; negative: below every mixture of reference phases; None: no hull
    compounds: int  # reference phases of two or more elements inside the chemical system
    relaxed_share: float  # of the phases in the equilibrium mixture
    decomposition: tuple[str, ...]  # formulas of that mixture
    reason: str | None = None  # why there is no hull


def energy_above_hull(composition: Composition, energy_per_atom: float, table: HullTable) -> AboveHull:
    """Energy above the hull of the table, in eV/atom.

    A hull needs a reference for every element, and at least one reference compound within the chemical system: without
    any, the elements alone would call every compound stable. A sparse reference can only make the figure too low.
    """
    amounts = {str(symbol): float(share) for symbol, share in composition.fractional_composition.items()}
    elements = sorted(amounts)
    phases = table.inside(elements)
    alone = {next(iter(Composition(p.formula).get_el_amt_dict())) for p in phases if is_element(p.formula)}
    missing = [symbol for symbol in elements if symbol not in alone]
    compounds = sum(not is_element(phase.formula) for phase in phases)
    if missing:
        return AboveHull(None, compounds, 0.0, (), f"no reference for {', '.join(missing)}")
    if len(elements) > 1 and not compounds:
        return AboveHull(None, 0, 0.0, (), f"no reference compound in {'-'.join(elements)}")
    floor, mixture = _lowest_mixture(amounts, phases)
    share = float(np.mean([phase.relaxed for phase in mixture]))
    return AboveHull(energy_per_atom - floor, compounds, share, tuple(phase.formula for phase in mixture))


def is_element(formula: str) -> bool:
    """Whether a reduced formula is of one element."""
    return len(Composition(formula).get_el_amt_dict()) == 1


def hull_energy(composition: Composition, table: HullTable) -> float | None:
    """Energy of the equilibrium mixture in eV/atom, None without a hull."""
    above = energy_above_hull(composition, 0.0, table)
    return None if above.energy is None else -above.energy


def make_table(
    energies: Iterable[tuple[str, float, bool, str]], potential: str, protocol: str, data_sha256: str
) -> HullTable:
    """Keep the lowest of each reduced formula; rows are (formula, eV/atom, relaxed, source)."""
    lowest: dict[str, Phase] = {}
    for formula, energy, relaxed, source in energies:
        reduced = Composition(formula).reduced_formula
        if reduced not in lowest or energy < lowest[reduced].energy:
            lowest[reduced] = Phase(reduced, float(energy), bool(relaxed), source)
    return HullTable(lowest, potential, protocol, data_sha256)


def write_table(table: HullTable, path: str | Path) -> Path:
    """Write the table as gzipped JSON; the same table gives the same bytes."""
    payload = {
        "format_version": FORMAT_VERSION,
        "potential": table.potential,
        "protocol": table.protocol,
        "data_sha256": table.data_sha256,
        "phases": [
            [phase.formula, round(phase.energy, 4), int(phase.relaxed), phase.source]
            for _, phase in sorted(table.phases.items())
        ],
    }
    text = json.dumps(payload, separators=(",", ":")).encode()
    return write_atomic(path, gzip.compress(text, mtime=0))


def read_table(path: str | Path = TABLE) -> HullTable:
    """Read a table of reference energies, by default the shipped one.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        payload = json.loads(gzip.decompress(Path(path).read_bytes()))
        if payload["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {payload['format_version']}, this program reads {FORMAT_VERSION}")
        phases = {row[0]: Phase(row[0], float(row[1]), bool(row[2]), str(row[3])) for row in payload["phases"]}
        return HullTable(phases, str(payload["potential"]), str(payload["protocol"]), str(payload["data_sha256"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"cannot read the hull table {path} ({error}): copy it again, or leave it out") from None


def potential_key(name: str) -> str:
    """What a table says its energies are by: a potential's name, with a hash of the weights of one of ours."""
    shipped = Path(potentials.__file__).parent / "weights" / "crystals"
    weights = (shipped if name == "sorbus-crystals" else Path(name)) / "model.safetensors"
    return f"{name}@{sha256_file(weights)[:12]}" if weights.is_file() else name


def describe(table: HullTable) -> str:
    """One phrase for protocols."""
    phases = table.phases.values()
    relaxed, guessed = sum(p.relaxed for p in phases), sum(p.source == "substituted" for p in phases)
    elements = {symbol for formula in table.phases for symbol in Composition(formula).get_el_amt_dict()}
    return (
        f"hull of {len(phases)} reference compositions over {len(elements)} elements ({guessed} of them substituted "
        f"compounds of pairs without any), all by {table.potential}, {relaxed} relaxed and the others single points"
    )


def _lowest_mixture(amounts: Mapping[str, float], phases: Sequence[Phase]) -> tuple[float, list[Phase]]:
    elements = sorted(amounts)
    columns = np.array(
        [[Composition(phase.formula).get_atomic_fraction(Element(symbol)) for symbol in elements] for phase in phases]
    ).T  # [elements, phases], columns sum to 1
    solved = linprog(
        [phase.energy for phase in phases],
        A_eq=columns,
        b_eq=[amounts[symbol] for symbol in elements],
        bounds=(0, None),
        method="highs-ds",
    )
    if not solved.success:  # cannot happen while every element has a phase
        raise InputError(f"no hull at {dict(amounts)} ({solved.message}): check the table's energies")
    mixture = [phase for phase, share in zip(phases, solved.x, strict=True) if share > 1e-9]
    return float(solved.fun), mixture
