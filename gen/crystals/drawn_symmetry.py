"""Crystals with the symmetry real ones have: the space group is drawn from the training set, then held exactly.

The network knows no space groups, and what it makes of more than a dozen atoms is seldom symmetric. Over 98 % of known
crystals are, so a pair (atoms, space group) of a training crystal is drawn first and imposed as a constraint.
"""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import parse_conditions
from gen.crystals.generation import Generated, generate_crystals
from gen.crystals.sampling import SamplingConfig
from gen.evaluation.reference import Reference
from potentials.errors import InputError


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
    """Generate one crystal for each index, in order, each in a space group drawn from the training set.

    Structure i depends on (seed, i), the conditions and the settings alone. A pair that no arrangement of orbits meets
    exactly under the conditions is replaced by one without the constraint.
    """
    pairs = sorted((crystal.n_atoms, crystal.space_group) for known in reference.training.values() for crystal in known)
    alike: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
    for index in indices:
        chosen = torch.randint(len(pairs), (1,), generator=generator_for(seed, "symmetry", index))
        alike[pairs[int(chosen)]].append(index)
    done: dict[int, Generated] = {}
    for (n_atoms, group), members in sorted(alike.items()):
        asked = {**(conditions or {}), "num_atoms": n_atoms}
        try:
            parse_conditions(
                {**asked, "space_group": group},
                model.elements,
                model.atom_counts,
                model.formula_units,
                model.properties,
            )
            asked["space_group"] = group
        except InputError:
            pass  # what the rest of the conditions asks for is checked below
        made = generate_crystals(model, members, seed, asked, config, resample_invalid=resample_invalid)
        done.update({result.index: result for result in made})
    return [done[index] for index in indices]
