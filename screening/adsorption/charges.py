"""Partial charges of a framework: its own, the force field's, or from a model."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from potentials.errors import InputError
from screening.adsorption.environment_charges import environment_charges, unreferenced_elements
from screening.adsorption.eqeq import eqeq_charges

NEUTRAL_WITHIN = 0.1  # e a cell; published charges are rounded, more than this is a mistake
PLAUSIBLE_CHARGE = 4.0  # e; the largest DDEC charge in 2,535 frameworks is 2.99 e, of uranium
LEARNED = "learned ("  # how the word on learned charges begins
GIVEN, FORCE_FIELD = "given", "force-field"  # the words on charges of the structure and of the force field


def framework_charges(
    structure: Structure, elements: Sequence[str], method: str, fixed: Mapping[str, float] | None
) -> tuple[np.ndarray, str]:
    """Charges [n_atoms] (e, summing to zero) and a word on where they are from.

    In order: `none` gives zeros; a site property `charge` that is not zero throughout is used as given; a force
    field's own charges; then `method`: `learned`, `environment` or `eqeq`, each falling back to the next, in words,
    where the framework holds an element it does not know. Learned charges know a metal never trained on by its kin and
    its surroundings, which is the better guess: 0.041 e off on 54 frameworks whose Ca or V was hidden (environment
    charges: 0.076), 0.045 e on UiO-66, since no Zr was trained on (EQeq: 0.129).

    Raises:
        InputError: given charges that are not finite or not neutral, or an element the method does not know.
    """
    n = len(elements)
    if method == "none":
        return np.zeros(n), "no"
    given = structure.site_properties.get("charge")
    if given is not None and any(given):
        return neutral(np.array(given, dtype=float), "the charges given with the structure"), GIVEN
    if fixed is not None:
        return neutral(np.array([fixed[element] for element in elements]), "the force field's charges"), FORCE_FIELD
    fallen_back = ""
    if method == "learned":
        # torch takes its time
        from screening.adsorption.learned_charges import charges_of, rare_elements, shipped_model, unseen_elements

        model, untrained = shipped_model(), unseen_elements(elements)
        try:
            charges, unseen = charges_of(structure, elements, model)
        except InputError:  # an element that nothing at all is known of
            if not untrained:
                raise
            method, fallen_back = "environment", f", the charge model never saw {', '.join(untrained)}"
        else:
            words = [f"model {model.mark}", f"{unseen:.0%} of atoms bonded in a way never seen"]
            if untrained:
                words.append(f"{', '.join(untrained)} never seen and taken like kin")
            if rare := {symbol: count for symbol, count in rare_elements(elements).items() if symbol not in untrained}:
                counts = ", ".join(f"{symbol} ({count})" for symbol, count in rare.items())
                words.append(f"few training frameworks with {counts}")
            return charges, f"{LEARNED}{', '.join(words)})"
    if method == "environment":
        unreferenced = unreferenced_elements(elements)
        if not unreferenced:
            charges, unseen = environment_charges(structure, elements)
            return charges, f"environment ({unseen:.0%} of atoms bonded in a way never seen{fallen_back})"
        label = f"EQeq (no reference charges for {', '.join(unreferenced)})"
    else:
        label = "EQeq"
    charges = eqeq_charges(structure, elements)
    largest = int(np.abs(charges).argmax())
    if abs(charges[largest]) > PLAUSIBLE_CHARGE:
        raise InputError(
            f"charge equilibration gives {elements[largest]} {charges[largest]:+.1f} e, beyond "
            f"{PLAUSIBLE_CHARGE:g} e: give the structure charges of its own"
        )
    return charges, label


@cache
def charge_model_mark() -> str:
    """Eight digits that tell the shipped charge model from others, for what is kept of results that rest on it."""
    import potentials

    path = Path(potentials.__file__).parent / "weights" / "charges" / "model.json"
    return str(json.loads(path.read_text(encoding="utf-8"))["weights_sha256"])[:8]


def neutral(charges: np.ndarray, what: str) -> np.ndarray:
    """Charges with the rounding of their sum spread evenly over all atoms.

    Raises:
        InputError: they are not finite, or their sum is more than rounding.
    """
    if not np.isfinite(charges).all():
        raise InputError(f"{what} hold a value that is not a number: give every atom a charge in e")
    if abs(charges.sum()) > NEUTRAL_WITHIN:
        raise InputError(
            f"{what} sum to {charges.sum():.3f} e a cell, beyond {NEUTRAL_WITHIN:g} e: a framework must be neutral"
        )
    return np.asarray(charges - charges.mean())
