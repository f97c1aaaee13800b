"""The ground floor: atom graphs, learned potentials, relaxation.

from potentials import load_potential, relax
"""

import importlib
from typing import Any

# Public name -> module; imported when first used, because torch takes seconds. The module of `relax` is
# called `relaxation`: importing a module named `relax` would replace the function here.
_PUBLIC = {
    "AtomGraph": "potentials.atom_graph",
    "InputError": "potentials.errors",
    "Potential": "potentials.potential",
    "SorbusCalculator": "potentials.ase_calculator",
    "load_potential": "potentials.potential",
    "read_structures": "potentials.structure_files",
    "relax": "potentials.relaxation",
    "write_structures": "potentials.structure_files",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'potentials' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
