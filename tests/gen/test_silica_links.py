"""Four-connected nets through silicon sites."""

import numpy as np
import pytest

from gen.zeolites.framework import Framework
from gen.zeolites.geometry import relax_geometry
from gen.zeolites.links import linked
from gen.zeolites.nets import silica_of_net
from gen.zeolites.topology import net_key, parts_and_dimension, signature


def _relaxed(name: str) -> Framework:
    return relax_geometry([silica_of_net(name)])[0].framework


def _key(pairs: np.ndarray, cells: np.ndarray, count: int) -> str:
    return net_key(signature(pairs, cells, count))


@pytest.mark.parametrize("name", ["sod", "qtz", "gis", "cha"])
def test_sites_of_a_framework_are_linked_as_it_is(name: str) -> None:
    framework = _relaxed(name)
    sites = framework.frac[: framework.n_silicon]
    nets = linked(framework.lattice, sites, count=3, seed=0)
    assert nets == sorted(nets, key=lambda net: net.cost)
    assert _key(nets[0].pairs, nets[0].cells, len(sites)) == _key(*framework.edges(), len(sites))
    made = nets[0].framework(framework.lattice, sites)
    assert np.allclose(made.frac[: len(sites)], sites)
    ends = sites[made.silicon] + made.images - made.frac[len(sites) :, None]
    assert np.allclose(ends.sum(1), 0, atol=1e-9)  # every oxygen in the middle of its link


def test_rough_sites_of_no_symmetry_are_linked() -> None:
    framework = _relaxed("sod")
    count = framework.n_silicon
    noise = 0.15 * np.random.default_rng(1).standard_normal((count, 3)) @ np.linalg.inv(framework.lattice)
    nets = linked(framework.lattice, framework.frac[:count] + noise, count=6, seed=0)
    assert _key(*framework.edges(), count) in {_key(net.pairs, net.cells, count) for net in nets}


@pytest.mark.parametrize("seed", range(5))
def test_every_net_is_four_connected_in_one_part_and_three_dimensions(seed: int) -> None:
    random = np.random.default_rng(seed)
    lattice = 7.5 * np.eye(3) + 0.8 * random.standard_normal((3, 3))
    sites = random.random((8, 3))
    nets = linked(lattice, sites, count=6, seed=seed, rounds=6)
    assert nets
    for net in nets:
        assert (np.bincount(net.pairs.ravel(), minlength=8) == 4).all()
        assert parts_and_dimension(net.pairs, net.cells, 8) == (1, 3)
    codes = {tuple(sorted(map(tuple, np.hstack([net.pairs, net.cells]).tolist()))) for net in nets}
    assert len(codes) == len(nets)
    again = linked(lattice, sites, count=6, seed=seed, rounds=6)
    assert [net.cost for net in again] == [net.cost for net in nets]


def test_links_that_symmetry_makes_equal_stand_or_fall_together() -> None:
    """Fourfold inversion axes through every site of cristobalite's net: all its links are one class."""
    framework = _relaxed("dia")
    sites = framework.frac[: framework.n_silicon]
    (net, *_) = linked(framework.lattice, sites, count=1, seed=0)
    vectors = (sites[net.pairs[:, 1]] + net.cells - sites[net.pairs[:, 0]]) @ framework.lattice
    assert np.ptp(np.linalg.norm(vectors, axis=1)) < 1e-3


def test_sites_too_far_from_each_other_have_no_net() -> None:
    assert linked(30 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), count=3, seed=0) == []
