"""Uptakes by the batched engine as the evaluators want them: pockets blocked as the model says."""

from collections.abc import Mapping, Sequence

from screening.adsorption.batched.gcmc_sampling import MOST_WORK, IsothermSettings
from screening.adsorption.batched.isotherm import isotherm_of_host
from screening.adsorption.blocking import pocket_blocks
from screening.adsorption.framework import Host
from screening.adsorption.gases import find_gas
from screening.adsorption.gcmc import UptakeResult


def batched_uptakes(
    host: Host,
    mixture: Mapping[str, float],
    pressures: Sequence[float],
    temperature: float,
    error: float,
    seed: int,
    most_work: float = MOST_WORK,
) -> list[UptakeResult]:
    """Uptake of a gas or mixture at every pressure (Pa), to a relative standard error within a budget of work.

    Raises:
        InputError: as `isotherm_of_host`, for a polar gas among others.
    """
    gases = [find_gas(host.force_field.gases, name) for name in mixture]
    spheres = {gas.name: pocket_blocks(host, gas) for gas in gases}
    blocks = {name: (found.centres, found.radii) for name, found in spheres.items()}
    effort = IsothermSettings(error=error, most_work=most_work)
    return list(isotherm_of_host(host, mixture, pressures, temperature, settings=effort, seed=seed, blocks=blocks))
