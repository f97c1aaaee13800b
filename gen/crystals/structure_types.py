"""Structure types of known crystals: space group, Wyckoff sites and cell, without coordinates or lengths.

Over 98 % of known crystals have some symmetry, and crystals of one stoichiometry and similar elements tend to share it:
substitution of elements into known types is the oldest way to propose crystals (Hautier et al. 2011, "Data mined ionic
substitutions", Inorg. Chem. 50), and knowing space group and Wyckoff sites is worth more to a diffusion model than
anything else (Jiao et al. 2024, DiffCSP++). Here a type is what the training crystals of a checkpoint have; which one a
composition gets is drawn by how much its elements are alike, and the free coordinates and the lattice are the model's.
"""

import collections
import functools
import gzip
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import spglib
import torch
from pymatgen.core import Element

from gen.crystals.dataset import SYMPREC, CrystalDataset
from gen.crystals.frames import Frame, frame_of
from gen.crystals.wyckoff import SHIFTS, SpaceGroup, space_group
from potentials.bars import progress_bar
from potentials.errors import InputError
from potentials.files import write_atomic

FILE = "structure_types.json.gz"
ON_SITE = 0.02  # fractional, how far a representative may lie off its Wyckoff site


@dataclass(frozen=True)
class StructureType:
    """Where the atoms of a primitive Niggli cell sit, and which of them are of one species."""

    space_group: int
    sites: tuple[tuple[int, int], ...]  # (Wyckoff position in `SpaceGroup.orbits`, slot of its species, rarest first)
    basis: tuple[int, ...]  # 9 integers, rows: the Niggli vectors in the group's primitive basis


