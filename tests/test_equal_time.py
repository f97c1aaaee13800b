"""Trainings of equal time: what each network's optimiser is given, frames of lone atoms, curves of a broken bond."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from e3nn import o3

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no installed package

from benchmarks.equal_time_rows import ROWS, SHAPES, SOURCES  # noqa: E402
from benchmarks.equal_time_worker import Frames, optimizer_of  # noqa: E402
from benchmarks.make_results import WHAT  # noqa: E402
from benchmarks.potential_equal_time import answers, apart, dissociation, errors_on, write_frames  # noqa: E402
from benchmarks.squeezed_bonds import most_squeezed  # noqa: E402
from potentials.atom_graph import make_graph  # noqa: E402
from potentials.errors import InputError  # noqa: E402
from potentials.soap import SOAP  # noqa: E402

SOAP_OPTIONS = SimpleNamespace(optimizer="soap", lr=0.02, weight_decay=0.0)


def test_soap_sees_the_matrices_e3nn_keeps_in_one_vector():
    """Steps on a linear layer of two irreps are those on its two matrices by themselves."""
    torch.manual_seed(0)
    layer = o3.Linear("3x0e + 2x1o", "4x0e + 5x1o")
    alone = [torch.nn.Parameter(layer.weight.detach()[:12].view(3, 4).clone())]
    alone.append(torch.nn.Parameter(layer.weight.detach()[12:].view(2, 5).clone()))
    ours, reference = optimizer_of(layer, SOAP_OPTIONS), SOAP(alone, lr=0.02)
    for step in range(5):
        gradient = torch.randn(22, generator=torch.Generator().manual_seed(step))
        layer.weight.grad = gradient
        alone[0].grad, alone[1].grad = gradient[:12].view(3, 4), gradient[12:].view(2, 5)
        ours.step()
        reference.step()
    torch.testing.assert_close(layer.weight.detach(), torch.cat([one.detach().view(-1) for one in alone]))


def test_soap_moves_every_weight_of_a_fully_connected_product():
    torch.manual_seed(0)
    layer = o3.FullyConnectedTensorProduct("3x0e + 2x1o", "2x0e", "4x0e + 5x1o")
    before = layer.weight.detach().clone()
    optimizer = optimizer_of(layer, SOAP_OPTIONS)
    assert {tuple(p.shape) for p in optimizer.param_groups[0]["params"]} == {(3, 2, 4), (2, 2, 5)}
    for _ in range(2):
        layer.zero_grad(set_to_none=True)
        layer(torch.randn(6, 9), torch.randn(6, 2)).square().sum().backward()
        optimizer.step()
    assert bool((layer.weight.detach() != before).all())


def ethene(positions: np.ndarray):
    frame = make_graph(np.array([6, 6, 1, 1]), positions)
    frame.energy = torch.tensor([-70.0], dtype=torch.float64)
    frame.forces = torch.zeros(4, 3, dtype=torch.float64)
    return frame


def test_atoms_apart_have_no_neighbours_and_no_energy_of_their_own(tmp_path):
    references = {6: -30.0, 1: -3.0}
    frame = ethene(np.eye(4, 3))
    write_frames(tmp_path / "some.npz", [frame, apart(frame, references)], references)
    frames = Frames(tmp_path / "some.npz")
    assert frames.energies.tolist() == pytest.approx([-4.0, 0.0])
    assert [edges.shape[1] for edges in frames.edges] == [12, 0]
    _, edges, of_frame, *_ = frames.batch([1, 0])
    assert edges.min() == 4  # the atoms of the second frame
    assert of_frame.tolist() == [0] * 4 + [1] * 4


def test_frames_with_squeezed_bonds_are_kept_aside():
    lengths = [1.33, 1.30, 1.36, 1.20, 1.45, 1.26]  # of C-C; the hydrogens wander without being asked
    far = np.random.default_rng(0).normal([0.0, 1.2, 0.0], 0.3, (6, 2, 3))
    frames = [ethene(np.vstack([[[0, 0, 0], [0, 0, d]], h])) for d, h in zip(lengths, far, strict=True)]
    rest, aside = most_squeezed(frames, 2)
    assert [frame.positions[1, 2].item() for frame in aside] == [1.20, 1.26]
    assert [frame.positions[1, 2].item() for frame in rest] == [1.33, 1.30, 1.36, 1.45]


def test_a_curve_that_falls_behind_the_barrier_is_said_so():
    truth = np.array([2.0, -4.0, -2.0, -0.5, 0.0])
    assert dissociation(truth, truth) == (
        "bond energy 4.00 eV (true 4.00), false descents of 0 meV past the minimum and 0 before it"
    )
    found = dissociation(truth, np.array([-5.0, -4.0, 1.0, 0.5, 0.7]))
    assert "bond energy 4.70 eV (true 4.00), false descents of 500 meV past" in found
    assert "1000 before it" in found


def test_answers_of_unequal_times_are_refused(tmp_path):
    (tmp_path / "sorbus.json").write_text('{"minutes": 4}')
    (tmp_path / "other.json").write_text('{"minutes": 3}')
    with pytest.raises(InputError, match="other ran 3 min, others 4"):
        answers(tmp_path, {"sorbus": "sorbus", "mace": "other"})
    with pytest.raises(InputError, match=r"no mace.json yet"):
        answers(tmp_path, {"sorbus": "sorbus", "mace": "mace"})


def test_errors_on_a_part_of_the_frames_are_of_the_same_frames_for_all(tmp_path):
    frames = [ethene(np.eye(4, 3) + 0.1 * number) for number in range(9)]
    write_frames(tmp_path / "hot.npz", frames, {6: -30.0, 1: -3.0})
    energies = np.full(9, -4.0) + np.array([1.0, 9, 9, 9, 2.0, 9, 9, 9, 3.0])
    np.savez(tmp_path / "quick_hot.npz", energies=energies, forces=np.full((9, 4, 3), 0.5))
    found = {"sorbus": {"hot": {}}, "mace": {"every": 4, "hot": {"forces_rmse": 7.0, "energy_rmse": 8.0}}}
    every, errors = errors_on(tmp_path, "hot", {"sorbus": "quick", "mace": "slow"}, found)
    assert every == 4
    assert errors["mace"] == found["mace"]["hot"]
    assert errors["sorbus"]["forces_rmse"] == pytest.approx(500.0)
    assert errors["sorbus"]["energy_rmse"] == pytest.approx(1000 * np.sqrt(14 / 3))


def test_every_row_has_its_test_set_and_a_title():
    for name, rows in [*ROWS.items(), ("3bpa", SHAPES)]:
        for row in rows:
            assert SOURCES[name].test(row.test).forces or row.quantity == "energy_rmse"
            assert row.id in WHAT
