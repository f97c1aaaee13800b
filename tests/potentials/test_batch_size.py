"""The batch size that memory allows, against a potential whose appetite is known."""

import numpy as np
import pytest
import torch
from ase.build import bulk

import potentials.batch_size
from potentials.atom_graph import graph_from_atoms
from potentials.batch_size import atoms_that_fit, free_memory
from potentials.errors import InputError
from potentials.potential import PotentialOutput
from potentials.relaxation import relax

EACH = 200_000  # bytes an atom
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="measures the memory of the CPU")


class Hungry:
    """Takes `EACH` bytes an atom while it is called."""

    name, elements, cutoff = "hungry", frozenset({29}), 3.0

    def __call__(self, batch, *, stress=True) -> PotentialOutput:
        held = np.ones(batch.num_nodes * EACH // 8)
        zero = torch.zeros(batch.num_graphs, 3, 3, dtype=torch.float64) * float(held[0])
        return PotentialOutput(energy=zero[:, 0, 0], forces=torch.zeros_like(batch.positions), stress=zero)


def test_what_an_atom_takes_is_measured(monkeypatch) -> None:
    monkeypatch.setattr(potentials.batch_size, "free_memory", lambda: 1e9)
    graphs = [graph_from_atoms(bulk("Cu", cubic=True)), graph_from_atoms(bulk("Cu", a=5.0))]
    expected = potentials.batch_size.SHARE * 1e9 / EACH
    assert atoms_that_fit(Hungry(), graphs) == pytest.approx(expected, rel=0.3)


def test_a_relaxation_may_fill_the_memory(monkeypatch) -> None:
    seen = []

    class Counting(Hungry):
        def __call__(self, batch, *, stress=True) -> PotentialOutput:
            seen.append(batch.num_nodes)
            return super().__call__(batch, stress=stress)

    monkeypatch.setattr(potentials.batch_size, "free_memory", lambda: 20 * EACH / potentials.batch_size.SHARE)
    results = relax([bulk("Cu", cubic=True)] * 12, Counting(), max_atoms_per_batch="memory")
    assert all(result.converged for result in results)
    own = seen[3:]  # after the trials
    assert sum(own) == 48
    assert 10 <= max(own) <= 28


def test_free_memory_is_some_and_a_model_that_fails_is_told(monkeypatch) -> None:
    assert free_memory() > 1e6

    def broken(batch, *, stress=True):
        raise MemoryError("no room")

    with pytest.raises(InputError, match=r"cannot be tried .*no room.*give max_atoms_per_batch a number"):
        atoms_that_fit(broken, [graph_from_atoms(bulk("Cu"))])
    with pytest.raises(InputError, match="below 1"):
        relax(bulk("Cu"), Hungry(), max_atoms_per_batch=0)
