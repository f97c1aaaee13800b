"""Crystals with the symmetry real ones of their stoichiometry have: the space group is drawn, then held exactly.

The network knows no space groups, and what it makes of more than a dozen atoms is seldom symmetric, while over 98 % of
known crystals are. Here the model draws a composition first; a space group is then drawn from the training crystals of
that stoichiometry and size (of that size alone, if there is none), and the geometry is generated under it.
"""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pymatgen.core import Composition

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import parse_conditions
from gen.crystals.generation import Generated, generate_crystals
from gen.crystals.sampling import SamplingConfig
from gen.evaluation.reference import Reference
from potentials.errors import InputError

TRIES = 20  # distinct space groups tried before the constraint is given up


def symmetric_crystals(
    model: CrystalModel,
    reference: Reference,
    indices: Sequence[int],
    seed: int,
    conditions: Mapping[str, Any] | None = None,
    config: SamplingConfig | None = None,
    *,
    resample_invalid: bool = False,
) -> list[Generated]:
    """Generate one crystal for each index, in order, under a space group drawn from the training set.

    Structure i depends on (seed, i), the conditions and the settings alone. Where no drawn group can be met by the
    composition, the crystal is generated without that constraint.

    Args:
        reference: fingerprints of the training crystals.
        conditions: without `composition` or `space_group`, which are drawn.
    """
    config = config or SamplingConfig()
    # species come before the geometry: one coarse step is enough to know them
    coarse = config.model_copy(update={"steps": 1, "quench_steps": 0, "species_finish": 1.0, "symmetry": "free"})
    drawn = generate_crystals(model, indices, seed, conditions, coarse)
    known = _groups(reference)
    done = {}
    for sketch in drawn:
        if sketch.structure is None:
            done[sketch.index] = sketch
            continue
        composition, n_atoms = sketch.structure.composition, len(sketch.structure)
        asked = {"composition": composition.reduced_formula, "num_atoms": n_atoms}
        for group in _candidates(known, composition, n_atoms, seed, sketch.index):
            if _possible(model, {**asked, "space_group": group}):
                asked["space_group"] = group
                break
        (done[sketch.index],) = generate_crystals(
            model, [sketch.index], seed, asked, config, resample_invalid=resample_invalid
        )
    return [done[index] for index in indices]


def _groups(reference: Reference) -> dict[tuple[str, int], list[int]]:
    """Space groups of training crystals by (anonymous formula, atoms) and by ("", atoms)."""
    found: dict[tuple[str, int], list[int]] = collections.defaultdict(list)
    for formula, crystals in sorted(reference.training.items()):
        anonymous = Composition(formula).anonymized_formula
        for crystal in crystals:
            found[anonymous, crystal.n_atoms].append(crystal.space_group)
            found["", crystal.n_atoms].append(crystal.space_group)
    return found


def _candidates(
    known: Mapping[tuple[str, int], list[int]], composition: Composition, n_atoms: int, seed: int, index: int
) -> list[int]:
    """Space groups in the order in which they are tried: as often as they occur, the same stoichiometry first."""
    generator = generator_for(seed, "symmetry", index)
    order: list[int] = []
    for key in ((composition.anonymized_formula, n_atoms), ("", n_atoms)):
        groups = known.get(key, [])
        order += [groups[i] for i in torch.randperm(len(groups), generator=generator).tolist()]
    return list(dict.fromkeys(order))[:TRIES]


def _possible(model: CrystalModel, asked: Mapping[str, Any]) -> bool:
    try:
        parse_conditions(asked, model.elements, model.atom_counts, model.formula_units, model.properties)
    except InputError:
        return False
    return True
