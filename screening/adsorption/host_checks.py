"""What is often wrong with a framework from a crystallographer's file, found before hours go into it.

These are warnings with a remedy: the simulation runs, but its figures may be those of another material. What makes a
simulation impossible (disorder, overlapping atoms, unknown elements, charges that are not neutral, a box that is too
large) is refused where it is found, by the CIF reader and by `prepare_host`.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable

import numpy as np
from pymatgen.core import Composition, Element, Structure

from potentials.cif import WITHOUT_CHARGE
from potentials.gate import cell_heights
from screening.adsorption.force_fields import HostGuestModel, find_force_field
from screening.bonds import BondGraph, Component, bond_graph, components, is_metal
from screening.candidate import Property

SHORT_BOND = 1.2  # times the covalent radii: a covalent neighbour, not a contact
OXO = 1.85  # Å; a terminal oxygen this close to its metal is an oxide (vanadyl 1.6, uranyl 1.8), farther water
CROWDED = 0.7  # of the covalent radii of two nonmetals; triple bonds have 0.77
GENERIC_WELL = 50.0  # K; sets fitted to zeolites give silicon and aluminium less
LARGE_BOX = 6_000  # atoms; a grand-canonical state point then takes minutes


def framework_warnings(structure: Structure, cutoff: float) -> list[str]:
    """Sentences on what looks wrong, each with its remedy; empty when nothing does.

    Args:
        structure: ordered, through the geometry gate.
        cutoff: Å, of the simulation, which decides how often the cell is repeated.
    """
    graph = bond_graph(structure)
    parts = components(graph)
    return [
        *_incomplete_charges(structure),
        *_crowded_pairs(graph),
        *_missing_hydrogen(structure, graph),
        *_loose_parts(structure, graph, parts),
        *_connectivity(parts),
        *_size(structure, cutoff),
    ]


def force_field_warnings(structure: Structure, model: HostGuestModel) -> list[str]:
    """What the force field is known not to describe; empty when nothing is known.

    Generic fields give silicon a well of its own, sets fitted to zeolites leave nearly all to oxygen. In CHA the Henry
    coefficient of CO2 at 298 K is 1.5e-2 mol/(kg Pa) by UFF and by DREIDING, 1.5e-5 by TraPPE-zeo.
    """
    counts = Counter(site.specie.symbol for site in structure)
    tetrahedral = sum(counts[symbol] for symbol in ("Si", "Al", "P", "Ge"))
    field = find_force_field(model.force_field)
    oxide = not counts["C"] and tetrahedral and abs(counts["O"] / tetrahedral - 2.0) < 0.2
    generic = any(field.framework.get(symbol, (0.0,))[0] > GENERIC_WELL for symbol in ("Si", "Al") if counts[symbol])
    if not (oxide and generic):
        return []
    told = f"{field.name} is a generic force field and binds CO2 in zeolites up to a thousand times too strongly: "
    return [told + ("use model.force_field=trappe-zeo" if counts.keys() == {"Si", "O"} else "bring one made for them")]


def with_warnings(properties: Iterable[Property], structure: Structure, model: HostGuestModel) -> tuple[Property, ...]:
    """Properties whose notes end with what the force field is known not to describe."""
    warned = force_field_warnings(structure, model)
    return tuple(dataclasses.replace(one, note="; ".join(filter(None, (one.note, *warned)))) for one in properties)


def _incomplete_charges(structure: Structure) -> Iterable[str]:
    lacking = structure.properties.get(WITHOUT_CHARGE)
    if lacking:
        yield (
            f"the file gives no charge for {lacking} of {len(structure)} atoms, so the charges of all were assigned: "
            "complete them to have them used"
        )


def _crowded_pairs(graph: BondGraph) -> Iterable[str]:
    """Two nonmetals nearer than any bond: alternatives of a disordered part, all in the file."""
    light = ~is_metal(graph.numbers) & (graph.numbers > 1)
    near = np.flatnonzero((graph.ratios < CROWDED) & light[graph.pairs].all(axis=1))
    if len(near):
        closest = near[np.argmin(graph.ratios[near])]
        first, second = (Element.from_Z(int(z)).symbol for z in graph.numbers[graph.pairs[closest]])
        yield (
            f"{len(near)} pairs of atoms are closer than bonds can be (the closest {first} and {second}, "
            f"{graph.distances[closest]:.2f} Å): disorder whose alternatives are all in the file; keep one of them"
        )


def _missing_hydrogen(structure: Structure, graph: BondGraph) -> Iterable[str]:
    """Atoms whose surroundings ask for a hydrogen that is not there."""
    vectors = _bond_vectors(structure, graph)
    metal = is_metal(graph.numbers)
    carbons = oxygens = 0
    for atom, number in enumerate(graph.numbers):
        if number == 6:
            carbons += _bare_carbon(vectors[atom], metal)
        elif number == 8:
            oxygens += _bare_oxygen(vectors[atom], metal)
    if (graph.numbers == 6).any() and not (graph.numbers == 1).any() and carbons:
        yield (
            f"no hydrogen in the file though {carbons} carbon atoms lack one: add the hydrogens "
            "(the crystallographer may have left them out)"
        )
        return
    if carbons:
        yield f"{carbons} carbon atoms lack a hydrogen by their bonds: add the missing hydrogens or check for disorder"
    if oxygens:
        yield (
            f"{oxygens} oxygen atoms are bound to one metal and nothing else: water or hydroxide without its "
            "hydrogens; add them, or remove the water to model the activated framework"
        )


def _bare_carbon(bonds: list[tuple[int, np.ndarray]], metal: np.ndarray) -> bool:
    """A carbon with one neighbour that is no nitrile or carbonyl, or with two at an angle that is not straight."""
    near = [(other, vector) for other, vector in bonds if not metal[other]]
    if len(near) == 1:
        # C#N, C#O and C#C ends are below 1.25 Å; a methyl carbon without hydrogens is not
        return bool(np.linalg.norm(near[0][1]) > 1.28) and len(bonds) == 1
    if len(near) != 2 or len(bonds) > 2:
        return False
    first, second = (vector / np.linalg.norm(vector) for _, vector in near)
    return bool(np.degrees(np.arccos(np.clip(first @ second, -1.0, 1.0))) < 150.0)


def _bare_oxygen(bonds: list[tuple[int, np.ndarray]], metal: np.ndarray) -> bool:
    return len(bonds) == 1 and bool(metal[bonds[0][0]]) and bool(np.linalg.norm(bonds[0][1]) > OXO)


def _bond_vectors(structure: Structure, graph: BondGraph) -> list[list[tuple[int, np.ndarray]]]:
    """For every atom its neighbours and the vectors to them (Å): covalent ones short, to metals as bonded."""
    metal = is_metal(graph.numbers)
    positions = structure.cart_coords
    found: list[list[tuple[int, np.ndarray]]] = [[] for _ in graph.numbers]
    for (i, j), image, share in zip(graph.pairs.tolist(), graph.images, graph.ratios, strict=True):
        if share > SHORT_BOND and not (metal[i] or metal[j]):
            continue
        vector = positions[j] - positions[i] + image @ structure.lattice.matrix
        found[i].append((j, vector))
        found[j].append((i, -vector))
    return found


def _loose_parts(structure: Structure, graph: BondGraph, parts: list[Component]) -> Iterable[str]:
    """Molecules and lone atoms beside a framework."""
    loose = [part for part in parts if part.dimension == 0]
    if not loose or len(loose) == len(parts):
        return
    hydrogens = [part.atoms[0] for part in loose if len(part.atoms) == 1 and graph.numbers[part.atoms[0]] == 1]
    if hydrogens:
        fractional = structure.frac_coords
        apart = structure.lattice.get_all_distances(fractional[hydrogens], fractional)
        apart[np.arange(len(hydrogens)), hydrogens] = np.inf
        yield (
            f"{len(hydrogens)} hydrogen atoms are bound to nothing, the nearest atom {apart.min():.2f} Å away: "
            "misplaced; move them to their atoms, or relax the structure"
        )
    kinds: dict[str, int] = {}
    for part in loose:
        if part.atoms[0] in hydrogens and len(part.atoms) == 1:
            continue
        formula = _formula(graph, part)
        kinds[formula] = kinds.get(formula, 0) + 1
    if not kinds:
        return
    names = ", ".join(f"{count} {name}" for name, count in sorted(kinds.items(), key=lambda kind: -kind[1])[:4])
    more = f" and {len(kinds) - 4} more kinds" if len(kinds) > 4 else ""
    yield (
        f"{names}{more} in the pores, bound to nothing: solvent or counter-ions; remove the solvent, "
        "and keep ions only with charges of their own"
    )


def _connectivity(parts: list[Component]) -> Iterable[str]:
    best = max(part.dimension for part in parts)
    if best < 3:
        kinds = ("separate molecules", "chains", "layers")
        yield (
            f"bonds run on in {best} dimensions ({kinds[best]}), not three: check that no atoms are missing, "
            "and that the packing is meant"
        )


def _size(structure: Structure, cutoff: float) -> Iterable[str]:
    widths = cell_heights(structure.lattice.matrix, np.ones(3, dtype=bool))
    box = int(len(structure) * np.prod(np.ceil(2.0 * cutoff / widths - 1e-9)))
    if box > LARGE_BOX:
        yield f"the simulation box holds {box} atoms, so every point takes minutes: use the primitive cell if it is not"


def _formula(graph: BondGraph, part: Component) -> str:
    symbols, counts = np.unique(graph.numbers[list(part.atoms)], return_counts=True)
    pieces = {Element.from_Z(int(z)).symbol: int(n) for z, n in zip(symbols, counts, strict=True)}
    return Composition.from_dict(pieces).hill_formula.replace(" ", "")
