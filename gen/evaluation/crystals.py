"""`sorbus evaluate`: the field's metrics of generated crystals, each with its protocol."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pymatgen.core import Structure
from scipy.stats import wasserstein_distance

import gen
from gen.crystals import symmetry
from gen.crystals.generation import symmetrize
from gen.evaluation import composition, coverage, novelty, validity
from gen.evaluation.metric import Metric
from gen.evaluation.reference import Reference, read_reference
from potentials.errors import InputError

SYMPREC = 0.1  # Å, within which symmetry is looked for and imposed
EXACT = 0.01  # Å, at which a crystal counts as symmetric as it stands
WEIGHTS = Path(gen.__file__).parent / "weights"


def evaluate_crystals(
    structures: Sequence[Structure],
    reference: Reference | str | None = "crystals",
    training: Sequence[Structure] | None = None,
) -> list[Metric]:
    """Validity, uniqueness, symmetry, and (with a reference) novelty, coverage and distribution distances.

    Args:
        structures: generated crystals, the invalid ones included.
        reference: what novelty (by fingerprint) and distances are measured against: shipped weights by name, a
            checkpoint folder, a `Reference`, or None to leave them out.
        training: training structures, if at hand: novelty by structure matching as well, and coverage of them.

    Raises:
        InputError: no structures, a disordered one, or no such reference.
    """
    if not structures:
        raise InputError("no structures to evaluate: give at least one")
    for position, structure in enumerate(structures):
        if not structure.is_ordered:
            raise InputError(f"structure {position} ({structure.formula}) is disordered: order or drop it")
    if isinstance(reference, str):
        shipped = WEIGHTS / reference
        reference = read_reference(shipped if shipped.is_dir() else reference)
    count = f"n = {len(structures)}"
    structural = np.array([validity.is_structure_valid(s) for s in structures])
    smact = np.array([composition.is_smact_valid(s.composition) for s in structures])
    neutral = np.array([composition.is_charge_neutral(s.composition) for s in structures])
    unique = np.array(novelty.unique_flags(structures))
    groups = np.array([space_group(s) for s in structures])
    exact = np.array([space_group(s, EXACT) for s in structures])
    imposed = np.array([space_group(symmetrize(s, SYMPREC), EXACT) for s in structures])
    rule = f"CDVAE rule: pure element or all-metal alloy, or charge neutral and Pauling; table {composition.TABLE}"
    metrics = [
        _share("structural_validity", structural, f"{validity.PROTOCOL}; {count}"),
        _share("smact_validity", smact, f"{rule}; {count}"),
        _share(
            "charge_neutral_strict",
            neutral,
            f"neutral by some listed oxidation states, alloys not exempt, no Pauling test; "
            f"table {composition.TABLE}; {count}",
        ),
        _share("valid", structural & smact, f"structural and SMACT validity; {count}"),
        _share("unique", unique, f"matches no earlier one; {novelty.MATCHER}; {count}"),
        _share("not_p1", groups > 1, f"spglib space group above 1 at symprec {SYMPREC} Å, as handed in; {count}"),
        _share("not_p1_exact", exact > 1, f"the same at symprec {EXACT} Å, as handed in; {count}"),
        _share(
            "not_p1_symmetrised",
            imposed > 1,
            f"at symprec {EXACT} Å, after the symmetry found within {SYMPREC} Å was imposed; {count}",
        ),
    ]
    if reference is not None:
        metrics += _against(reference, structures, count)
    if reference is not None or training is not None:
        metrics += _coverage(structures, structural, training)
    if training is not None:
        flags = np.array(novelty.novel_flags_by_matching(structures, training))
        protocol = f"matches none of {len(training)} training structures; {novelty.MATCHER}; {count}"
        metrics.append(_share("novel_by_matching", flags, protocol))
    return metrics


def _coverage(structures: Sequence[Structure], usable: np.ndarray, known: Sequence[Structure] | None) -> list[Metric]:
    """Coverage of `known`, or of the shipped held-out crystals; structurally invalid crystals cover nothing."""
    held_out, cutoffs = coverage.read_held_out()
    what = f"{len(held_out)} held-out crystals, of which as many training crystals cover 0.28 (precision 0.26)"
    if known is not None:
        held_out, what = coverage.fingerprints(known), f"{len(known)} known crystals"
    generated = coverage.fingerprints([s for s, good in zip(structures, usable, strict=True) if good])
    if not len(generated):
        return []
    what += f"; {len(generated)} structurally valid ones compared"
    return coverage.coverage_metrics(generated, held_out, cutoffs, what, count=len(structures))


def space_group(structure: Structure, symprec: float = SYMPREC) -> int:
    """International number of the space group within `symprec` Å; 1 where spglib finds none."""
    numbers = np.array([site.specie.Z for site in structure])
    return symmetry.space_group((structure.lattice.matrix, structure.frac_coords, numbers), symprec) or 1


def _against(reference: Reference, structures: Sequence[Structure], count: str) -> list[Metric]:
    novel = np.array(novelty.novel_flags(structures, reference))
    new_formula = np.array([s.composition.reduced_formula not in reference.training for s in structures])
    trained = f"{sum(len(v) for v in reference.training.values())} training crystals"
    held_out = f"Wasserstein-1 distance to {len(reference.density)} held-out crystals"
    densities = [s.density for s in structures]
    seen = reference.training_density()
    density = wasserstein_distance(densities, reference.density)
    elements = wasserstein_distance([len(s.composition) for s in structures], reference.elements)
    tolerance = f"{novelty.VOLUME_TOLERANCE:.0%}"
    return [
        _share(
            "novel",
            novel,
            f"no crystal of equal reduced formula and volume per atom within {tolerance} among {trained}; {count}",
        ),
        _share("new_formula", new_formula, f"reduced formula not among {trained}; {count}"),
        Metric(
            "wasserstein_density",
            float(density),
            "g/cm^3",
            f"{held_out}; {_sampling_noise(reference.density, len(structures))}, as many training crystals "
            f"{_distance_of_draws(seen, reference.density, len(structures))}; {count}",
        ),
        Metric(
            "wasserstein_density_training",
            float(wasserstein_distance(densities, seen)),
            "g/cm^3",
            f"Wasserstein-1 distance to {trained}; {_sampling_noise(seen, len(structures))}; {count}",
        ),
        Metric(
            "wasserstein_elements",
            float(elements),
            "elements",
            f"{held_out}; {_sampling_noise(reference.elements, len(structures))}; {count}",
        ),
    ]


def _sampling_noise(values: np.ndarray, count: int) -> str:
    """How far a perfect generator would be at this sample size."""
    return f"as many drawn from those are {_distance_of_draws(values, values, count)} away"


def _distance_of_draws(source: np.ndarray, values: np.ndarray, count: int) -> str:
    """Mean distance from `values` of `count` drawn from `source`, over fifty draws."""
    rng = np.random.default_rng(0)
    return f"{np.mean([wasserstein_distance(rng.choice(source, count), values) for _ in range(50)]):.3f}"


def _share(name: str, flags: np.ndarray, protocol: str) -> Metric:
    return Metric(name, float(np.mean(flags)), "fraction", protocol)
