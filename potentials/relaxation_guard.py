"""When a relaxation by L-BFGS has lost its way, and where it goes on.

L-BFGS without a line search trusts the curvature it has met. Where that ends, in molecular and layered crystals whose
bonds are stiff and whose packing is soft, it can climb out of the basin it started in: by CHGNet black phosphorus goes
1.7 eV an atom uphill, and fluorine comes apart. A system that rises above the lowest energy it had, or stands still, is
put back to that geometry and starts anew without history; if that ends the same way, it goes on from there with FIRE,
which follows forces and cannot climb far. Each system is judged by its own energies only.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

JUMP = 1.0  # eV per atom above the lowest energy that is too much at once; sound runs overshoot by up to 0.5
SLACK = 0.005  # eV per atom above it that is too much for `PATIENCE` steps in a row; noise of single precision is 1e-6
PATIENCE = 4  # sound runs come back within three steps
STALL = 50  # steps in which neither energy nor forces improved
_LOWER = 1e-4  # eV per atom by which an energy has to fall to count as progress
_SMALLER = 0.9  # of the smallest forces so far, the same
RESETS = 1  # times a history is given up before FIRE takes over, unless the last one brought the energy down by `SLACK`
MOST_RESETS = 3


class Sane(NamedTuple):
    """A geometry a potential gave a sane answer for, and that answer."""

    positions: Tensor  # [N, 3] Å
    cell: Tensor  # [3, 3] Å
    energy: float  # eV
    enthalpy: float  # eV, energy + pressure x volume: what falls in a relaxation
    fmax: float  # eV/Å
    smax: float | None  # eV/Å^3
    excess: float  # the larger of the two in units of what counts as converged


@dataclass
class Guard:
    """What is remembered of one system that follows L-BFGS."""

    atoms: int
    lowest: Sane | None = None
    careful: bool = False  # follows FIRE
    retreating: bool = False  # to be put back to `lowest`
    resets: int = 0
    _above: int = 0  # steps in a row more than `SLACK` above the lowest
    _idle: int = 0  # steps without progress
    _mark: float = float("inf")  # eV per atom, energy of the last progress
    _force_mark: float = float("inf")
    _before: float = float("inf")  # eV per atom, lowest when the history was last given up

    def see(self, now: Sane, *, spent: bool = False) -> None:
        """Take a step into account; sets `retreating` when it is one too many, and there are steps left to go back."""
        level = now.enthalpy / self.atoms
        if self.lowest is None or now.enthalpy <= self.lowest.enthalpy:
            self.lowest = now
        if self.careful or spent:
            return
        rise = level - self.lowest.enthalpy / self.atoms
        self._above = self._above + 1 if rise > SLACK else 0
        progress = level < self._mark - _LOWER or now.excess < _SMALLER * self._force_mark
        self._idle = 0 if progress else self._idle + 1
        self._mark, self._force_mark = min(self._mark, level), min(self._force_mark, now.excess)
        uphill = rise > JUMP or self._above >= PATIENCE or (self._above > 0 and now.excess <= 1)
        if uphill or (self._idle >= STALL and now.excess > 1):
            self.retreat()

    def retreat(self) -> bool:
        """Ask to be put back to the lowest geometry; False where there is none, or nothing is left to try."""
        if self.lowest is None or self.careful:
            return False
        level = self.lowest.enthalpy / self.atoms
        helped = level < self._before - SLACK
        self.careful = self.resets >= (MOST_RESETS if helped else RESETS)
        self.resets += not self.careful
        self._before, self._above, self._idle = level, 0, 0
        self._mark = self._force_mark = float("inf")
        self.retreating = True
        return True

    def lower_than(self, enthalpy: float) -> Sane | None:
        """The lowest geometry, if it lies well below what a system that did not converge ended at (eV)."""
        if self.lowest is None or enthalpy <= self.lowest.enthalpy + SLACK * self.atoms:
            return None
        return self.lowest
