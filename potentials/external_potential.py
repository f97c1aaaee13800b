"""A foreign potential in an interpreter of its own: MACE, SevenNet, UMA and others pin packages that cannot coexist."""

import contextlib
import json
import subprocess
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Batch

from potentials import external_worker
from potentials.errors import InputError, SorbusError
from potentials.potential import PotentialOutput


class ExternalPotential:
    """A model that runs in another Python environment, behind a pipe.

    Arrays cross the pipe as raw bytes with a JSON header (nothing is pickled). The child starts with the object, ends
    with it, and serves one batch a message; the systems of a batch are handed to its ASE calculator one by one.

    Args:
        python: interpreter of the other environment, e.g. `envs/mace/bin/python`; it needs ASE and the model's package.
        model: `mace`, `sevenn`, `nequip`, `mattersim`, `orb`, `fairchem`, `chgnet`, or any ASE calculator as
            `package.module:Class`.
        weights: model file, where the model takes one.
        device: passed to the model.
        options: keyword arguments of the calculator.
        elements: atomic numbers it accepts; by default those the model says it knows (MACE and SevenNet do), else all
            (the model itself then refuses).
        cutoff: Å, when known.
        name: for provenance; `model` with the weights' file name by default.

    Raises:
        InputError: no such interpreter or weights, a package missing there, or a model that does not load.
        SorbusError: on a call, when the model fails or its process died; the end of its output is passed on.
    """

    def __init__(
        self,
        *,
        python: str | Path,
        model: str,
        weights: str | Path | None = None,
        device: str = "cpu",
        options: Mapping[str, Any] | None = None,
        elements: Iterable[int] | None = None,
        cutoff: float | None = None,
        name: str | None = None,
    ) -> None:
        if model not in external_worker.MODELS and ":" not in model:
            known = ", ".join(sorted(external_worker.MODELS))
            raise InputError(f"external model {model!r} is unknown: choose {known}, or write package.module:Class")
        interpreter = Path(python).expanduser()
        if not interpreter.is_file():
            raise InputError(f"no interpreter at {interpreter}: give the environment's bin/python")
        if weights is None and model in external_worker.NEED_WEIGHTS:
            raise InputError(f"external model {model} comes without weights: add weights, the path of a model file")
        if weights is not None and Path(weights).suffix and not Path(weights).is_file():
            raise InputError(f"no weights at {weights}: check the potential's weights")
        settings = {
            "model": model,
            "weights": None if weights is None else str(weights),
            "device": device,
            "options": dict(options or {}),
        }
        self.name = name or "-".join([model, *([Path(weights).stem] if weights else [])])
        self.cutoff = cutoff
        self._python = interpreter
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        try:
            self._child = subprocess.Popen(
                [str(interpreter), external_worker.__file__, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._output,
            )
        except OSError as error:
            raise InputError(f"{interpreter} does not start ({error.strerror}): give the path of a Python") from None
        self._finalizer = weakref.finalize(self, _stop, self._child)
        greeting = self._receive("loading the model")[0]
        if greeting.get("greeting") != external_worker.GREETING:
            self.close()
            raise InputError(f"{interpreter} did not answer as a Sorbus worker: is it a Python interpreter?")
        self.elements = frozenset(elements or greeting["elements"] or range(1, 119))

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """Energy, forces and, where a system is periodic in three directions, stress; see `Potential`."""
        counts = torch.bincount(batch.batch, minlength=batch.num_graphs)
        arrays = [
            ("counts", counts.cpu().numpy()),
            ("numbers", batch.numbers.cpu().numpy()),
            ("positions", batch.positions.detach().cpu().double().numpy()),
            ("cell", batch.cell.detach().cpu().double().numpy()),
            ("pbc", batch.pbc.cpu().numpy()),
        ]
        assert self._child.stdin is not None
        # a child that died is told by the reading side
        with contextlib.suppress(BrokenPipeError):
            external_worker.write_message(self._child.stdin, {"stress": stress}, arrays)
        _, answer = self._receive(f"{len(counts)} systems")
        output = PotentialOutput(energy=_tensor(answer["energy"]), forces=_tensor(answer["forces"]))
        if stress:
            output["stress"] = _tensor(answer["stress"])
        if "site_energies" in answer:
            output["site_energies"] = _tensor(answer["site_energies"])
        return output

    def close(self) -> None:
        """End the child; the object cannot be used after."""
        self._finalizer()

    def _receive(self, doing: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        assert self._child.stdout is not None
        try:
            message = external_worker.read_message(self._child.stdout)
        except (EOFError, ValueError):
            message = None
        if message is None:
            code = self._child.wait()
            what = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
            raise SorbusError(f"the process of {self.name} died at {doing} ({what}): {self._last_words()}")
        header, arrays = message
        if "error" in header:
            missing = "ModuleNotFoundError" in header["error"] or "ImportError" in header["error"]
            cure = f"; install it there: {self._python} -m pip install ..." if missing else ""
            raise InputError(f"{self.name} failed at {doing}: {' '.join(header['error'].split())}{cure}")
        return header, arrays

    def _last_words(self) -> str:
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").split("\n")
        told = [line.strip() for line in lines if line.strip()]
        return told[-1][:300] if told else "it said nothing"


def _stop(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        child.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy()).double()
