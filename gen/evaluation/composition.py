"""Does a composition make chemical sense: charge neutrality and the Pauling test, after SMACT.

The rule is the one CDVAE introduced for generated crystals (Xie et al. 2022, App. B.2; Davies et al. 2019, SMACT).
Its outcome moves with the table of oxidation states (73 to 97 % of real binaries and ternaries pass), so every
figure names the table.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import smact
from pymatgen.core import Composition

TABLE = "ICSD24 (the default `oxidation_states` of smact 4)"


@cache
def _element(symbol: str) -> tuple[tuple[int, ...], float | None]:
    """Oxidation states and Pauling electronegativity, from SMACT's tables."""
    try:
        data = smact.Element(symbol)
    except (KeyError, NameError):
        return (), None
    return tuple(data.oxidation_states or ()), data.pauling_eneg


def is_charge_neutral(composition: Composition) -> bool:
    """Whether some listed oxidation state per element sums to zero; no exemption for alloys.

    A pure element counts as neutral.
    """
    counts = _counts(composition)
    return len(counts) == 1 or any(_neutral_states(counts))


def is_smact_valid(composition: Composition) -> bool:
    """CDVAE's composition validity: a pure element, an alloy of metals alone, or neutral and passing Pauling.

    The Pauling test asks that every cation be less electronegative than every anion; where SMACT has no
    electronegativity for an element it cannot fail.
    """
    counts = _counts(composition)
    if len(counts) == 1 or all(symbol in smact.metals for symbol in counts):
        return True
    electronegativities = [_element(symbol)[1] for symbol in counts]
    return any(passes_pauling(states, electronegativities) for states in _neutral_states(counts))


def _counts(composition: Composition) -> dict[str, int]:
    return {str(symbol): round(amount) for symbol, amount in composition.get_el_amt_dict().items()}


def _neutral_states(counts: Mapping[str, int]) -> Iterator[tuple[int, ...]]:
    """Combinations of one oxidation state per element whose charges cancel."""
    options = [_element(symbol)[0] for symbol in counts]
    amounts = list(counts.values())
    for states in itertools.product(*options):
        if sum(state * amount for state, amount in zip(states, amounts, strict=True)) == 0:
            yield states


def passes_pauling(states: Sequence[int], electronegativities: Sequence[float | None]) -> bool:
    """Whether every cation is less electronegative than every anion; a missing value is no objection."""
    if any(value is None for value in electronegativities):
        return True
    pairs = [(s, e) for s, e in zip(states, electronegativities, strict=True) if e is not None]
    cations = [e for state, e in pairs if state > 0]
    anions = [e for state, e in pairs if state < 0]
    return bool(cations) and bool(anions) and max(cations) < min(anions)
