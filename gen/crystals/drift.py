"""Is a generator drifting? Element, size and symmetry histograms of what it makes, against its training set's.

Self-training on stable crystals favours whatever is easily stable: published loops slid towards lanthanides. What is
kept is therefore capped element by element, and what is made is compared with the training set after every round.
"""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Composition, Element, Structure

from gen.crystals.dataset import CrystalGroup
from gen.crystals.symmetry import space_group

LANTHANIDES = frozenset(Element.from_Z(z).symbol for z in range(57, 72))
FAMILY = "lanthanides"
SYMPREC = 0.1  # Å


@dataclass(frozen=True)
class Census:
    """Histograms of a set of crystals; shares of crystals, except `elements`, which are shares of element mentions."""

    elements: dict[str, float]  # symbol -> share of all (crystal, element) pairs
    containing: dict[str, float]  # symbol, or `lanthanides` -> share of crystals that contain it
    prototypes: dict[str, float]  # anonymous formula and space group, e.g. "ABC3 221"
    groups: dict[str, float]  # space group number
    sizes: dict[str, float]  # number of elements

    @property
    def hhi(self) -> float:
        """Herfindahl-Hirschman index of the elements: sum of squared shares, 1 / (effective number of elements)."""
        return sum(share**2 for share in self.elements.values())


def census(crystals: Iterable[tuple[Composition, int]]) -> Census:
    """Histograms of (composition, space group number) pairs."""
    counters: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    count = 0
    for composition, group in crystals:
        count += 1
        symbols = {str(symbol) for symbol in composition.get_el_amt_dict()}
        counters["elements"].update(symbols)
        counters["containing"].update(symbols | ({FAMILY} if symbols & LANTHANIDES else set()))
        counters["prototypes"][f"{composition.anonymized_formula} {group}"] += 1
        counters["groups"][str(group)] += 1
        counters["sizes"][str(len(symbols))] += 1
    total = sum(counters["elements"].values())
    return Census(
        elements={key: n / total for key, n in counters["elements"].items()},
        **{
            name: {key: n / count for key, n in counters[name].items()}
            for name in ("containing", "prototypes", "groups", "sizes")
        },
    )


def census_of_groups(groups: Mapping[int, CrystalGroup]) -> Census:
    """Histograms of a training set."""
    return census(
        (Composition(collections.Counter(Element.from_Z(z).symbol for z in row)), int(number))
        for group in groups.values()
        for row, number in zip(group.numbers.tolist(), group.space_group.tolist(), strict=True)
    )


def census_of_structures(structures: Sequence[Structure]) -> Census:
    """Histograms of structures, their symmetry found within 0.1 Å."""
    return census((s.composition, _group(s)) for s in structures)


def divergence(share: Mapping[str, float], reference: Mapping[str, float], count: int) -> float:
    """Kullback-Leibler divergence in nats of a histogram of `count` samples from a reference.

    Both get half a count a bin (of all bins either has) as a prior, so that a rare bin is not infinitely surprising.
    """
    bins = sorted(set(share) | set(reference))
    own = np.array([share.get(b, 0.0) * count + 0.5 for b in bins])
    known = np.array([reference.get(b, 0.0) * count + 0.5 for b in bins])
    own, known = own / own.sum(), known / known.sum()
    return float((own * np.log(own / known)).sum())


def drift(own: Census, reference: Census, count: int) -> dict[str, float]:
    """What to watch after every round; the divergences are from the training set."""
    return {
        "kl_elements": divergence(own.elements, reference.elements, count),
        "kl_space_groups": divergence(own.groups, reference.groups, count),
        "kl_sizes": divergence(own.sizes, reference.sizes, count),
        "hhi_elements": own.hhi,
        "effective_elements": 1 / own.hhi,
        "distinct_elements": float(len(own.elements)),
        "distinct_prototypes": float(len(own.prototypes)),
        "share_lanthanides": own.containing.get(FAMILY, 0.0),
    }


def within_caps(
    compositions: Sequence[Composition],
    reference: Census,
    growth: float,
    denied: Iterable[str],
    total: int | None = None,
) -> list[bool]:
    """Which crystals may be kept, in the order given, so that no element takes over.

    An element (and the lanthanides together) may occur in at most `growth` times its share of the training set, out of
    `total` (by default all) crystals, and always in two.

    Args:
        compositions: the best first.
        denied: elements that are never kept.
    """
    denied = set(denied)
    total = len(compositions) if total is None else total
    used: collections.Counter[str] = collections.Counter()
    flags = []
    for composition in compositions:
        symbols = {str(symbol) for symbol in composition.get_el_amt_dict()}
        counted = symbols | ({FAMILY} if symbols & LANTHANIDES else set())
        fits = not symbols & denied and all(
            used[key] < max(2, math.floor(growth * reference.containing.get(key, 0.0) * total)) for key in counted
        )
        if fits:
            used.update(counted)
        flags.append(fits)
    return flags


def _group(structure: Structure) -> int:
    numbers = np.array([site.specie.Z for site in structure])
    return space_group((structure.lattice.matrix, structure.frac_coords, numbers), SYMPREC) or 1
