"""The ground floor: atom graphs, learned potentials, relaxation.

from potentials import load_potential, relax
"""

from potentials.lazy import lazy_names

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
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
