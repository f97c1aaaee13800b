"""What may be asked of a generated sorbent: bounds on blocks, rules on sets of them, mistakes named."""

import numpy as np
import pytest
from structures.bead_samples import random_model

from gen.sorbents.beads import DIRECT, EDGE
from gen.sorbents.block_rules import Library, Rules, set_fault
from gen.sorbents.catalog import load_catalog
from gen.sorbents.conditions import match_demands, parse_conditions
from potentials.errors import InputError


@pytest.fixture(scope="module")
def library() -> Library:
    model = random_model()
    return Library.of(model.vocabulary, model.connections, load_catalog())


def parse(conditions, library):
    model = random_model()
    return parse_conditions(conditions, library, load_catalog(), model.role_sets, model.properties)


def tokens(library, *names):
    return [library.names.index(name) for name in names]


def test_nothing_asked_leaves_everything(library):
    asked = parse({}, library)
    assert asked.allowed.all()
    assert asked.role_sets == random_model().role_sets
    assert (asked.rules.max_atoms, asked.rules.neutral, asked.rules.mofs, asked.rules.cofs) == (150, True, True, False)


def test_blocks_of_metals(library):
    asked = parse({"metals": "Zn,Cu"}, library)
    held = [set(block.metals) for t, block in enumerate(library.blocks) if block is not None and asked.allowed[t]]
    assert set().union(*held) == {"Zn", "Cu"}
    ((words, wanted),) = asked.demands
    assert words == "metals Zn,Cu"
    assert all({"Zn", "Cu"} & set(library.blocks[t].metals) and library.connections[t] != EDGE for t in wanted)
    assert not parse({"excluded_metals": ["Zn"]}, library).allowed[tokens(library, "N16")].any()
    assert len(parse({"required_metals": "Zn,Cu"}, library).demands) == 2


def test_nodes_and_linkers(library):
    exactly = parse({"nodes": "N16", "linkers": ["E14", "E9"]}, library)
    assert sorted(np.flatnonzero(exactly.allowed)) == sorted(tokens(library, "N16", "E14", "E9"))
    assert len(exactly.demands) == 3
    assert set(exactly.role_sets) == {(2, 2, 2, 6)}  # N16 has six connections
    some = parse({"allowed_linkers": "E14,direct"}, library)
    is_edge = library.connections == EDGE
    assert sorted(np.flatnonzero(some.allowed & is_edge)) == sorted(tokens(library, "E14", DIRECT))
    assert some.allowed[~is_edge].all()
    assert not parse({"excluded_linkers": "direct"}, library).allowed[tokens(library, DIRECT)].any()


def test_nets_are_held(library):
    (net,) = parse({"net": "pcu"}, library).nets
    assert net.roles == (6, 2, 2, 2)
    assert np.allclose(sorted(net.frac.tolist()), sorted([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]))
    fitting = {library.names[t] for t in np.flatnonzero(net.fits[0])}
    assert fitting == {name for name, rmsd in load_catalog().nets["pcu"].nodes[0].fits.items() if rmsd < 0.3}


def test_values(library):
    assert parse({"void_fraction": "0.5"}, library).values == {"void_fraction": 0.5}


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"void_fractio": 0.5}, "did you mean 'void_fraction'"),
        ({"void_fraction": "much"}, "is not a number"),
        ({"void_fraction": 50}, "far outside the 0.3 to 0.74"),
        ({"metals": "Zm"}, "no block of the library holds 'Zm'"),
        ({"metals": "Zn", "required_metals": "Cu"}, "required_metals asks for Cu, which another condition excludes"),
        ({"nodes": "N1600"}, r"no node of the library is called 'N1600' \(did you mean 'N\d+'"),
        ({"nodes": "E14"}, "E14 is not a node"),
        ({"linkers": "E14", "excluded_linkers": "E14"}, "no block is left for linkers"),
        ({"required_linkers": "E14", "excluded_linkers": "E14"}, "required_linkers E14 is excluded"),
        ({"net": "pcuu"}, "did you mean 'pcu'"),
        ({"net": "pcu", "nodes": "N256"}, "net pcu cannot be filled under these conditions: no block of 6 connections"),
        ({"num_beads": 5}, "they have 4 to 6 beads"),
        ({"num_beads": "9-4"}, "empty range"),
        ({"num_beads": True}, "num_beads = 'True' is not a whole number"),
        ({"max_atoms": 3}, "atoms, above max_atoms = 3"),
        ({"max_atoms": -3}, "max_atoms = -3 is not a whole number"),
        ({"neutral": "yes"}, "neither true nor false"),
        ({"mofs": False}, "both off"),
        ({"mofs": False, "cofs": True, "metals": "Zn"}, "mofs = false contradict"),
        ({"nodes": "N16,N256"}, "cannot all be placed|no block of"),
        ({"metals": 5}, "metals = 5 is not a list of names"),
    ],
)
def test_mistakes_are_named(library, conditions, words):
    with pytest.raises(InputError, match=words):
        parse(conditions, library)


def test_every_demand_gets_a_bead_of_its_own():
    options = np.array([[True, True, False], [True, False, False], [False, False, True]])
    demands = (("a", frozenset({0})), ("b", frozenset({1})))
    assert match_demands(demands, options, [0, 1, 2]) == {1: frozenset({0}), 0: frozenset({1})}
    assert match_demands((*demands, ("c", frozenset({0}))), options, [0, 1, 2]) is None


def test_sets_of_blocks_that_cannot_work(library):
    def fault(*names, **rules):
        return set_fault(tokens(library, *names), library, Rules(**rules))

    mof5 = ("N16", "E14", "E14", "E14")
    assert fault(*mof5) is None
    assert fault(*mof5, max_atoms=50).startswith("large: 53 atoms exceed")
    assert fault(*mof5, mofs=False, cofs=True).startswith("metal:")
    assert fault("N16", "E14", "E14").startswith("joints: 6 connection points of nodes against 4 ends")
    assert fault("N16", *[DIRECT] * 3).startswith("joints: 3 direct bonds, but organic nodes have 0")
    charged = next(
        n for n, b in zip(library.names, library.blocks, strict=True) if b and b.connections == 2 and b.charge == -1
    )
    assert fault("N16", "E14", "E14", charged).startswith("charged: ligands carry -9 e")
    assert fault("N16", "E14", "E14", charged, neutral=False) is None
    organic = next(
        n for n, b in zip(library.names, library.blocks, strict=True)
        if b and b.connections == 6 and not b.metals and b.charge == 0 and b.anchors == ("C",)
    )  # fmt: skip
    assert fault(organic, "E14", "E14", "E14").startswith("organic:")
    assert fault(organic, "E14", "E14", "E14", cofs=True) is None
    nitrogen = [n for n, b in zip(library.names, library.blocks, strict=True) if b and "N" in b.anchors]
    node = next(n for n in nitrogen if library.blocks[library.names.index(n)].connections == 4)
    linker = next(n for n in nitrogen if library.blocks[library.names.index(n)].connections == 2)
    assert fault(node, linker, linker, neutral=False, cofs=True).startswith("joints: too many ends on nitrogen")
