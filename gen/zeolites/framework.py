"""A silica framework: every silicon bonded to four oxygens, every oxygen to two silicons, by construction."""

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError

SILICON, OXYGEN = 14, 8


@dataclass(frozen=True)
class Framework:
    """SiO2 with its bonds: T silicons, then 2T oxygens, in one cell."""

    lattice: np.ndarray  # [3, 3] Å, rows are vectors
    frac: np.ndarray  # [3T, 3]
    silicon: np.ndarray  # [2T, 2] the two silicons each oxygen is bonded to
    images: np.ndarray  # [2T, 2, 3] int, cells those lie in, counted from the oxygen's own

    @property
    def n_silicon(self) -> int:
        """T."""
        return len(self.silicon) // 2

    @property
    def numbers(self) -> np.ndarray:
        """[3T] atomic numbers."""
        return np.repeat([SILICON, OXYGEN], [self.n_silicon, 2 * self.n_silicon])

    @property
    def density(self) -> float:
        """Silicons per 1000 Å^3, the framework density of the zeolite atlas."""
        return 1000.0 * self.n_silicon / abs(float(np.linalg.det(self.lattice)))

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """The net of silicons: pairs [2T, 2] and the cell of the second counted from that of the first [2T, 3]."""
        return self.silicon, self.images[:, 1] - self.images[:, 0]

    def folded(self) -> "Framework":
        """The same with all coordinates in [0, 1)."""
        home = np.floor(self.frac).astype(int)
        count = self.n_silicon
        images = self.images + home[self.silicon] - home[count:, None]
        return Framework(self.lattice, self.frac - home, self.silicon, images)

    def same_bonds(self, other: "Framework") -> bool:
        """Whether another framework of the same atoms, in the same order and cells, is bonded alike."""

        def table(framework: "Framework") -> np.ndarray:
            rows = np.concatenate([framework.silicon[..., None], framework.images], axis=-1)  # [2T, 2, 4]
            return np.sort(rows @ np.array([2_097_152, 16_384, 128, 1]), axis=1)

        return len(self.frac) == len(other.frac) and bool((table(self) == table(other)).all())

    def to_structure(self) -> Structure:
        """As a `Structure`, silicons first."""
        return Structure(Lattice(self.lattice), self.numbers.tolist(), self.frac - np.floor(self.frac))


def supercell(framework: Framework, matrix: np.ndarray) -> Framework:
    """The same crystal in the cell `matrix @ lattice`.

    Args:
        matrix: [3, 3] int, rows are the new vectors in the old ones; its determinant is the number of old cells.
    """
    size = abs(round(float(np.linalg.det(matrix))))
    inverse = np.linalg.inv(matrix)
    span = np.arange(-int(np.abs(matrix).sum()), int(np.abs(matrix).sum()) + 1)
    grid = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = grid @ inverse
    cells = grid[((inside > -1e-9) & (inside < 1 - 1e-9)).all(1)]  # [size, 3] old cells of the new one
    assert len(cells) == size  # an integer matrix of determinant n holds exactly n lattice points
    count = framework.n_silicon
    sites = (framework.frac[:, None] + cells) @ inverse  # [3T, size, 3]
    where = {tuple(cell): k for k, cell in enumerate(cells.tolist())}
    reached = framework.images[:, None] + cells[None, :, None]  # [2T, size, 2, 3] old cells
    beyond = np.floor(reached @ inverse + 1e-9).astype(int)  # new cells
    homes = np.rint(reached - beyond @ matrix).astype(int)
    copy = np.array([where[tuple(cell)] for cell in homes.reshape(-1, 3).tolist()]).reshape(homes.shape[:-1])
    silicon = framework.silicon[:, None] * size + copy
    return Framework(
        matrix @ framework.lattice,
        np.concatenate([sites[:count].reshape(-1, 3), sites[count:].reshape(-1, 3)]),
        silicon.reshape(-1, 2),
        beyond.reshape(-1, 2, 3),
    )


def check_degrees(silicon: np.ndarray, n_silicon: int) -> None:
    """Every silicon has four bonds.

    Raises:
        InputError: naming the first that has not.
    """
    degrees = np.bincount(silicon.ravel(), minlength=n_silicon)
    if (degrees != 4).any():
        odd = int(np.flatnonzero(degrees != 4)[0])
        raise InputError(f"node {odd} of the net has {degrees[odd]} bonds: silica needs a net of four-connected nodes")
