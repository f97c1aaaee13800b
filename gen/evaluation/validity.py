"""Structural validity of a crystal, the rule of CDVAE (Xie et al. 2022, App. B.2)."""

from pymatgen.core import Structure

MIN_DISTANCE = 0.5  # Å
MIN_VOLUME_PER_ATOM = 0.1  # Å^3
PROTOCOL = f"all distances > {MIN_DISTANCE} Å, periodic images included, and volume > {MIN_VOLUME_PER_ATOM} Å^3/atom"


def is_structure_valid(structure: Structure) -> bool:
    """Whether all distances exceed 0.5 Å and the volume 0.1 Å^3 per atom.

    CDVAE looks at pairs of different atoms and at the volume of the cell; an atom's own images and the volume per
    atom are asked here as well, so this rule is never the more lenient.
    """
    if structure.volume / len(structure) <= MIN_VOLUME_PER_ATOM:
        return False
    return len(structure.get_neighbor_list(MIN_DISTANCE, exclude_self=True)[0]) == 0
