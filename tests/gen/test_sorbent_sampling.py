"""Sampling beads with a small model of random weights: seeds, batches, masks, what is held, what is drawn again."""

import collections
import dataclasses

import numpy as np
import pytest
import torch
from structures.bead_samples import cubic_net, random_model

from gen.sorbents.bead_config import LENGTH
from gen.sorbents.bead_dataset import joined_matrix
from gen.sorbents.beads import EDGE
from gen.sorbents.block_rules import Library, set_fault
from gen.sorbents.catalog import load_catalog
from gen.sorbents.conditions import parse_conditions
from gen.sorbents.inpainting import Fixed, Start, fixed_part, start_part
from gen.sorbents.sampling import BeadTask, SorbentSampling, draw_blocks, draw_geometry, role_weights

FEW = SorbentSampling(steps=4, quench_steps=2)
KEYS = [(index, 0) for index in range(8)]


def make(conditions=None, **given) -> BeadTask:
    model = random_model()
    library = Library.of(model.vocabulary, model.connections, load_catalog())
    sets = {given["roles"]: 1} if "roles" in given else model.role_sets
    return BeadTask(parse_conditions(conditions, library, load_catalog(), sets, model.properties), library, **given)


def beads(task, seed=1, keys=KEYS, config=FEW, batch_size=64):
    sets = draw_blocks(random_model(), keys, seed, task, config, batch_size)
    assert all(blocks.fault is None for blocks in sets)
    return sets, draw_geometry(random_model(), sets, seed, task, config, batch_size)


def same(first, second) -> bool:
    apart = first.frac - second.frac
    near = np.abs(apart - np.round(apart)).max() < 1e-3 and np.abs(first.lattice - second.lattice).max() < 1e-2
    return first.blocks == second.blocks and bool(near)


def test_beads_have_the_roles_that_were_drawn_and_pass_the_rules():
    task = make()
    sets, found = beads(task)
    connections = dict(zip(random_model().vocabulary, random_model().connections, strict=True))
    for blocks, drawn in zip(sets, found, strict=True):
        assert tuple(sorted(blocks.roles)) in random_model().role_sets
        assert tuple(connections[name] for name in drawn.blocks) == blocks.roles == drawn.connections
        assert set_fault(blocks.tokens, task.library, task.conditions.rules) is None
        assert np.isfinite(drawn.frac).all()
        assert np.linalg.det(drawn.lattice) > 0
    assert len({drawn.blocks for drawn in found}) == len(found)
    assert any(blocks.draws > 1 for blocks in sets)  # random weights do not know what is neutral


def test_the_graph_is_drawn_among_those_of_the_roles_unless_left_open():
    model = random_model()
    for blocks in beads(make())[0]:
        (graph,) = model.graphs[tuple(sorted(blocks.roles))]
        assert torch.equal(blocks.joined, joined_matrix(graph, len(blocks.roles)))
        assert tuple(blocks.joined.sum(1).tolist()) == blocks.roles
    left_open = beads(make(), config=FEW.model_copy(update={"draw_net": False}))[0]
    assert all(bool((blocks.joined == -1).all()) for blocks in left_open)


def test_a_net_that_is_held_brings_its_graph():
    (blocks, *_), _ = beads(make({"net": "dia"}), keys=KEYS[:2])
    assert blocks.joined.sum(1).tolist() == [4, 4, 2, 2, 2, 2]
    assert blocks.joined[:2, 2:].tolist() == [[1, 1, 1, 1]] * 2


def test_seed_and_attempt_decide():
    task = make()
    assert beads(task)[1][0].blocks == beads(task)[1][0].blocks
    assert beads(task, seed=2)[1][0].blocks != beads(task)[1][0].blocks
    assert beads(task, keys=[(0, 1)])[1][0].blocks != beads(task)[1][0].blocks


def test_results_do_not_depend_on_the_batch():
    task = make({"void_fraction": 0.6})
    together, apart = beads(task)[1], beads(task, batch_size=2)[1]
    alone = beads(task, keys=[(7, 0)])[1]
    assert all(same(a, b) for a, b in zip(together, apart, strict=True))
    assert same(together[7], alone[0])


def test_conditions_on_blocks_are_met():
    task = make({"metals": "Zn,Cu", "required_linkers": "E14", "excluded_linkers": "direct"})
    sets, found = beads(task)
    places = collections.Counter()
    for blocks, drawn in zip(sets, found, strict=True):
        assert "E14" in drawn.blocks
        assert "direct" not in drawn.blocks
        held = {m for name in drawn.blocks for m in task.library.blocks[task.library.names.index(name)].metals}
        assert held
        assert held <= {"Zn", "Cu"}
        places[blocks.tokens.index(task.library.names.index("E14"))] += 1
    assert len(places) > 1  # what must occur is put anywhere it may be