@dataclass(frozen=True)
class KnownTypes:
    """Structure types of a training set with the elements found in them."""

    types: tuple[StructureType, ...]
    # by atoms of each species, fewest first: (type, atomic number in each slot) of the crystals that have them
    crystals: Mapping[tuple[int, ...], tuple[tuple[int, tuple[int, ...]], ...]]

    def nearest(self, numbers: Sequence[int]) -> float:
        """Mean unlikeness of the elements to those of the most alike known crystal of another composition.

        Infinite where no other known crystal of this many atoms has the stoichiometry of `numbers`.
        """
        weighed = self.weigh(numbers)
        if weighed is None:
            return math.inf
        others = weighed[1][weighed[1] > 1e-9]
        return float(others.min()) if len(others) else math.inf

    def draw(
        self, numbers: Sequence[int], generator: torch.Generator, likeness: float
    ) -> tuple[Frame, list[int]] | None:
        """A frame for a cell of these atoms, and their atomic numbers in its order; None for an unknown stoichiometry.

        A known crystal is drawn with probability exp(-d / likeness), d the mean unlikeness of the elements put in
        place of its own; where species of equal number could take places with each other, the likest way counts.
        """
        weighed = self.weigh(numbers)
        if weighed is None:
            return None
        kinds, unlike, named = weighed
        weights = np.exp(-(unlike - unlike.min()) / likeness).cumsum()
        chosen = int(np.searchsorted(weights, float(torch.rand(1, generator=generator)) * weights[-1]))
        chosen = min(chosen, len(kinds) - 1)
        seed = int(torch.randint(2**62, (1,), generator=generator))
        frame = type_frame(self.types[kinds[chosen]], np.random.default_rng(seed))
        return frame, [int(named[chosen, slot]) for slot in frame.species.tolist()]

    def weigh(self, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Known crystals of the stoichiometry of `numbers`: their types [K], mean unlikeness [K], and the atomic
        number that each slot would get [K, S]; None where there is none."""
        counts = sorted(collections.Counter(numbers).items(), key=lambda item: (item[1], item[0]))
        sizes = tuple(count for _, count in counts)
        known = self.crystals.get(sizes)
        if not known:
            return None
        kinds = np.array([kind for kind, _ in known])
        old = np.array([slots for _, slots in known])
        best = np.full(len(known), np.inf)
        named = np.zeros_like(old)
        # species of equal number may trade places
        alike = [[z for z, count in counts if count == size] for size in sorted(set(sizes))]
        for order in itertools.product(*(itertools.permutations(species) for species in alike)):
            new = np.array([z for species in order for z in species])
            unlike = unlikeness(old, new) @ np.array(sizes) / len(numbers)
            better = unlike < best - 1e-12
            best[better], named[better] = unlike[better], new
        return kinds, best, named


def type_frame(structure_type: StructureType, random: np.random.Generator) -> Frame:
    """The constraint of a structure type, free coordinates left to chance; `species` are its slots."""
    group = space_group(structure_type.space_group)
    drawn = [(group.orbits[orbit], slot) for orbit, slot in structure_type.sites]
    return frame_of(group, drawn, np.array(structure_type.basis, dtype=float).reshape(3, 3), random)


def find_type(
    lattice: np.ndarray, frac: np.ndarray, numbers: np.ndarray
) -> tuple[StructureType, tuple[int, ...]] | None:
    """Structure type of a primitive Niggli cell and the atomic number in each slot.

    Args:
        lattice: [3, 3] Å, rows.
        frac: [N, 3].
        numbers: [N].

    Returns:
        None where spglib finds no symmetry within 0.01 Å, or nothing but P1, or its cell is not primitive.
    """
    cell = (lattice, frac, numbers)
    found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)  # type: ignore[arg-type]
    if found is None or found.number == 1:
        return None
    group = space_group(found.number)
    if len(found.rotations) != len(group.rotations):
        return None
    # x_standard = P x + p, so the standard vectors are P^-T L and those of the primitive cell basis P^-T L
    primitive = group.basis @ np.linalg.inv(found.transformation_matrix).T @ lattice
    basis = np.rint(lattice @ np.linalg.inv(primitive))
    if round(abs(float(np.linalg.det(basis)))) != 1:
        return None
    basis *= np.sign(np.linalg.det(basis))
    standard = frac @ found.transformation_matrix.T + found.origin_shift
    placed = standard @ np.linalg.inv(group.basis)  # x_standard = basis^T x_primitive for columns
    sites = []
    for leader in sorted(set(found.crystallographic_orbits.tolist())):
        members = found.crystallographic_orbits == leader
        orbit = _orbit_of(group, placed[members])
        if orbit is None:
            return None
        sites.append((orbit, int(numbers[leader])))
    sites.sort()
    met = list(dict.fromkeys(z for _, z in sites))
    slots = sorted(met, key=lambda z: int((numbers == z).sum()))  # stable: at equal number as met
    named = tuple((orbit, slots.index(z)) for orbit, z in sites)
    return StructureType(found.number, named, tuple(int(b) for b in basis.ravel())), tuple(slots)


def collect_types(
    cells: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], base: KnownTypes | None = None
) -> KnownTypes:
    """Structure types of primitive Niggli cells (lattice, frac, numbers), those without symmetry left out.

    Args:
        base: types known already, kept.
    """
    places: dict[StructureType, int] = {}
    crystals: dict[tuple[int, ...], set[tuple[int, tuple[int, ...]]]] = collections.defaultdict(set)
    if base is not None:
        places = {kind: place for place, kind in enumerate(base.types)}
        crystals.update({sizes: set(entries) for sizes, entries in base.crystals.items()})
    for cell in cells:
        found = find_type(*cell)
        if found is None:
            continue
        kind = places.setdefault(found[0], len(places))
        crystals[tuple(sorted(_slot_sizes(found[0])))].add((kind, found[1]))
    return KnownTypes(tuple(places), {sizes: tuple(sorted(kinds)) for sizes, kinds in sorted(crystals.items())})


def write_types(
    folder: str | Path,
    dataset: CrystalDataset,
    base: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    progress: bool = False,
) -> Path:
    """Write `structure_types.json.gz` of a data set's training crystals into a checkpoint folder.

    A file of the same data is left as it is.

    Args:
        base: another checkpoint folder, whose types are kept beside them.
        cache: folder in which the types of this very data are kept for other runs; not used with `base`.
        progress: show a bar; finding them takes some milliseconds a crystal.
    """
    path = Path(folder) / FILE
    if _data_of(path) == dataset.sha256:
        return path
    kept = Path(cache) / f"structure-types-{dataset.sha256[:16]}.json.gz" if cache is not None and not base else None
    if kept is not None and _data_of(kept) == dataset.sha256:
        return write_atomic(path, kept.read_bytes())
    old = read_types(base) if base is not None else None
    cells = (
        (lattice.double().numpy(), frac.double().numpy(), numbers.numpy())
        for group in dataset.train.values()
        for lattice, frac, numbers in zip(group.lattice, group.frac, group.numbers, strict=True)
    )
    total = sum(len(group) for group in dataset.train.values())
    bar = progress_bar(cells, total=total, desc="find structure types", unit="crystal", progress=progress)
    save_types(folder, collect_types(bar, old), dataset.sha256)
    if kept is not None:
        write_atomic(kept, path.read_bytes())
    return path


def save_types(folder: str | Path, known: KnownTypes, data_sha256: str) -> Path:
    """Write `structure_types.json.gz` into a checkpoint folder; `data_sha256` names the data they were found in."""
    payload = {
        "data_sha256": data_sha256,
        "types": [[kind.space_group, kind.sites, kind.basis] for kind in known.types],
        "sizes": [_slot_sizes(kind) for kind in known.types],  # follow from the types, and take seconds to work out
        "crystals": [entry for entries in known.crystals.values() for entry in entries],
    }
    text = json.dumps(payload, separators=(",", ":")).encode()
    return write_atomic(Path(folder) / FILE, gzip.compress(text, mtime=0))  # no time stamp: same data, same bytes


def read_types(folder: str | Path) -> KnownTypes | None:
    """Read `structure_types.json.gz` of a checkpoint folder; None where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        payload = json.loads(gzip.decompress(path.read_bytes()))
        types = tuple(
            StructureType(int(group), tuple((int(o), int(s)) for o, s in sites), tuple(int(b) for b in basis))
            for group, sites, basis in payload["types"]
        )
        atoms = payload["sizes"] if "sizes" in payload else [_slot_sizes(kind) for kind in types]
        keys = [tuple(sorted(int(size) for size in sizes)) for sizes in atoms]
        crystals: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = collections.defaultdict(list)
        for kind, slots in payload["crystals"]:
            crystals[keys[kind]].append((int(kind), tuple(int(z) for z in slots)))
        return KnownTypes(types, {sizes: tuple(entries) for sizes, entries in crystals.items()})
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"cannot read {path} ({error}): copy the checkpoint folder again") from None


