"""`sorbus export potential`: a trained potential as a program for C++, LAMMPS and any Python with torch."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from potentials.checkpoint import load_checkpoint
from potentials.errors import InputError
from potentials.export_program import INPUTS, MIN_ATOMS, MIN_SLOTS, OUTPUTS, check_program, export_program, trace
from potentials.exported_potential import COMPILED, DESCRIPTION, EXPORT_VERSION, PROGRAM, TensorPotential
from potentials.files import sha256_file, write_atomic
from potentials.network_potential import EnergyModel, NetworkPotential

_UNITS = {
    "positions": "Å",
    "energies": "eV an atom, reference energies included",
    "forces": "eV/Å",
    "virials": "eV an atom; stress = -sum / volume, positive under tension",
}


def export_potential(
    checkpoint: str | Path | NetworkPotential,
    folder: str | Path,
    *,
    precision: str | None = None,
    device: str = "cpu",
    compile: bool = True,
) -> Path:
    """Write `program.pt2`, with `compile` also `compiled.pt2`, and `export.json`, which describes both.

    `program.pt2` is a `torch.export` archive: the graph, for any machine with the same torch. `compiled.pt2` is an
    AOTInductor package: machine code for this kind of processor, loaded from C++ without Python
    (`torch::inductor::AOTIModelPackageLoader`) or by `load_exported`; it takes a C++ compiler and minutes to make. Both
    take and give the tensors of `potentials.export_program.TensorModel`, for any numbers of atoms and neighbours, and
    are compared with the model before they are kept.

    Args:
        checkpoint: folder of a trained potential, or one already loaded.
        folder: created if missing.
        precision: `float32` or `float64`; default is the one it was trained in. Of a folder only.
        device: where the programs will run. Of a folder only.
        compile: make the AOTInductor package too.

    Returns:
        The folder.

    Raises:
        InputError: no such checkpoint, one that cannot be exported, no C++ compiler, a folder that cannot be written.
        SorbusError: the program does not reproduce the model.
    """
    if isinstance(checkpoint, NetworkPotential):
        potential = checkpoint
    else:
        potential = load_checkpoint(checkpoint, precision=precision, device=device)
    model, folder = potential.model, Path(folder)
    program = export_program(model)
    files = {}
    with tempfile.TemporaryDirectory() as scratch:
        if compile:
            files[COMPILED] = _keep(_compile(program, model, Path(scratch) / COMPILED), folder)
        program.example_inputs = None  # torch would pickle the random inputs of the trace into the archive
        torch.export.save(program, f"{scratch}/{PROGRAM}")
        files[PROGRAM] = _keep(Path(scratch) / PROGRAM, folder)
    write_atomic(folder / DESCRIPTION, json.dumps(_describe(potential, files), indent=2, ensure_ascii=False) + "\n")
    return folder


def compiled_potential(potential: NetworkPotential) -> TensorPotential:
    """The same potential through `torch.compile`; the first call compiles, for every size that follows.

    Raises:
        InputError: a model that cannot be traced.
    """
    model = potential.model
    return TensorPotential(
        torch.compile(trace(model), dynamic=True),
        model.elements,
        model.config.cutoff,
        potential.name,
        potential.metadata,
        potential.skin,
        str(model.factors.device),
    )


def _compile(program: torch.export.ExportedProgram, model: EnergyModel, path: Path) -> Path:
    try:
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    except torch._inductor.exc.InductorError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"compilation failed ({reason}): install a C++ compiler (g++), or export without it") from None
    check_program(torch._inductor.aoti_load_package(package), model)
    return path


def _keep(source: Path, folder: Path) -> str:
    """Move a finished file into the folder; its SHA-256."""
    return sha256_file(write_atomic(folder / source.name, source.read_bytes()))


def _describe(potential: NetworkPotential, files: dict[str, str]) -> dict[str, Any]:
    model = potential.model
    return {
        "export_version": EXPORT_VERSION,
        "name": potential.name,
        "written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "torch": torch.__version__,
        "device": str(model.factors.device),
        "precision": str(model.dtype).removeprefix("torch."),
        "cutoff": model.config.cutoff,
        "layers": model.config.layers,
        "species": [chemical_symbols[z] for z in model.elements],
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "input_shapes": ["[N, 3] float64", "[N] int64", "[N, K] int64", "[N, K, 3] float64", "[N] float64"],
        "min_atoms": MIN_ATOMS,
        "min_slots": MIN_SLOTS,
        "units": _UNITS,
        "checkpoint_weights_sha256": potential.metadata.get("weights_sha256"),
        "files": files,
    }
