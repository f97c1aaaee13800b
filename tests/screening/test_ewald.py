"""Ewald sums: Madelung constants, independence of the split, the potential of a host, and NIST's water boxes."""

import functools
import io
import re
import tarfile

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from potentials.files import data_root
from screening.adsorption.batched.ewald import COULOMB, ewald_energy, screening
from screening.adsorption.batched.host_field import host_field, mixed, site_energies, tail_integral
from screening.adsorption.force_fields import FORCE_FIELDS, HostGuestModel
from screening.adsorption.framework import Host
from screening.adsorption.gases import TRAPPE

ROCK_SALT = 1.7475645946331822  # Madelung constants: R. E. Crandall, J. P. Buhler, J. Phys. A 20, 5497 (1987)
CAESIUM_CHLORIDE = 1.7626747730709884
ZINC_BLENDE = 1.6380550533887898


FACE_CENTRED = np.array([[0.0, 2.5, 2.5], [2.5, 0.0, 2.5], [2.5, 2.5, 0.0]])
SHEARED = FACE_CENTRED + np.outer([0.0, 0.0, 1.0], FACE_CENTRED[0])  # c + a in place of c


@pytest.mark.parametrize(
    ("cell", "second", "nearest", "madelung"),
    [
        (FACE_CENTRED, (2.5, 0.0, 0.0), 2.5, ROCK_SALT),
        (SHEARED, (2.5, 0.0, 0.0), 2.5, ROCK_SALT),  # the same lattice in another cell
        (np.eye(3) * 4.0, (2.0, 2.0, 2.0), 2.0 * 3**0.5, CAESIUM_CHLORIDE),
        (FACE_CENTRED, (1.25, 1.25, 1.25), 1.25 * 3**0.5, ZINC_BLENDE),
    ],
)
def test_madelung_constants(cell, second, nearest, madelung):
    positions = np.array([[0.0, 0.0, 0.0], second])
    energy = ewald_energy(positions, np.array([1.0, -1.0]), cell, cutoff=9.0, precision=1e-10)
    assert -energy.total * nearest / COULOMB == pytest.approx(madelung, abs=1e-7)