def _data_of(path: Path) -> str | None:
    """Hash of the data a file was made from, None where there is none or it is damaged."""
    try:
        return str(json.loads(gzip.decompress(path.read_bytes()))["data_sha256"])
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def _orbit_of(group: SpaceGroup, atoms: np.ndarray) -> int | None:
    """Index of the Wyckoff position of the atoms [M, 3] of one orbit in the primitive cell."""
    images = atoms - np.floor(atoms)
    best, nearest = None, ON_SITE
    for index, orbit in enumerate(group.orbits):
        if orbit.size != len(atoms):
            continue
        across = np.eye(3) - orbit.projector  # what of a difference does not run along the site
        off = np.abs((images[:, None] - orbit.offset + SHIFTS) @ across.T).max(-1).min()
        if off < nearest - 1e-9:
            best, nearest = index, float(off)
    return best


@functools.lru_cache(maxsize=65536)
def _slot_sizes(structure_type: StructureType) -> tuple[int, ...]:
    """Atoms in each slot."""
    orbits = space_group(structure_type.space_group).orbits
    sizes = [0] * (1 + max(slot for _, slot in structure_type.sites))
    for orbit, slot in structure_type.sites:
        sizes[slot] += orbits[orbit].size
    return tuple(sizes)


def unlikeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How unlike elements are: distance in Mendeleev number, electronegativity, radius and valence, each scaled.

    Atomic numbers that broadcast against each other.
    """
    table = _descriptors()
    return np.linalg.norm(table[first] - table[second], axis=-1)


@functools.lru_cache(maxsize=1)
def _descriptors() -> np.ndarray:
    """[104, 4] of the elements by atomic number."""
    rows = [(0.0, 0.0, 0.0, 0.0)]
    for number in range(1, 104):
        element = Element.from_Z(number)
        # light noble gases have none, and the table warns of it
        electronegativity = element.X if number not in (2, 10, 18) else 2.2
        states = element.common_oxidation_states
        valence = float(np.mean(states)) if states else 0.0
        radius = float(element.atomic_radius or 1.5)
        rows.append((element.mendeleev_no / 25.0, electronegativity / 0.5, radius / 0.3, valence / 3.0))
    return np.array(rows)
