"""One measurement, one line of `benchmarks/results.jsonl`: what, how, on what data, with what code, on what machine.

    from benchmarks.record import record

    record(id="S6", value=3.1, unit="structures/s", protocol="FIRE, fmax 0.05 eV/Å", data_sha256=None, seed=0)

`python benchmarks/make_results.py` turns the lines into `benchmarks/RESULTS.md`.
"""

import fcntl
import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from potentials.errors import InputError
from potentials.files import data_root

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.jsonl"
ID_PATTERN = re.compile(r"[A-Z]+[0-9]+[a-z]*")

# Distribution names of what can change a number; only those loaded in the measuring process are recorded.
_MODULES = {
    "ase": "ase",
    "chgnet": "chgnet",
    "e3nn": "e3nn",
    "lightning": "lightning",
    "numpy": "numpy",
    "pormake": "pormake",
    "pymatgen": "pymatgen",
    "pyzeo": "pyzeo",
    "raspalib": "raspalib",
    "scipy": "scipy",
    "sevenn": "sevenn",
    "smact": "smact",
    "spglib": "spglib",
    "torch": "torch",
    "torch_geometric": "torch-geometric",
    "vesin": "vesin",
}


def record(
    *,
    id: str,
    value: float,
    unit: str,
    protocol: str,
    data_sha256: str | None,
    seed: int | None,
    peer: str | None = None,
    peer_value: float | None = None,
    ratio: float | None = None,
    command: str | None = None,
    note: str | None = None,
    results: Path = RESULTS,
) -> dict[str, Any]:
    """Append one measurement to `results` and print it; safe when several processes record at once.

    Args:
        id: capital letters, a number, small letters: `S6`, `G1`, `S4b`; explained in `make_results.py`.
        value: the measured number, in `unit`.
        unit: of `value` and `peer_value`; "" for a pure number.
        protocol: one sentence from which a reader could repeat the measurement.
        data_sha256: 64 hex digits of the data file measured on; None where no data file is used.
        seed: of whatever was random; None where nothing was.
        peer: what the value is compared with: a paper, a program with its version.
        peer_value: the number `peer` gives, in `unit`.
        ratio: value / peer_value unless given.
        command: default is the running command, relative to the repository root.
        note: whatever the reader must know besides.
        results: the file to append to.

    Returns:
        The recorded line as a mapping.

    Raises:
        InputError: a bad id, a number that is not finite, or a hash that is not SHA-256.
    """
    if not ID_PATTERN.fullmatch(id):
        raise InputError(f"benchmark id {id!r} is not letters, number, small letters: name it like S6, G1 or S4b")
    if data_sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", data_sha256):
        raise InputError(f"data_sha256 {data_sha256!r} is not 64 hex digits: use potentials.files.sha256_file, or None")
    if not protocol.strip():
        raise InputError(f"benchmark {id} has no protocol: say in a sentence how the value was measured")
    for name, number in (("value", value), ("peer_value", peer_value), ("ratio", ratio)):
        if number is not None and not math.isfinite(number):
            raise InputError(f"benchmark {id}: {name} is {number}: record finite numbers only")
    if (peer_value is not None or ratio is not None) and not peer:
        raise InputError(f"benchmark {id} compares with nothing named: say in `peer` what peer_value or ratio is of")
    if ratio is None and peer_value:
        ratio = value / peer_value
    line = {
        "id": id,
        "value": _plain(value),
        "unit": unit,
        "peer": peer,
        "peer_value": _plain(peer_value),
        "ratio": _plain(ratio),
        "protocol": protocol,
        "data_sha256": data_sha256,
        "seed": None if seed is None else int(seed),
        "command": portable_command(shlex.split(command) if command else _running_command()),
        "commit": commit(),
        "hardware": hardware(),
        "versions": loaded_versions(),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "note": note,
    }
    _append(results, json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    against = f"  ({peer}: {peer_value:g}, ratio {ratio:.3g})" if peer_value is not None and ratio is not None else ""
    print(f"recorded {id}: {line['value']:g} {unit}{against}  [{protocol}]")
    return line


def portable_command(words: list[str]) -> str:
    """The command as typed at the repository root: no path of this machine, interpreter or environment in it."""
    return shlex.join(_portable_word(word) for word in words)


def commit() -> str:
    """Short hash of HEAD, with `+changes` where code or configuration differ from it; `unknown` outside git."""
    head = _output("git", "rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    code = ("gen", "potentials", "screening", "configs", "benchmarks/*.py")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", "--", *code)
    return f"{head}+changes" if changed else head


def hardware() -> str:
    """CPU model, usable cores and GPU model if there is one; nothing that names the machine."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = found.group(1).strip() if found else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    return ", ".join([model, f"{cores} cores", *(gpu.strip() for gpu in gpus)])


def loaded_versions() -> dict[str, str]:
    """Versions of Python, sorbus and those of its dependencies that this process has loaded."""
    versions = {"python": platform.python_version()}
    distributions = ["sorbus", *(name for module, name in _MODULES.items() if module in sys.modules)]
    for distribution in distributions:
        try:
            versions[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            versions[distribution] = "unknown"
    return versions


def _plain(number: float | None) -> float | int | None:
    """A numpy or torch scalar as the Python number JSON can write."""
    if number is None or isinstance(number, int):
        return number
    return float(number)


def _running_command() -> list[str]:
    program = Path(sys.argv[0])
    if program.suffix == ".py":
        return ["python", *sys.argv]
    if program.name in ("", "-c"):  # typed into an interpreter: there is nothing to point at
        return ["python", *sys.argv]
    return [program.name, *sys.argv[1:]]


def _portable_word(word: str) -> str:
    name, equals, path = word.rpartition("=")  # --data=/path and data.file=/path carry paths as well
    if not path.startswith(("/", "~", "../", "./")):
        return word
    absolute = Path(os.path.abspath(Path(path).expanduser()))
    for base, label in ((data_root(), "../shared/data"), (ROOT, "")):
        base = Path(os.path.abspath(base.expanduser()))
        if absolute.is_relative_to(base):
            return name + equals + os.path.join(label, absolute.relative_to(base).as_posix())
    return name + equals + os.path.join("...", absolute.name)


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _append(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # released when the file closes
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}: choose a folder you may write to") from error
