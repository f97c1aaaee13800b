"""Which oxygen is bonded to which silicons: read off the distances, or assigned where the distances are rough."""

import numpy as np
import scipy.optimize
import scipy.sparse
from pymatgen.core import Structure

from gen.crystals.gate import cell_heights
from gen.zeolites.framework import OXYGEN, SILICON, Framework
from potentials.errors import GeometryError

MIN_BOND, MAX_BOND = 1.45, 1.80  # Å; Si-O of silica polymorphs is 1.56 to 1.66 Å
GAP = 2.1  # Å; an atom between MAX_BOND and this is neither bonded nor apart
REACH = 3.4  # Å, farthest silicon an oxygen may be assigned to
CUTS = 8  # times an assignment with shared edges is solved again
PATIENCE_S = 5.0  # seconds for one such solution


def silica_arrays(structure: Structure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lattice [3, 3] Å, silicon [T, 3] and oxygen [2T, 3] fractional coordinates of SiO2.

    Raises:
        GeometryError: other elements, another stoichiometry, or a cell too flat or broken to be searched.
    """
    numbers = np.array(structure.atomic_numbers)
    if not set(numbers.tolist()) <= {SILICON, OXYGEN}:
        others = sorted({str(site.specie) for site in structure} - {"Si", "O"})
        raise GeometryError(f"it holds {', '.join(others)}: silica is Si and O alone")
    silicon, oxygen = structure.frac_coords[numbers == SILICON], structure.frac_coords[numbers == OXYGEN]
    if 2 * len(silicon) != len(oxygen):
        raise GeometryError(f"{len(silicon)} Si and {len(oxygen)} O are not SiO2")
    lattice = structure.lattice.matrix
    if not (np.isfinite(lattice).all() and np.isfinite(structure.frac_coords).all()):
        raise GeometryError("a coordinate or lattice vector is not a number")
    height = float(cell_heights(lattice).min())
    if height < 1.5:
        raise GeometryError(f"cell height {height:.2f} Å is below 1.5 Å")
    return lattice, silicon, oxygen


def bonded_framework(structure: Structure) -> Framework:
    """The framework as its distances show it: bonds of 1.45 to 1.80 Å, four to a silicon and two to an oxygen.

    Raises:
        GeometryError: saying which test fails first, and where.
    """
    lattice, silicon, oxygen = silica_arrays(structure)
    o, s, shifts, lengths = _close_pairs(lattice, oxygen, silicon, GAP)
    short = lengths < MIN_BOND
    if short.any():
        worst = int(lengths.argmin())
        raise GeometryError(f"Si {s[worst]} and O {o[worst]} are {lengths[worst]:.2f} Å apart, below {MIN_BOND} Å")
    bonded = lengths <= MAX_BOND
    for kind, atoms, wanted, count in (("Si", s, 4, len(silicon)), ("O", o, 2, len(oxygen))):
        degrees = np.bincount(atoms[bonded], minlength=count)
        if (degrees != wanted).any():
            odd = int(np.flatnonzero(degrees != wanted)[0])
            other = "O" if kind == "Si" else "Si"
            raise GeometryError(f"{kind} {odd} has {degrees[odd]} {other} within {MAX_BOND} Å, not {wanted}")
    if not bonded.all():
        worst = int(np.flatnonzero(~bonded)[0])
        raise GeometryError(
            f"Si {s[worst]} and O {o[worst]} are {lengths[worst]:.2f} Å apart: neither bonded nor apart"
        )
    return _framework(lattice, silicon, oxygen, o, s, shifts)


def assigned_framework(structure: Structure) -> Framework:
    """The framework whose bonds have the least sum of squared lengths, four to a silicon and two to an oxygen.

    A transportation problem between oxygens and silicons with unit capacities. Where its solution lets two tetrahedra
    share an edge, those bonds are barred from standing together and it is solved again, as a whole-number programme.
    Nothing is moved.

    Raises:
        GeometryError: not SiO2, or no such assignment within `REACH`.
    """
    lattice, silicon, oxygen = silica_arrays(structure)
    o, s, shifts, lengths = _close_pairs(lattice, oxygen, silicon, REACH)
    if len(lengths) == 0:
        raise GeometryError(f"no O lies within {REACH} Å of a Si")
    links = np.arange(len(lengths))
    incidence = scipy.sparse.coo_matrix(
        (np.ones(2 * len(links)), (np.concatenate([o, len(oxygen) + s]), np.concatenate([links, links]))),
        shape=(len(oxygen) + len(silicon), len(links)),
    ).tocsr()
    degrees = np.concatenate([np.full(len(oxygen), 2.0), np.full(len(silicon), 4.0)])
    constraints = [scipy.optimize.LinearConstraint(incidence, degrees, degrees)]
    for _ in range(CUTS):
        solved = scipy.optimize.milp(
            lengths**2,
            integrality=np.ones(len(links)),
            bounds=scipy.optimize.Bounds(0, 1),
            constraints=constraints,
            options={"time_limit": PATIENCE_S, "mip_rel_gap": 1e-3},
        )
        if solved.x is None:
            raise GeometryError(f"no choice of bonds within {REACH} Å gives every Si four O and every O two Si")
        kept = np.flatnonzero(solved.x > 0.5)
        shared = _shared_edges(o[kept], s[kept], shifts[kept])
        if not len(shared):
            break
        barred = scipy.sparse.lil_matrix((len(shared), len(links)))
        for row, four in enumerate(kept[shared]):
            barred[row, four] = 1.0
        constraints.append(scipy.optimize.LinearConstraint(barred.tocsr(), -np.inf, 3))
    return _framework(lattice, silicon, oxygen, o[kept], s[kept], shifts[kept])


def _shared_edges(o: np.ndarray, s: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """[P, 4] the links of every two oxygens that are bonded to the same two silicons; links sorted by oxygen."""
    first, second = np.arange(0, len(o), 2), np.arange(1, len(o), 2)
    seen: dict[tuple[int, ...], int] = {}
    found = []
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        shift = (shifts[b] - shifts[a]).tolist()
        key = min((int(s[a]), int(s[b]), *shift), (int(s[b]), int(s[a]), *(-x for x in shift)))
        if key in seen:
            found.append([a, b, seen[key], seen[key] + 1])
        else:
            seen[key] = a
    return np.array(found, dtype=int).reshape(-1, 4)


def _close_pairs(
    lattice: np.ndarray, oxygen: np.ndarray, silicon: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """O-Si pairs within `cutoff`: oxygen [P], silicon [P], cell of the silicon [P, 3], length [P] Å."""
    import vesin

    count = len(silicon)
    frac = np.concatenate([silicon, oxygen])
    finder = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    i, j, shifts, lengths = finder.compute(frac @ lattice, lattice, True, "ijSd")
    keep = (i >= count) & (j < count)
    order = np.lexsort((j[keep], i[keep]))
    return (
        i[keep][order].astype(np.int64) - count,
        j[keep][order].astype(np.int64),
        shifts[keep][order].astype(np.int64),
        lengths[keep][order],
    )


def _framework(
    lattice: np.ndarray, silicon: np.ndarray, oxygen: np.ndarray, o: np.ndarray, s: np.ndarray, shifts: np.ndarray
) -> Framework:
    order = np.argsort(o, kind="stable")
    return Framework(
        lattice,
        np.concatenate([silicon, oxygen]),
        s[order].reshape(-1, 2),
        shifts[order].reshape(-1, 2, 3),
    )
