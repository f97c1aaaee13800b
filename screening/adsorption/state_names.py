"""What a state point is called where people read of it."""

from collections.abc import Mapping, Sequence


def state_name(mixture: Mapping[str, float], temperature: float) -> str:
    """Gases and temperature (K), such as `CO2 at 298 K` or `15 % CO2 + 85 % N2 at 298 K`."""
    if len(mixture) == 1:
        return f"{next(iter(mixture))} at {temperature:g} K"
    return " + ".join(f"{100 * share:g} % {gas}" for gas, share in mixture.items()) + f" at {temperature:g} K"


def point_name(mixture: Mapping[str, float], pressures: Sequence[float], index: int, temperature: float) -> str:
    """One of several pressures (Pa) of a state, such as `CO2 at 298 K: point 2 of 6, 0.05 bar`."""
    bar = f"{pressures[index] / 1e5:.3g} bar"
    state = state_name(mixture, temperature)
    return f"{state}: point {index + 1} of {len(pressures)}, {bar}" if len(pressures) > 1 else f"{state}: {bar}"
