"""What a diffusion model sometimes makes and no relaxation should ever see: flat, crowded, empty cells."""

import numpy as np

from gen.crystals.dataset import minimum_distance

MIN_HEIGHT = 1.0  # Å between opposite faces; flat cells hang compiled neighbour lists
MIN_VOLUME_PER_ATOM = 2.5  # Å^3; diamond has 5.7, solid hydrogen at 100 GPa about 2.5
MAX_VOLUME_PER_ATOM = 200.0  # Å^3; caesium has 115
MIN_DISTANCE = 0.5  # Å; the bond of H2 is 0.74


def cell_heights(lattice: np.ndarray) -> np.ndarray:
    """[3] distances in Å between the opposite faces of a cell [3, 3]."""
    faces = np.cross(lattice[[1, 2, 0]], lattice[[2, 0, 1]])
    return abs(np.linalg.det(lattice)) / np.maximum(np.linalg.norm(faces, axis=1), 1e-300)


def geometry_fault(frac: np.ndarray, lattice: np.ndarray) -> str | None:
    """Why a crystal may not pass, its first word naming the kind, or None.

    Args:
        frac: [N, 3] fractional coordinates.
        lattice: [3, 3] Å, Niggli reduced (distances look at the nearest 27 images).
    """
    if not (np.isfinite(frac).all() and np.isfinite(lattice).all()):
        return "non-finite: a coordinate or lattice vector is not a number"
    height = float(cell_heights(lattice).min())
    if height < MIN_HEIGHT:
        return f"flat: cell height {height:.2f} Å is below {MIN_HEIGHT} Å"
    volume = abs(float(np.linalg.det(lattice))) / len(frac)
    if volume < MIN_VOLUME_PER_ATOM:
        return f"dense: {volume:.2f} Å^3 per atom is below {MIN_VOLUME_PER_ATOM} Å^3"
    if volume > MAX_VOLUME_PER_ATOM:
        return f"dilute: {volume:.0f} Å^3 per atom is above {MAX_VOLUME_PER_ATOM:.0f} Å^3"
    distance = minimum_distance(frac, lattice)
    if distance < MIN_DISTANCE:
        return f"overlap: two atoms {distance:.2f} Å apart, below {MIN_DISTANCE} Å"
    return None
