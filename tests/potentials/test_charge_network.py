"""The charge network: neutral, invariant, exact on distinct atoms; its training: learns, resumes exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from potentials.charge_network import (
    ChargeEnsemble,
    ChargeGraph,
    ChargeNetwork,
    ChargeNetworkConfig,
    edges_within,
    element_descriptors,
    join_graphs,
    neutralised,
)
from potentials.charge_training import (
    ChargeTrainConfig,
    LabelledGraph,
    batches_of,
    best_shrinkage,
    charge_errors,
    huber,
    learning_rate,
    rarity_of_elements,
    shrink_corrections,
    train_charge_network,
)
from potentials.config import parse_config
from potentials.errors import InputError

SHAPE = ChargeNetworkConfig(cutoff=4.0, channels=8, carried=(8,), layers=2, radial_hidden=8, prior_features=2)


def graph_of(numbers, fractional, cell, prior_features=2, seed=0, cutoff=4.0):
    import vesin

    positions = np.asarray(fractional) @ np.asarray(cell)
    finder = vesin.NeighborList(cutoff=cutoff, full_list=True)
    i, j, vectors = finder.compute(positions, np.asarray(cell, float), True, "ijD")
    n = len(numbers)
    generator = torch.Generator().manual_seed(seed)
    per_element = torch.randn(119, prior_features, generator=generator)
    numbers = torch.tensor(numbers)
    return ChargeGraph(
        numbers=numbers,
        centre=torch.from_numpy(i.astype(np.int64)),
        neighbour=torch.from_numpy(j.astype(np.int64)),
        vectors=torch.from_numpy(vectors).float(),
        multiplicity=torch.ones(n),
        base=0.3 * per_element[numbers, 0],
        prior=per_element[numbers],
        system=torch.zeros(n, dtype=torch.int64),
    )


def crystal(seed: int) -> ChargeGraph:
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(4.5, 6.0, 3)) + rng.uniform(-0.5, 0.5, (3, 3))
    places = (np.stack(np.meshgrid([0.1, 0.6], [0.1, 0.6], [0.1, 0.6], indexing="ij"), -1).reshape(-1, 3))[:6]
    return graph_of(rng.choice([6, 8, 30, 1], 6).tolist(), places + rng.uniform(-0.08, 0.08, (6, 3)), cell)


def network(seed: int = 0) -> ChargeNetwork:
    torch.manual_seed(seed)
    model = ChargeNetwork(SHAPE)
    with torch.no_grad():
        model(join_graphs([crystal(k) for k in range(4)]), calibrate=True)
        model.element.normal_(0, 0.3)
    return model.eval()


def test_every_system_is_neutral_and_a_batch_equals_its_systems():
    model, graphs = network(), [crystal(k) for k in range(3)]
    with torch.no_grad():
        together = model(join_graphs(graphs))
        alone = torch.cat([model(graph) for graph in graphs])
    assert together == pytest.approx(alone.numpy(), abs=1e-5)
    for charges in together.split(6):
        assert float(charges.sum()) == pytest.approx(0.0, abs=1e-5)
    assert together.abs().max() > 0.05


def test_rotation_reflection_and_order_of_atoms_change_nothing():
    model, graph = network(), crystal(1)
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]).float()
    with torch.no_grad():
        expected = model(graph)
        for matrix in (turn, -turn):
            turned = model(replace(graph, vectors=graph.vectors @ matrix.T))
            assert turned == pytest.approx(expected.numpy(), abs=2e-5)
        order = torch.tensor([3, 1, 5, 0, 2, 4])
        place = torch.argsort(order)
        moved = replace(
            graph,
            numbers=graph.numbers[order],
            base=graph.base[order],
            prior=graph.prior[order],
            centre=place[graph.centre],
            neighbour=place[graph.neighbour],
        )
        assert model(moved) == pytest.approx(expected[order].numpy(), abs=2e-5)


def test_distinct_atoms_alone_give_the_charges_of_the_whole_crystal():
    # rock salt with a tetragonal twist: two distinct atoms stand for eight
    a = np.diag([5.0, 5.0, 5.6])
    places = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5] * 3]
    whole = graph_of([12] * 4 + [8] * 4, places, a)
    equivalent = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    first = torch.tensor([0, 4])
    kept = torch.isin(whole.centre, first)
    distinct = ChargeGraph(
        numbers=whole.numbers[first],
        centre=equivalent[whole.centre[kept]],
        neighbour=equivalent[whole.neighbour[kept]],
        vectors=whole.vectors[kept],
        multiplicity=torch.tensor([4.0, 4.0]),
        base=whole.base[first],
        prior=whole.prior[first],
        system=torch.zeros(2, dtype=torch.int64),
    )
    model = network()
    with torch.no_grad():
        assert model(distinct) == pytest.approx(model(whole)[first].numpy(), abs=1e-5)


def test_the_excess_goes_to_the_soft():
    graph = replace(crystal(0), multiplicity=torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    charges = torch.full((6,), 0.1)
    softness = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 5.0])
    found = neutralised(charges, softness, graph)
    assert float((graph.multiplicity * found).sum()) == pytest.approx(0.0, abs=1e-6)
    assert float(charges[5] - found[5]) == pytest.approx(5 * float(charges[0] - found[0]), rel=1e-5)


def test_an_unseen_element_is_treated_as_one_not_known():
    model, graph = network(), crystal(2)
    with torch.no_grad():
        model.element[30] = 0.0  # as it is when nothing was learned of zinc
        hidden = model(graph, known=(graph.numbers != 30).float())
        assert hidden == pytest.approx(model(graph).numpy(), abs=1e-6)


def test_descriptors_tell_elements_apart_and_are_finite():
    descriptors, classes = element_descriptors()
    assert torch.isfinite(descriptors).all()
    assert descriptors[1:96].abs().max() < 10  # helium's second ionisation is the largest
    assert len(torch.unique(descriptors[1:96], dim=0)) == 95
    assert classes[[1, 6, 7, 8, 30, 12, 58]].tolist() == [0, 1, 2, 3, 12, 10, 8]


def test_only_scalars_may_be_sent():
    with pytest.raises(InputError, match="scalars only"):
        parse_config(ChargeNetworkConfig, {"carried": [8, 4]}, "test")


def test_members_of_several_shapes_average_and_see_as_far_as_they_did_alone():
    near = SHAPE.model_copy(update={"cutoff": 3.0, "channels": 4, "carried": (4,), "layers": 3})
    torch.manual_seed(1)
    members = [network(), ChargeNetwork(near).eval()]
    ensemble = ChargeEnsemble(members)
    assert ensemble.cutoff == 4.0
    graph = crystal(5)
    short = edges_within(graph, 3.0)
    assert 0 < len(short.centre) < len(graph.centre)
    assert edges_within(short, 3.0) is short
    with torch.no_grad():
        each = ensemble.member_charges(graph)
        assert each[0] == pytest.approx(members[0](graph).numpy(), abs=1e-7)
        assert each[1] == pytest.approx(members[1](short).numpy(), abs=1e-7)
        assert ensemble(graph) == pytest.approx(each.mean(dim=0).numpy(), abs=1e-7)
    other = ChargeNetwork(SHAPE.model_copy(update={"prior_features": 3}))
    with pytest.raises(ValueError, match="prior features"):
        ChargeEnsemble([members[0], other])


def labelled(count: int) -> list[LabelledGraph]:
    """Charges that depend on element and number of near neighbours, neutral."""
    found = []
    for k in range(count):
        graph = crystal(k)
        near = torch.bincount(graph.centre[graph.vectors.norm(dim=1) < 3.0], minlength=6).float()
        target = 0.1 * (near - near.mean()) + graph.base - graph.base.mean()
        found.append(LabelledGraph(graph, target))
    return found


def test_training_learns_and_a_killed_run_ends_where_the_whole_one_does(tmp_path):
    systems = labelled(24)
    config = ChargeTrainConfig(epochs=12, atoms=12, lr=2e-2, warmup_steps=5, ema=0.9, noise=0.0, hide_elements=0.1)
    arguments = (SHAPE, systems[:20], systems[20:])
    whole, progress = train_charge_network(config, *arguments, tmp_path / "a", identity={"data": "1"}, seed=3)
    first, last = progress["history"][0], progress["history"][-1]
    assert last["train_loss"] < 0.75 * first["train_loss"]
    assert progress["best"] == pytest.approx(charge_errors(whole, systems[20:]).mean_absolute, rel=1e-4)

    class Killed(Exception):
        pass

    def kill(values, step):
        if values["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        train_charge_network(config, *arguments, tmp_path / "b", identity={"data": "1"}, seed=3, log=kill)
    resumed, _ = train_charge_network(config, *arguments, tmp_path / "b", identity={"data": "1"}, seed=3)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    with pytest.raises(InputError, match="another training"):
        train_charge_network(config, *arguments, tmp_path / "b", identity={"data": "2"}, seed=3)


def test_a_budget_of_minutes_ends_the_training(tmp_path):
    systems = labelled(6)
    config = ChargeTrainConfig(max_minutes=0.01, atoms=6, warmup_steps=1)
    _, progress = train_charge_network(config, SHAPE, systems[:4], systems[4:], tmp_path, identity={}, seed=0)
    assert progress["seconds"] >= 0.6
    assert progress["epoch"] >= 1


def test_batches_hold_every_system_once_in_an_order_of_the_seed():
    systems = labelled(7)
    order = [i for batch in batches_of(systems, 12, seed=1, epoch=4) for i in batch]
    assert sorted(order) == list(range(7))
    assert order == [i for batch in batches_of(systems, 12, seed=1, epoch=4) for i in batch]
    assert order != [i for batch in batches_of(systems, 12, seed=1, epoch=5) for i in batch]


def test_rare_elements_are_hidden_more_often(tmp_path):
    systems = labelled(8)
    held = sum((system.graph.numbers == 30).any().item() for system in systems)
    chance = rarity_of_elements(systems, 3.0)
    assert chance[30] == pytest.approx(3.0 / (3.0 + held))
    assert chance[92] == 1.0  # in none of them
    assert not rarity_of_elements(systems, 0.0).any()
    weights = {}
    for hide_rare in (0.0, 1e9):
        config = ChargeTrainConfig(epochs=2, atoms=6, warmup_steps=1, ema=0.0, noise=0.0, hide_rare=hide_rare)
        out = tmp_path / f"{hide_rare:g}"
        weights[hide_rare], _ = train_charge_network(config, SHAPE, systems[:6], systems[6:], out, identity={}, seed=0)
    assert weights[0.0].element.abs().max() > 1e-3
    assert weights[1e9].element.abs().max() < 1e-6  # no element was ever recognised: nothing was learned of it


def test_loss_and_schedule():
    assert huber(torch.tensor([0.01, 0.05]), 0.02).tolist() == pytest.approx([0.0025, 0.04])
    config = ChargeTrainConfig(lr=1.0, warmup_steps=10)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 100, 1.0) == pytest.approx(0.01)


def test_errors_count_every_atom():
    graph = replace(crystal(0), multiplicity=torch.tensor([3.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    model = network()
    with torch.no_grad():
        charges = model(graph)
    off = torch.tensor([0.1, 0.0, 0.0, 0.0, 0.0, 0.2])
    found = charge_errors(model, [LabelledGraph(graph, charges - off)])
    assert found.mean_absolute == pytest.approx((3 * 0.1 + 0.2) / 8, rel=1e-4)
    assert found.rms == pytest.approx(np.sqrt((3 * 0.01 + 0.04) / 8), rel=1e-4)


def test_corrections_shrink_towards_the_base_and_the_best_factor_is_found():
    model, graph = network(), crystal(3)
    neutral = graph.base - graph.base.mean()
    graph = replace(graph, base=neutral)
    with torch.no_grad():
        whole = model(graph) - neutral
        shrink_corrections(model, 0.6)
        assert model(graph) - neutral == pytest.approx((0.6 * whole).numpy(), abs=1e-6)
    fresh = network()
    assert best_shrinkage(fresh, [LabelledGraph(graph, neutral + 0.75 * whole)]) == pytest.approx(0.75)