def triclinic_salt(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(cell, positions, charges) of a random neutral set of twelve charges in a skewed cell."""
    rng = np.random.default_rng(seed)
    cell = np.array([[9.0, 0.0, 0.0], [3.1, 8.0, 0.0], [-2.0, 2.5, 10.0]])
    charges = rng.normal(size=12)
    return cell, rng.random((12, 3)) @ cell, charges - charges.mean()


def test_the_split_does_not_matter():
    cell, positions, charges = triclinic_salt()
    totals = [
        ewald_energy(positions, charges, cell, cutoff=cutoff, precision=1e-8).total for cutoff in (6.0, 9.0, 13.0)
    ]
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-6)


def test_default_precision_is_one_in_a_million():
    cell, positions, charges = triclinic_salt(5)
    exact = ewald_energy(positions, charges, cell, cutoff=12.0, precision=1e-12)
    found = ewald_energy(positions, charges, cell, cutoff=12.0)
    scale = abs(exact.total) + abs(exact.self)
    assert abs(found.total - exact.total) < 3e-6 * scale


def test_charged_cell_is_refused():
    with pytest.raises(InputError, match=r"sum to 1\.000000 e"):
        ewald_energy(np.zeros((1, 3)), np.ones(1), np.eye(3) * 10.0, cutoff=6.0)


def test_potential_of_a_host_is_the_change_of_the_ewald_energy():
    # two opposite charges brought into the host: their energy in its potential is what the sum gains by having both
    cell, positions, charges = triclinic_salt(8)
    structure = Structure(Lattice(cell), ["O"] * 12, positions, coords_are_cartesian=True)
    symbols = ("O",) * 12
    model = HostGuestModel(truncation="truncated")
    host = Host(structure, symbols, symbols, charges, "given", (3, 3, 3), model, FORCE_FIELDS["uff-trappe"])
    field = host_field(host, [TRAPPE["CO2"]])
    points = np.array([[1.0, 2.0, 3.0], [4.5, -3.0, 17.0]])  # the second outside the cell
    _, potential = site_energies(field, points, np.zeros(2, dtype=int))
    probe = np.array([0.3, -0.3])
    energies = [
        ewald_energy(np.concatenate(p), np.concatenate(q), cell, cutoff=12.0).total
        for p, q in (([positions, points], [charges, probe]), ([positions], [charges]), ([points], [probe]))
    ]
    assert float(probe @ potential) == pytest.approx(energies[0] - energies[1] - energies[2], abs=0.02)


# --- NIST's SPC/E water in triclinic boxes, configurations as gRASPA keeps them (G25, G26)

NIST = "sorbents/graspa/graspa_examples.tar.xz"
# Lennard-Jones, its tail, real, fourier, self + intramolecular; K. NIST Standard Reference Simulation Website, "SPC/E
# Water Reference Calculations - Non-cuboid cell - 10 Å cutoff"
PUBLISHED = {
    1: (111992.0, -4109.19, -727219.0, 44677.0, -146595.0),
    2: (43286.0, -2105.61, -476902.0, 44409.4, -109946.0),
    3: (14403.3, -1027.3, -297129.0, 28897.4, -73298.0),
    4: (25025.1, -163.091, -171462.0, 22337.2, -36648.0),
}
OXYGEN = (78.19743111, 3.16555789)  # K, Å


@functools.cache
def nist_box(box: int) -> tuple[np.ndarray, np.ndarray]:
    """(cell, positions [n, 3, 3]) of a box of water molecules, oxygen first."""
    path = data_root() / NIST
    if not path.exists():
        pytest.skip(f"{NIST} is not in the data folder")
    with tarfile.open(path) as tar:
        name = f"Examples/Reference_NIST_SPCE/Box-{box}/RestartInitial/System_0/restartfile"
        stream = tar.extractfile(name)
        assert stream is not None
        text = io.TextIOWrapper(stream).read()
    cell = [row.split() for row in re.findall(r"^cell-vector-.:(.*)$", text, re.M)]
    atoms = re.findall(r"^Adsorbate-atom-position:\s+\d+\s+\d+\s+(\S+)\s+(\S+)\s+(\S+)", text, re.M)
    return np.array(cell, dtype=float), np.array(atoms, dtype=float).reshape(-1, 3, 3)


@pytest.mark.parametrize("box", [3, 4])
def test_nist_water_electrostatics(box):
    _, _, real, fourier, both = PUBLISHED[box]
    cell, waters = nist_box(box)
    n = len(waters)
    charges = np.tile([-0.8476, 0.4238, 0.4238], n)
    positions = waters.reshape(-1, 3)
    energy = ewald_energy(positions, charges, cell, cutoff=10.0, alpha=0.285, molecules=np.repeat(np.arange(n), 3))
    assert energy.real == pytest.approx(real, rel=5e-6)
    assert energy.self + energy.intramolecular == pytest.approx(both, rel=3e-5)
    # the published sum stops at about a thousand wave vectors, a weight of 5e-4; ours has all
    assert energy.fourier == pytest.approx(fourier, rel=0.012)


def lennard_jones_liquid(kernel, centres: np.ndarray, cell: np.ndarray):
    """(model, state) of the compiled kernel for single-site molecules without a host."""
    epsilon, sigma = OXYGEN
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    n = len(centres)
    model = kernel.Model(
        box=cell, box_inverse=np.linalg.inv(cell), cell=cell, cell_inverse=np.linalg.inv(cell),
        repeats=np.ones(3, dtype=np.int64), grids=np.zeros((1, 4, 4, 4), dtype=np.float32),
        site_count=np.array([1]), site_kind=np.zeros((1, 1), dtype=np.int64), site_position=np.zeros((1, 1, 3)),
        reach=np.zeros(1), repulsion=4.0 * epsilon * sigma**12 * one, attraction=4.0 * epsilon * sigma**6 * one,
        shift=none, coulomb=none, pair_tail=none, cutoff=10.0, centre_cutoff=10.0, voxels=np.ones(3, dtype=np.int64),
        charge=np.zeros(1), alpha=0.0, waves=np.zeros((0, 3), dtype=np.int64), wave_weights=np.zeros(0), most_wave=0,
        own_energy=np.zeros(1),
        voxel_volume=1.0, roomy=np.zeros((1, 1), dtype=bool), peak=np.ones(1), cavity_share=0.0, exclusion=none,
        stencil=np.zeros((0, 3)), steps_to=np.zeros((0, 3), dtype=np.int64),
        stencil_length=np.zeros((1, 1), dtype=np.int64),
        density=one, alias_share=one, alias=np.zeros((1, 1), dtype=np.int64), blocked_centres=np.zeros((0, 3)),
        blocked_squares=np.zeros(0), blocked_first=np.zeros(2, dtype=np.int64), beta=1.0 / 300.0,
        activity=np.zeros(1), moves=np.ones(5),
    )  # fmt: skip
    state = kernel.State(
        centres=np.array(centres), turns=np.zeros((n, 3, 3)), sites=np.zeros((n, 1, 3)),
        component=np.zeros(n, dtype=np.int64), host_energy=np.zeros(n), count=np.array([n]), energy=np.zeros(2),
        factor=np.zeros((0, 2)),
        taken=np.zeros((1, 1), dtype=np.int16), free=np.ones(1), free_list=np.zeros((1, 1), dtype=np.int32),
        free_place=np.zeros((1, 1), dtype=np.int32), free_count=np.ones(1, dtype=np.int64), work=np.zeros(1),
        steps=np.ones((1, 2)), tried=np.zeros((1, 5), dtype=np.int64), accepted=np.zeros((1, 5), dtype=np.int64),
        random=np.ones(4, dtype=np.uint64),
    )  # fmt: skip
    return model, state


@pytest.mark.parametrize("box", [1, 2, 3, 4])
def test_nist_water_lennard_jones(box):
    dispersion, tail, *_ = PUBLISHED[box]
    cell, waters = nist_box(box)
    kernel = pytest.importorskip("screening.adsorption.batched.gcmc_kernel")
    model, state = lennard_jones_liquid(kernel, waters[:, 0], cell)
    pairs = sum(
        kernel.guest_energy(model, state, len(waters), j, 0, state.centres[j], state.sites[j])
        for j in range(len(waters))
    )
    assert 0.5 * pairs == pytest.approx(dispersion, rel=1e-4)
    epsilon, sigma = mixed(*(np.array([value]) for value in (*OXYGEN, *OXYGEN)))
    volume = abs(np.linalg.det(cell))
    assert 0.5 * len(waters) ** 2 / volume * tail_integral(epsilon, sigma, 10.0)[0, 0] == pytest.approx(tail, rel=1e-5)


def test_screening_and_cutoff_agree():
    assert screening(12.0) * 12.0 == pytest.approx(np.sqrt(-np.log(1e-6)))
