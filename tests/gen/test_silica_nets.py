"""Nets, signatures, least squares and bonds of silica frameworks."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gen.zeolites.bonding import assigned_framework, bonded_framework
from gen.zeolites.framework import supercell
from gen.zeolites.geometry import bond_lengths, relax_geometry
from gen.zeolites.nets import four_connected_nets, silica_of_net
from gen.zeolites.topology import (
    coordination_sequences,
    double_edges,
    net_key,
    parts_and_dimension,
    signature,
)
from potentials.errors import GeometryError, InputError

# International Zeolite Association, Database of Zeolite Structures (SOD, CHA), and RCSR (dia, qtz)
PUBLISHED = {
    "dia": (4, 12, 24, 42, 64, 92, 124, 162, 204, 252),
    "qtz": (4, 12, 30, 52, 80, 116, 156, 204, 258, 318),
    "sod": (4, 10, 20, 34, 52, 74, 100, 130, 164, 202),
    "cha": (4, 9, 17, 29, 45, 64, 85, 110, 140, 173),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_coordination_sequences_are_the_published_ones(name: str) -> None:
    framework = silica_of_net(name)
    table = coordination_sequences(*framework.edges(), framework.n_silicon)
    assert {tuple(row) for row in table.tolist()} == {PUBLISHED[name]}


def test_signature_tells_lta_from_rho_and_not_a_net_from_its_supercell() -> None:
    lta, rho = (signature(*f.edges(), f.n_silicon) for f in (silica_of_net("lta"), silica_of_net("rho")))
    assert lta[0][0][:10] == rho[0][0][:10]  # their coordination sequences agree
    assert net_key(lta) != net_key(rho)
    sod = silica_of_net("sod")
    larger = supercell(sod, np.array([[1, 1, 0], [0, 2, 1], [0, 0, 1]]))
    assert larger.n_silicon == 2 * sod.n_silicon
    assert net_key(signature(*larger.edges(), larger.n_silicon)) == net_key(signature(*sod.edges(), sod.n_silicon))
    assert np.allclose(np.sort(bond_lengths(larger)), np.sort(np.tile(bond_lengths(sod), 2)))


@pytest.mark.parametrize(("name", "density"), [("sod", 16.7), ("cha", 15.1)])
def test_least_squares_give_the_framework_density_of_the_atlas(name: str, density: float) -> None:
    (relaxed,) = relax_geometry([silica_of_net(name)])
    assert relaxed.framework.density == pytest.approx(density, abs=0.3)
    assert np.allclose(bond_lengths(relaxed.framework), 1.61, atol=0.02)


def test_result_does_not_depend_on_company() -> None:
    nets = [silica_of_net(name) for name in ("sod", "qtz", "gis")]
    together, alone = relax_geometry(nets), [relax_geometry([net])[0] for net in nets]
    for a, b in zip(together, alone, strict=True):
        assert np.allclose(a.framework.lattice, b.framework.lattice, atol=1e-8)


def test_bonds_are_read_and_assigned_as_they_were_made() -> None:
    (relaxed,) = relax_geometry([silica_of_net("sod")])
    folded = relaxed.framework.folded()
    assert bonded_framework(folded.to_structure()).same_bonds(folded)
    random = np.random.default_rng(0)
    structure = folded.to_structure()
    rough = Structure(structure.lattice, structure.species, structure.frac_coords + 0.02 * random.random((18, 3)))
    with pytest.raises(GeometryError, match="Å"):
        bonded_framework(rough)
    found = assigned_framework(rough)
    assert net_key(signature(*found.edges(), 6)) == net_key(signature(*folded.edges(), 6))


def test_assignment_refuses_what_cannot_be_bonded() -> None:
    with pytest.raises(GeometryError, match="not SiO2"):
        assigned_framework(Structure(Lattice.cubic(6), ["Si", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    far = Structure(Lattice.cubic(30), ["Si", "O", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.2, 0.5, 0.5]])
    with pytest.raises(GeometryError, match=r"3\.4"):
        assigned_framework(far)


def test_library_has_four_connected_nets_only_where_it_says() -> None:
    names = four_connected_nets()
    assert {"sod", "cha", "qtz", "lta"} <= set(names)
    assert "pcu" not in names
    with pytest.raises(InputError, match="four each"):
        silica_of_net("pcu")
    with pytest.raises(InputError, match="no net"):
        silica_of_net("nosuchnet")
    with pytest.raises(InputError, match="above 4"):
        silica_of_net("sod", max_silicon=4)


def test_shared_edges_parts_and_dimension() -> None:
    pairs = np.array([[0, 1], [0, 1], [0, 1], [0, 1]])
    layer = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert double_edges(pairs, layer) == 1
    assert parts_and_dimension(pairs, layer, 2) == (1, 2)
    sod = silica_of_net("sod")
    assert parts_and_dimension(*sod.edges(), 6) == (1, 3)


def test_nets_that_run_through_each_other_are_counted() -> None:
    """Diamond's net, and the same joined to its images two cells away along one vector: two of it in one crystal."""
    framework = silica_of_net("dia")
    pairs, cells = framework.edges()
    assert parts_and_dimension(pairs, cells, framework.n_silicon) == (1, 3)
    assert parts_and_dimension(pairs, cells * [1, 1, 2], framework.n_silicon) == (2, 3)
    assert parts_and_dimension(pairs, cells @ np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 3]]), 2) == (6, 3)
    assert parts_and_dimension(pairs, cells * [1, 1, 0], framework.n_silicon) == (1, 2)
