"""How a measured number is written for people: digits that mean something, names with their conditions."""

import math
import re

_SYMBOLS = {"co2": "CO2", "n2": "N2", "h2o": "H2O", "ch4": "CH4", "o2": "O2", "h2": "H2", "ar": "Ar"}
_CAPITALS = {"pld", "lcd", "vsa", "tsa", "psa", "dac", "rmsd", "tpsa", "aps"}
_UNIT_ENDING = re.compile(r"_(angstrom|g_cm3|m2_g|m2_cm3|ev_atom|kj_mol)$")  # the unit stands beside the label
_CONDITION = re.compile(r"([0-9.]+)(K|bar|Pa|kPa|mbar|ppm)")


def with_error(value: float | None, std: float | None = None) -> str:
    """`2.31 ± 0.05`: the error to two figures and the value as far; four figures where no error is known."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    value += 0.0  # -0.0 prints a sign
    known = std is not None and math.isfinite(std) and std > 0
    size = max(abs(value), std) if known and std is not None else abs(value)
    exponent = math.floor(math.log10(size)) if size else 0
    if exponent < -3 or exponent > 5:  # 3.53e-05 reads better than 0.0000353
        mantissa = with_error(value / 10**exponent, std / 10**exponent if known and std is not None else None)
        return f"({mantissa})e{exponent:+03d}" if "±" in mantissa else f"{mantissa}e{exponent:+03d}"
    if not known or std is None:
        decimals = max(0, 3 - exponent)
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    decimals = max(0, 1 - math.floor(math.log10(float(f"{std:.1e}"))))  # rounded first: 0.0996 is 0.10
    return f"{value:.{decimals}f} ± {std:.{decimals}f}"


def label(name: str) -> str:
    """`co2_uptake_0.15bar_298K` as `CO2 uptake, 0.15 bar, 298 K`; the model of an ensemble's figure in brackets."""
    name, _, model = name.partition("@")
    if model:
        return f"{label(name)} ({model.replace('+', ', ')} charges)"
    words, conditions = [], []
    for word in _UNIT_ENDING.sub("", name).split("_"):
        condition = _CONDITION.fullmatch(word)
        if condition:
            conditions.append(f"{condition.group(1)} {condition.group(2)}")
        else:
            words.append(_SYMBOLS.get(word, word.upper() if word in _CAPITALS else word))
    if words[-1:] == ["henry"]:
        words[-1] = "Henry coefficient"
    elif words[-1:] == ["heat"]:
        words[-1] = "heat of adsorption"
    gases = _SYMBOLS.values()
    pair = next((k for k in range(len(words) - 1) if words[k] in gases and words[k + 1] in gases), None)
    if pair is not None:  # co2_n2_selectivity: one gas over another
        words[pair : pair + 2] = ["/".join(words[pair : pair + 2])]
    text = " ".join("Henry" if word == "henry" else word for word in words)
    text = text if text[:1].isupper() else text[:1].upper() + text[1:]
    return ", ".join([text, *conditions])


def label_with_unit(name: str, unit: str) -> str:
    """The label and, for what has one, its unit in brackets."""
    return f"{label(name)} [{unit}]" if unit and unit != "bool" else label(name)