def test_a_net_is_held_and_its_nodes_fit():
    task = make({"net": "dia"})
    (net,) = task.conditions.nets
    for blocks, drawn in zip(*beads(task), strict=True):
        assert drawn.connections == net.roles
        assert np.abs(drawn.frac - net.frac.numpy()).max() < 1e-6
        fits = load_catalog().nets["dia"].nodes[0].fits
        assert all(name in fits for name, role in zip(drawn.blocks, blocks.roles, strict=True) if role != EDGE)


def test_one_of_several_nets():
    nets = {blocks.net.name for blocks in beads(make({"net": "dia,pcu"}))[0]}
    assert nets == {"dia", "pcu"}


def test_a_geometry_is_kept_while_linkers_are_drawn_again():
    given = cubic_net("N16", "E14", 13.0)
    known, roles = fixed_part(Fixed(given, ("nodes", "coordinates", "lattice")), random_model())
    _, found = beads(make(known=known, roles=roles))
    for drawn in found:
        assert drawn.blocks[0] == "N16"
        assert np.allclose(drawn.frac, given.frac)
        assert np.allclose(drawn.lattice, given.lattice, atol=1e-4)
    assert len({drawn.blocks for drawn in found}) > 4


def test_a_cell_is_free_around_kept_positions():
    given = cubic_net("N16", "E14", 13.0)
    known, roles = fixed_part(Fixed(given, ("nodes", "linkers", "coordinates")), random_model())
    _, found = beads(make(known=known, roles=roles))
    for drawn in found:
        assert drawn.blocks == given.blocks
        assert np.abs(drawn.frac - given.frac).max() < 1e-6
    assert len({round(float(np.linalg.det(drawn.lattice))) for drawn in found}) > 4


def test_beads_are_added_to_those_that_are_kept():
    given = cubic_net("N16", "E14", 13.0)
    known, roles = fixed_part(Fixed(given, ("nodes",), sites=(0,)), random_model())
    task = dataclasses.replace(make(), known=known, roles=roles)
    sixfold = {sets: 1.0 for sets in random_model().role_sets if 6 in sets}
    task = dataclasses.replace(task, conditions=dataclasses.replace(task.conditions, role_sets=sixfold))
    for drawn in beads(task)[1]:
        assert drawn.blocks[0] == "N16"
        assert drawn.connections == (6, 2, 2, 2)


def test_a_start_is_varied():
    given = cubic_net("N16", "E14", 13.0)
    part, roles = start_part(Start(given, 0.05), random_model())
    _, near = beads(make(start=part, start_time=0.05, roles=roles))
    assert all(drawn.blocks == given.blocks for drawn in near)
    _, mixed = beads(make(start=part, start_time=0.5, block_noise=0.5, roles=roles))
    kept = np.mean([[a == b for a, b in zip(drawn.blocks, given.blocks, strict=True)] for drawn in mixed])
    assert 0.1 < kept < 0.95
    assert torch.allclose(part.lattice * LENGTH, torch.eye(3) * 13.0)


def test_roles_follow_the_values_asked_for():
    """Sets of roles whose frameworks have the value become likelier, and the more so the stricter the guidance."""
    model = random_model()
    first, second = model.role_sets
    task = make({"void_fraction": 0.7})
    spec = model.properties[0].std
    values = {first: ((0.7, 0.5 * spec, 50), (1.0, 0.1, 50)), second: ((0.4, 0.5 * spec, 50), (1.0, 0.1, 50))}
    taught = dataclasses.replace(model, role_values=values)
    shares = []
    for guidance in (0.0, 1.0, 2.0):
        weights = role_weights(taught, task.conditions, guidance)
        shares.append(weights[first] / sum(weights.values()))
    assert shares[0] == pytest.approx(model.role_sets[first] / sum(model.role_sets.values()))
    assert shares[0] < shares[1] < shares[2]


def test_sets_that_never_work_end_with_their_reason():
    task = make({"linkers": "E14", "nodes": "N256"})
    rules = dataclasses.replace(task.conditions.rules, max_atoms=10)
    task = dataclasses.replace(task, conditions=dataclasses.replace(task.conditions, rules=rules))
    sets = draw_blocks(random_model(), KEYS[:2], 1, task, SorbentSampling(draws=3))
    assert [blocks.draws for blocks in sets] == [3, 3]
    assert all(blocks.fault.startswith("large:") for blocks in sets)
