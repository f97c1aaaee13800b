"""The far side of an `ExternalPotential`: runs in the foreign interpreter, where Sorbus is not installed.

Needs nothing but the standard library, numpy, ASE and the model's own package. Messages on the pipes are a length
(8 bytes, little-endian), a JSON header, and the raw bytes of the arrays the header describes: nothing executable.

    python external_worker.py '{"model": "mace", "weights": "mace.model", "device": "cpu", "options": {}}'
"""

import importlib
import json
import os
import sys
import traceback

import numpy as np

GREETING = "sorbus-external-1"


def write_message(stream, header, arrays=()):
    """One message: header plus `arrays`, each (name, array)."""
    arrays = [(name, np.ascontiguousarray(array)) for name, array in arrays]
    described = [[name, array.dtype.str, list(array.shape)] for name, array in arrays]
    text = json.dumps({**header, "arrays": described}).encode()
    stream.write(len(text).to_bytes(8, "little") + text)
    for _, array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def read_message(stream):
    """(header, {name: array}) of the next message; None at the end of the stream."""
    size = stream.read(8)
    if len(size) < 8:
        return None
    header = json.loads(_exactly(stream, int.from_bytes(size, "little")))
    arrays = {}
    for name, dtype, shape in header.pop("arrays"):
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise ValueError(f"array {name} holds objects")
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(_exactly(stream, count * kind.itemsize), dtype=kind).reshape(shape)
    return header, arrays


def _exactly(stream, size):
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the pipe closed in the middle of a message")
    return data


def _mace(weights, device, options):
    from mace.calculators import MACECalculator

    return MACECalculator(model_paths=weights, device=device, **{"default_dtype": "float64", **options})


def _sevenn(weights, device, options):
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(model=weights or "7net-0", device=device, **options)


def _nequip(weights, device, options):
    from nequip.ase import NequIPCalculator

    return NequIPCalculator.from_compiled_model(weights, device=device, **options)


def _mattersim(weights, device, options):
    from mattersim.forcefield import MatterSimCalculator

    return MatterSimCalculator(load_path=weights or "MatterSim-v1.0.0-1M.pth", device=device, **options)


def _orb(weights, device, options):
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.calculator import ORBCalculator

    name = options.pop("name", "orb_v3_conservative_inf_omat")
    model = getattr(pretrained, name)(device=device, **({"weights_path": weights} if weights else {}))
    return ORBCalculator(model, device=device, **options)


def _fairchem(weights, device, options):
    from fairchem.core import FAIRChemCalculator
    from fairchem.core.units.mlip_unit import load_predict_unit

    return FAIRChemCalculator(load_predict_unit(weights, device=device), **options)


def _chgnet(weights, device, options):
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device=device, **options)


NEED_WEIGHTS = ("fairchem", "mace", "nequip")
MODELS = {
    "chgnet": _chgnet,
    "fairchem": _fairchem,
    "mace": _mace,
    "mattersim": _mattersim,
    "nequip": _nequip,
    "orb": _orb,
    "sevenn": _sevenn,
}


def make_calculator(settings):
    """The ASE calculator `settings` asks for: a name of `MODELS`, or `package.module:Class` with `options`."""
    name, options = settings["model"], dict(settings.get("options") or {})
    weights, device = settings.get("weights"), settings.get("device", "cpu")
    if name in MODELS:
        return MODELS[name](weights, device, options)
    module, _, attribute = name.partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    return factory(**options)


def known_elements(calculator):
    """Atomic numbers the calculator says it knows, where its kind is one that says so; else None."""
    table = getattr(calculator, "z_table", None)  # MACE
    known = getattr(table, "zs", None) or getattr(calculator, "type_map", None)  # SevenNet: number -> index
    return None if not known else sorted(int(number) for number in known)


def evaluate(calculator, arrays, stress):
    """Energies [B], forces [N, 3], stresses [B, 3, 3] and, where known, atoms' energies [N] of the systems; eV, Å."""
    from ase import Atoms

    counts = arrays["counts"]
    ends = np.cumsum(counts)
    energies, forces, stresses, sites = [], [], [], []
    for index, (start, end) in enumerate(zip(ends - counts, ends, strict=True)):
        atoms = Atoms(
            arrays["numbers"][start:end],
            arrays["positions"][start:end],
            cell=arrays["cell"][index],
            pbc=arrays["pbc"][index],
            calculator=calculator,
        )
        energies.append(float(atoms.get_potential_energy()))
        forces.append(np.asarray(atoms.get_forces(), dtype=np.float64))
        wanted = stress and bool(atoms.pbc.all())
        stresses.append(np.asarray(atoms.get_stress(voigt=False)) if wanted else np.zeros((3, 3)))
        found = getattr(calculator, "results", {}).get("energies")
        if found is not None:
            sites.append(np.array(found, dtype=np.float64).ravel())  # a copy: calculators use their arrays again
    answer = [
        ("energy", np.array(energies, dtype=np.float64)),
        ("forces", np.concatenate(forces)),
        ("stress", np.stack(stresses).astype(np.float64)),
    ]
    if sites and len(sites) == len(counts):
        answer.append(("site_energies", np.concatenate(sites)))
    return answer


def main():
    """Serve until the pipe closes."""
    # the folder of this script holds modules of ours with common names; they must not shadow anything here
    sys.path.pop(0)
    # packages print; what they print must not reach the pipe
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    try:
        settings = json.loads(sys.argv[1])
        calculator = make_calculator(settings)
    except Exception as error:
        traceback.print_exc()
        write_message(answers, {"error": f"{type(error).__name__}: {error}"})
        return 1
    greeting = {"greeting": GREETING, "calculator": type(calculator).__name__, "elements": known_elements(calculator)}
    write_message(answers, greeting)
    while (message := read_message(questions)) is not None:
        header, arrays = message
        try:
            result = evaluate(calculator, arrays, header["stress"])
        except Exception as error:
            traceback.print_exc()
            write_message(answers, {"error": f"{type(error).__name__}: {error}"})
        else:
            write_message(answers, {}, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
