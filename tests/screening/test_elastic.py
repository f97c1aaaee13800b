"""Elastic constants: the Lennard-Jones crystal's from lattice sums, Cauchy's relation, bounds, instability."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.ase_potential import effective_medium, lennard_jones
from screening.candidate import Candidate
from screening.elastic import (
    GPA_PER_EV_A3,
    ElasticSettings,
    elasticity,
    evaluate_elasticity,
    orientation_bounds,
    strained,
)

EPSILON, SIGMA = 0.0103, 3.4
# Lattice sums of fcc over r^-12 and r^-6 (C. Kittel, Introduction to Solid State Physics)
A12, A6 = 12.13188, 14.45392


def argon() -> Structure:
    nearest = (2 * A12 / A6) ** (1 / 6) * SIGMA
    a = nearest * np.sqrt(2)
    return Structure(Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]), ["Ar"], [[0, 0, 0]])


def test_lennard_jones_crystal_has_the_bulk_modulus_of_its_lattice_sums():
    potential = lennard_jones(epsilon=EPSILON, sigma=SIGMA, cutoff=5 * SIGMA)
    found = elasticity(argon(), potential, ElasticSettings(strain=0.002))
    expected = 4 * EPSILON / SIGMA**3 * A12 * (A6 / A12) ** 2.5 * GPA_PER_EV_A3  # 75.2 epsilon / sigma^3
    assert expected == pytest.approx(75.2 * EPSILON / SIGMA**3 * GPA_PER_EV_A3, rel=2e-3)
    assert found.bulk_modulus == pytest.approx(expected, rel=0.015)  # the cut-off leaves out 0.7 %
    assert abs(found.residual_pressure) < 0.02 * expected
    assert found.stable
    assert found.converged


def test_tensor_agrees_with_the_bulk_modulus_and_obeys_cauchy():
    potential = lennard_jones(epsilon=EPSILON, sigma=SIGMA, cutoff=3 * SIGMA)
    bulk = elasticity(argon(), potential, ElasticSettings(strain=0.002))
    found = elasticity(argon(), potential, ElasticSettings(what="tensor", strain=0.002))
    c = found.stiffness
    assert found.bulk_modulus == pytest.approx(bulk.bulk_modulus, rel=2e-3)
    assert found.bulk_modulus == pytest.approx((c[0, 0] + 2 * c[0, 1]) / 3, rel=1e-3)
    assert c[0, 1] == pytest.approx(c[3, 3], rel=0.03)  # central forces, an atom at every inversion centre
    assert c[:3, 3:] == pytest.approx(np.zeros((3, 3)), abs=0.02)
    assert found.shear_bounds[0] <= found.shear_modulus <= found.shear_bounds[1]
    assert found.lowest_eigenvalue > 0
    assert found.stable


def test_stress_difference_equals_the_second_derivative_of_the_energy():
    from potentials.atom_graph import collate, graph_from_structure

    potential, settings = effective_medium(), ElasticSettings(strain=0.003)
    copper = Structure(Lattice([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]]), ["Cu"], [[0, 0, 0]])
    found = elasticity(copper, potential, settings)
    steps = np.array([-0.01, -0.005, 0.0, 0.005, 0.01])
    cells = [strained(copper, step * np.eye(3)) for step in steps]
    energies = potential(collate([graph_from_structure(s) for s in cells]))["energy"].numpy()
    volumes = np.array([s.volume for s in cells])
    second = 2 * np.polyfit(volumes - copper.volume, energies, 4)[2]  # d2E/dV2
    # the stress difference holds the pressure's own part: d(tr sigma)/d eps = 9 V E'' with tr sigma = -3 p
    assert found.bulk_modulus == pytest.approx(copper.volume * second * GPA_PER_EV_A3, rel=0.02)


def test_atoms_relax_in_the_strained_cell():
    # two interpenetrating atoms off their places: clamped constants are higher than relaxed ones
    potential = lennard_jones(epsilon=EPSILON, sigma=SIGMA, cutoff=3 * SIGMA)
    a = argon().lattice.a * np.sqrt(2)
    hexagonal = Structure.from_spacegroup(
        "P6_3/mmc", Lattice.hexagonal(a / np.sqrt(2), a / np.sqrt(2) * 1.633), ["Ar"], [[1 / 3, 2 / 3, 0.25]]
    )
    settings = {"what": "tensor", "fmax": 1e-4, "strain": 0.01}
    relaxed = elasticity(hexagonal, potential, ElasticSettings(**settings))
    clamped = elasticity(hexagonal, potential, ElasticSettings(relax_atoms=False, **settings))
    assert relaxed.converged
    assert relaxed.shear_modulus < 0.995 * clamped.shear_modulus


def test_bounds_of_an_isotropic_body_coincide():
    bulk, shear = 30.0, 12.0
    lame = bulk - 2 * shear / 3
    c = np.diag([2 * shear] * 3 + [shear] * 3) + np.pad(np.full((3, 3), lame), (0, 3))
    (kr, kv), (gr, gv) = orientation_bounds(c)
    assert [kr, kv, gr, gv] == pytest.approx([30.0, 30.0, 12.0, 12.0])


def test_a_simple_cubic_lattice_of_atoms_is_mechanically_unstable():
    potential = lennard_jones(epsilon=EPSILON, sigma=SIGMA, cutoff=4 * SIGMA)
    simple = Structure(Lattice.cubic(1.06 * SIGMA), ["Ar"], [[0, 0, 0]])
    found = elasticity(simple, potential, ElasticSettings(what="tensor"))
    assert found.lowest_eigenvalue < 0
    assert not found.stable


def test_evaluator_gives_numbers_or_the_reason():
    settings = ElasticSettings(potential="lj")
    found = evaluate_elasticity(Candidate("x", 0, argon(), {}), settings, 0)
    names = {p.name: p for p in found.properties}
    assert names["bulk_modulus_gpa"].value > 1.0
    assert names["mechanically_stable"].value == 1.0
    flat = Structure(Lattice.from_parameters(5, 5, 0.2, 90, 90, 90), ["Ar"], [[0, 0, 0]])
    assert "height" in evaluate_elasticity(Candidate("y", 0, flat, {}), settings, 0).rejected
