"""Is a structure a zeolite's silica: tetrahedra that share corners, in three dimensions, and which net they make?

Four oxygens within 1.45 to 1.80 Å of every silicon, two silicons of every oxygen, nothing in between; no two tetrahedra
with an edge in common; one framework that runs on in three dimensions. The net is named by coordination sequences and
angle cycles (`gen.zeolites.topology`) against the four-connected nets of the RCSR and the types of the IZA atlas.
"""

from dataclasses import dataclass

import numpy as np
import pydantic
from pymatgen.core import Structure

from gen.zeolites.bonding import bonded_framework
from gen.zeolites.framework import Framework
from gen.zeolites.generation import net_fault
from gen.zeolites.geometry import bond_lengths, bonded_pairs
from gen.zeolites.known_nets import identify
from gen.zeolites.topology import angle_cycles
from potentials.config import Config
from potentials.errors import GeometryError
from potentials.gate import geometry_fault
from screening.candidate import Candidate, Evaluation, Property


class SilicaSettings(Config):
    """Limits of the test."""

    min_ring: int = pydantic.Field(default=3, ge=3)  # tetrahedra; no silica zeolite known has three-rings alone
    known: bool = True  # False: a net that has a name is refused


@dataclass(frozen=True)
class SilicaReport:
    """What a four-connected framework of SiO2 looks like."""

    framework: Framework
    key: str  # of its net
    names: tuple[str, ...]  # RCSR symbols and IZA codes of that net, none where it is new
    mean_bond: float  # Å
    angle: tuple[float, float]  # degrees, smallest and mean Si-O-Si
    tetrahedron: float  # degrees, root mean square of O-Si-O about 109.47
    smallest_ring: int  # tetrahedra, of the shortest cycle
    density: float  # Si per 1000 Å^3


def analyse_silica(structure: Structure) -> SilicaReport:
    """Test a structure and name its net.

    Raises:
        GeometryError: it is no four-connected silica; the reason in one sentence.
    """
    fault = geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    if fault:
        raise GeometryError(fault)
    framework = bonded_framework(structure)
    if fault := net_fault(framework):
        raise GeometryError(fault)
    key, names = identify(framework)
    bridges = _bridge_angles(framework)
    cycles = angle_cycles(*framework.edges(), framework.n_silicon)
    return SilicaReport(
        framework=framework,
        key=key,
        names=names,
        mean_bond=float(bond_lengths(framework).mean()),
        angle=(float(bridges.min()), float(bridges.mean())),
        tetrahedron=float(np.sqrt(((_tetrahedron_angles(framework) - 109.4712) ** 2).mean())),
        smallest_ring=int(cycles[cycles > 0].min(initial=99)),
        density=framework.density,
    )


def evaluate_silica(candidate: Candidate, settings: SilicaSettings, seed: int) -> Evaluation:
    """Refuse what is no four-connected silica; name the net of what is.

    Properties: `four_connected` (bool), `known_net` (bool, the names in its note), `framework_density` (Si per 1000
    Å^3), `mean_si_o_angstrom`, `mean_si_o_si_degree`, `tetrahedron_deviation_degree` and `smallest_ring`. Nothing is
    random; `seed` is not used.
    """
    method = "Si-O of 1.45 to 1.80 Å, corner sharing, three dimensions"
    try:
        report = analyse_silica(candidate.structure)
    except GeometryError as error:
        return Evaluation((Property("four_connected", 0.0, "bool", method=method, note=str(error)),), str(error))
    naming = "coordination sequences to ten shells and angle cycles, against RCSR nets and IZA types"
    properties = (
        Property("four_connected", 1.0, "bool", method=method),
        Property("known_net", float(bool(report.names)), "bool", method=naming, note=", ".join(report.names)),
        Property("framework_density", report.density, "Si/1000 Å^3"),
        Property("mean_si_o_angstrom", report.mean_bond, "Å"),
        Property("mean_si_o_si_degree", report.angle[1], "degree"),
        Property("tetrahedron_deviation_degree", report.tetrahedron, "degree", method="RMS of O-Si-O about 109.47"),
        Property("smallest_ring", float(report.smallest_ring), "", method="tetrahedra of the shortest cycle"),
    )
    reason = None
    if report.smallest_ring < settings.min_ring:
        reason = f"its smallest ring has {report.smallest_ring} tetrahedra, below {settings.min_ring}"
    elif report.names and not settings.known:
        reason = f"its net is known: {', '.join(report.names)}"
    return Evaluation(properties, reason)


def _bridge_angles(framework: Framework) -> np.ndarray:
    """[2T] degrees, Si-O-Si."""
    count = framework.n_silicon
    ends = framework.frac[framework.silicon] + framework.images - framework.frac[count:, None]
    return _angles(ends[:, 0] @ framework.lattice, ends[:, 1] @ framework.lattice)


def _tetrahedron_angles(framework: Framework) -> np.ndarray:
    """[6T] degrees, O-Si-O."""
    oxygens, silicons, shifts = bonded_pairs(framework)[0]
    vectors = (framework.frac[oxygens] - framework.frac[silicons] - shifts) @ framework.lattice
    around = vectors[np.argsort(silicons, kind="stable")].reshape(-1, 4, 3)
    first, second = np.triu_indices(4, 1)
    return _angles(around[:, first].reshape(-1, 3), around[:, second].reshape(-1, 3))


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
