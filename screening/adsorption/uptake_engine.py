"""Which engine makes a grand-canonical run, and the run itself: the evaluators' way to an uptake."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from screening.adsorption.batched.gcmc_sampling import MOST_WORK
from screening.adsorption.framework import Host
from screening.adsorption.gases import Gas, find_gas
from screening.adsorption.gcmc import GcmcSettings, UptakeResult, uptake_of_host
from screening.adsorption.state_names import point_name
from screening.stage_report import tell

# batched: ours, on energy grids; raspa: RASPA3; auto: ours unless a gas is polar. Ours inserts whole molecules blindly,
# RASPA3 grows them where they fit, which dense water needs; where neither does, ours is tens of times faster.
Engine = Literal["auto", "batched", "raspa"]
NONPOLAR = 0.02  # e Å; a molecule with a larger dipole is polar


def is_polar(gas: Gas) -> bool:
    """Whether a gas has a dipole."""
    return float(np.linalg.norm(sum(site.charge * np.array(site.position) for site in gas.sites))) > NONPOLAR


def uptakes(
    host: Host,
    mixture: Mapping[str, float],
    pressures: Sequence[float],
    temperature: float,
    *,
    engine: Engine,
    error: float,
    protocol: GcmcSettings,
    seed: int,
    most_work: float = MOST_WORK,
) -> list[UptakeResult]:
    """Uptake of a gas or mixture at every pressure.

    Args:
        host: a prepared framework.
        mixture: gas name to mole fraction in the gas phase.
        pressures: Pa.
        temperature: K.
        engine: see `Engine`.
        error: relative standard error to reach, of our engine.
        protocol: cycles of RASPA3.
        seed: of the run.
        most_work: budget of our engine a state point (see `IsothermSettings`); a result cut short says so.

    Raises:
        InputError: as `isotherm_of_host` and `gcmc_uptake`.
    """
    gases = [find_gas(host.force_field.gases, name) for name in mixture]
    if engine == "batched" or (engine == "auto" and not any(is_polar(gas) for gas in gases)):
        from screening.adsorption.batched.uptake import batched_uptakes

        return batched_uptakes(host, mixture, pressures, temperature, error, seed, most_work)
    found = []
    for index, pressure in enumerate(pressures):
        tell(f"{point_name(mixture, pressures, index, temperature)}, by RASPA3")
        found.append(uptake_of_host(host, mixture, pressure, temperature, protocol, seed))
    return found
