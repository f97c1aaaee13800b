"""How many atoms a force call may hold: measured, by trying, in the memory that is there."""

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from potentials.atom_graph import AtomGraph, collate
from potentials.errors import InputError, SorbusError
from potentials.potential import Potential

SHARE = 0.6  # of the free memory; allocators and other work want the rest
MOST = 50_000  # atoms; beyond it nothing gets faster
_TRIALS = (200, 800)  # atoms of the two batches that are compared


def atoms_that_fit(model: Potential, graphs: Sequence[AtomGraph], *, stress: bool = True) -> int:
    """Atoms one batch of such systems may hold on the device the model uses.

    The densest system, which has the most neighbours an atom, is put side by side with itself into a small and a
    larger batch; what the larger one takes more is what an atom costs.

    Args:
        model: any `Potential`.
        graphs: systems that will share batches.
        stress: whether stresses will be asked for.

    Raises:
        InputError: memory cannot be measured on this machine, or the trial fails.
    """
    sample = max(graphs, key=_density)
    copies = [max(least, round(atoms / sample.num_nodes)) for least, atoms in enumerate(_TRIALS, start=1)]
    batches = [collate([sample] * count) for count in copies]
    try:
        model(batches[0], stress=stress)  # what is loaded or compiled once belongs to no atom
        small, large = (_peak(partial(model, batch, stress=stress)) for batch in batches)
    except (SorbusError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the batch size cannot be tried ({reason}): give max_atoms_per_batch a number") from None
    each = (large - small) / (batches[1].num_nodes - batches[0].num_nodes)
    if each <= 0:
        raise InputError("a larger batch took no more memory than a small one: give max_atoms_per_batch a number")
    return max(1, min(MOST, int(SHARE * free_memory() / each)))


def free_memory() -> float:
    """Bytes that may still be taken: of the GPU where there is one, else of this machine or container."""
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
    free = _kilobytes(Path("/proc/meminfo"), "MemAvailable") * 1024
    limit, used = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        free = min(free, float(limit.read_text()) - float(used.read_text()))
    return free


def _peak(call: Callable[[], object]) -> float:
    """Most bytes in use at a time during a call."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return float(torch.cuda.max_memory_allocated())
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier work freed and malloc kept would hide what the call takes
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (man 5 proc)
        call()
        return _kilobytes(Path("/proc/self/status"), "VmHWM") * 1024
    except (OSError, AttributeError):
        raise InputError("memory is measured on Linux and on CUDA only: give max_atoms_per_batch a number") from None


def _kilobytes(path: Path, field: str) -> float:
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{field}:"))
    return float(line.split()[1])


def _density(graph: AtomGraph) -> float:
    volume = abs(float(torch.linalg.det(graph.cell)))
    return graph.num_nodes / volume if bool(graph.pbc.all()) and volume > 0 else 0.0
