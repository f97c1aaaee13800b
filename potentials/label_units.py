"""Are these labels in eV and Å? Judged by size and by how energies, forces and positions fit each other."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from ase import units
from ase.data import covalent_radii

from potentials.atom_graph import AtomGraph
from potentials.close_pairs import close_pairs
from potentials.errors import InputError

_SAMPLE = 200  # frames looked at
_NOBLE = (2, 10, 18, 36, 54, 86)  # touch at far more than covalent distance
# What the ratio of an energy difference to -(mean force).(displacement) is, were the labels in these units.
_RATIOS = {
    "energies in Hartree with forces in eV/Å": 1 / units.Hartree,
    "energies in kcal/mol with forces in eV/Å": units.mol / units.kcal,
    "energies in kJ/mol with forces in eV/Å": units.mol / units.kJ,
    "energies in eV with forces in Hartree/Bohr": units.Hartree / units.Bohr,
    "energies in Hartree with forces in Hartree/Bohr": 1 / units.Bohr,
    "energies in eV with forces in kcal/mol/Å": units.kcal / units.mol,
    "energies in eV with forces in kJ/mol/Å": units.kJ / units.mol,
    "gradients where forces belong (the opposite sign)": -1.0,
}
# The same for energy differences and volume times mean stress times strain.
_STRESS_RATIOS = {
    "stresses positive under compression (VASP's sign)": -1.0,
    "stresses in GPa": units.GPa,
    "stresses in GPa, positive under compression": -units.GPa,
    "stresses in kbar": 0.1 * units.GPa,
    "stresses in kbar, positive under compression (VASP's)": -0.1 * units.GPa,
}
_FORCE_LIMIT = 30.0  # eV/Å, RMS; molecules at 1000 K have 2
_STRESS_LIMIT = 0.6  # eV/Å^3 (100 GPa), median pressure
_ESCAPE = "set data.labels.*_unit, or data.labels.check_units: false if the values are right"


def check_units(frames: Sequence[AtomGraph], where: str) -> None:
    """Refuse labels that cannot be eV, eV/Å, eV/Å^3 and Å.

    Raises:
        InputError: what was found, what was expected, and the unit that would explain it.
    """
    sample = [frames[i] for i in np.linspace(0, len(frames) - 1, min(_SAMPLE, len(frames))).round().astype(int)]
    _check_lengths(sample, where)
    if "forces" in frames[0]:
        _check_forces(sample, where)
        _check_energies_against_forces(sample, where)
    if "stress" in frames[0]:
        _check_stress(sample, where)
        _check_energies_against_stress(sample, where)


def _check_lengths(frames: Sequence[AtomGraph], where: str) -> None:
    ratios = []
    for frame in frames:
        numbers = frame.numbers.numpy()
        if len(numbers) < 2 or np.isin(numbers, _NOBLE).any():
            continue
        i, j, lengths = close_pairs(frame.positions.numpy(), frame.cell.numpy(), frame.pbc.numpy(), 6.0)
        if len(lengths):
            ratios.append(float((lengths / (covalent_radii[numbers[i]] + covalent_radii[numbers[j]])).min()))
    if not ratios:
        return
    ratio = float(np.median(ratios))
    for unit, low, high in (("nm", 0.0, 0.3), ("Bohr", 1.5, np.inf)):
        if low <= ratio < high:
            raise InputError(
                f"{where}: the closest atoms are {ratio:.2g} covalent bond lengths apart, as if positions were in "
                f"{unit}: convert positions and cells to Å, or set data.labels.check_units: false"
            )


def _check_forces(frames: Sequence[AtomGraph], where: str) -> None:
    # the median over frames: a few violent frames are no wrong unit
    rms = float(np.median([frame.forces.square().mean().sqrt().item() for frame in frames]))
    if rms > _FORCE_LIMIT:
        guesses = {"kcal/mol/A": units.kcal / units.mol, "kJ/mol/A": units.kJ / units.mol}
        guesses |= {"meV/A": 1e-3, "kJ/mol/nm": units.kJ / units.mol / units.nm}
        told = ", ".join(f"{rms * factor:.2g} if they are {unit}" for unit, factor in guesses.items())
        raise InputError(f"{where}: forces of {rms:.3g} eV/Å (RMS) are above {_FORCE_LIMIT:g} ({told}): {_ESCAPE}")


def _check_energies_against_forces(frames: Sequence[AtomGraph], where: str) -> None:
    """Between two geometries dE = -(F1 + F2)/2 . dx up to third order: exact for a harmonic system, any step."""
    differences, works = _works(frames)
    if len(works) < 8 or _constant(differences) or _constant(works):
        return
    correlation = float(np.corrcoef(differences, works)[0, 1])
    if not abs(correlation) > 0.95:  # frames too far apart to judge
        return
    ratio = float(np.median(differences / works)) if np.all(works != 0) else 1.0
    if 0.6 < ratio < 1.6:
        return
    guess = min(_RATIOS, key=lambda name: _distance(ratio, _RATIOS[name]))
    hint = f", as with {guess}" if _distance(ratio, _RATIOS[guess]) < 0.3 else ""
    raise InputError(
        f"{where}: energies change {ratio:.3g} times what the forces say{hint}: "
        "set data.labels.energy_unit and forces_unit, or data.labels.check_units: false if the values are right"
    )


def _constant(values: np.ndarray) -> bool:
    """Whether nothing can be correlated with the values: copies of one frame, say."""
    return float(np.ptp(values)) < 1e-9


def _check_energies_against_stress(frames: Sequence[AtomGraph], where: str) -> None:
    """Between two cells dE + (F1 + F2)/2 . dx = V (s1 + s2)/2 : strain to third order, dx being moves within them."""
    differences, works = _strain_works(frames)
    if len(works) < 8 or _constant(differences) or _constant(works):
        return
    correlation = float(np.corrcoef(differences, works)[0, 1])
    if not abs(correlation) > 0.95:  # cells or atoms too far apart to judge
        return
    ratio = float((differences * works).sum() / (works * works).sum())
    if 0.4 < ratio < 2.5:  # other units and the other sign are farther off
        return
    guess = min(_STRESS_RATIOS, key=lambda name: _distance(ratio, _STRESS_RATIOS[name]))
    hint = f", as with {guess}" if _distance(ratio, _STRESS_RATIOS[guess]) < 0.3 else ""
    raise InputError(
        f"{where}: energies change {ratio:.3g} times what the stresses say{hint}: set data.labels.stress_unit, "
        "or data.labels.check_units: false if the values are right"
    )


def _strain_works(frames: Sequence[AtomGraph]) -> tuple[np.ndarray, np.ndarray]:
    """What energy differences leave to the strain, and the work of the stress, between frames of the same atoms, eV."""
    groups: dict[bytes, list[AtomGraph]] = defaultdict(list)
    for frame in frames:
        if bool(frame.pbc.all()) and frame.stress.isfinite().all():
            groups[frame.numbers.numpy().tobytes()].append(frame)
    differences, works = [], []
    for group in groups.values():
        for first, second in pairwise(group):
            before, after = first.cell.numpy(), second.cell.numpy()
            deformation = np.linalg.inv(before) @ after - np.eye(3)
            strain = 0.5 * (deformation + deformation.T)
            fractions = [frame.positions.numpy() @ np.linalg.inv(frame.cell.numpy()) for frame in (first, second)]
            moved = (fractions[1] - fractions[0]) @ (0.5 * (before + after))
            if not 1e-4 < np.abs(deformation).max() < 0.1 or np.abs(moved).max() > 1.0:
                continue
            inner = 0.0
            if "forces" in first:
                inner = float((0.5 * (first.forces + second.forces).numpy() * moved).sum())
            elif np.abs(moved).max() > 1e-3:  # the atoms' own share is not known
                continue
            volume = 0.5 * abs(np.linalg.det(before) + np.linalg.det(after))
            differences.append((second.energy - first.energy).item() + inner)
            works.append(volume * float((0.5 * (first.stress[0] + second.stress[0]).numpy() * strain).sum()))
    return np.array(differences), np.array(works)


def _distance(ratio: float, other: float) -> float:
    return abs(np.log(ratio / other)) if ratio * other > 0 else np.inf


def _works(frames: Sequence[AtomGraph]) -> tuple[np.ndarray, np.ndarray]:
    """Energy differences and works of forces between frames of the same atoms in the same cell, eV."""
    groups: dict[bytes, list[AtomGraph]] = defaultdict(list)
    for frame in frames:
        groups[frame.numbers.numpy().tobytes() + frame.cell.numpy().round(4).tobytes()].append(frame)
    differences, works = [], []
    for group in groups.values():
        for first, second in pairwise(group):
            moved = (second.positions - first.positions).numpy()
            if np.abs(moved).max() > 1.0:  # wrapped, or another place on the surface
                continue
            mean_force = 0.5 * (first.forces + second.forces).numpy()
            differences.append((second.energy - first.energy).item())
            works.append(-float((mean_force * moved).sum()))
    return np.array(differences), np.array(works)


def _check_stress(frames: Sequence[AtomGraph], where: str) -> None:
    pressures = [abs(frame.stress[0].diagonal().mean().item()) for frame in frames if frame.stress.isfinite().all()]
    if not pressures:
        raise InputError(f"{where}: stresses are asked for and no frame has a three-dimensional cell: drop the key")
    typical = float(np.median(pressures))
    if typical > _STRESS_LIMIT:
        raise InputError(
            f"{where}: pressures of {typical:.3g} eV/Å^3 ({typical / units.GPa:.3g} GPa) are above {_STRESS_LIMIT:g} "
            f"({typical:.3g} GPa if they are GPa, {typical / 10:.3g} GPa if kbar): {_ESCAPE}"
        )
