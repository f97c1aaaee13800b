"""Adsorption evaluators of a campaign: Henry coefficients and heats, and uptake at the points of a VSA cycle."""

from collections.abc import Callable, Mapping

from pydantic import Field

from potentials.config import Config
from potentials.errors import GeometryError, InputError
from screening.adsorption.batched.gcmc_sampling import MOST_WORK
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import Host, prepare_host
from screening.adsorption.gcmc import ComponentUptake, GcmcSettings, UptakeResult
from screening.adsorption.henry import HenrySettings, henry_of_host
from screening.adsorption.host_checks import with_warnings
from screening.adsorption.process import Measured, ratio, regenerability, selectivity, working_capacity
from screening.adsorption.uptake_engine import Engine, uptakes
from screening.candidate import Candidate, Evaluation, Property

__all__ = ["HenrySettings", "UptakeSettings", "evaluate_henry", "evaluate_uptake"]


class UptakeSettings(Config):
    """Vacuum-swing cycle: adsorption from dry flue gas, desorption under pure CO2."""

    model: HostGuestModel = HostGuestModel()
    co2_fraction: float = Field(default=0.15, gt=0.0, lt=1.0)  # of the feed; the rest is N2
    adsorption_pressure: float = Field(default=1e5, gt=0.0)  # Pa, of the feed
    adsorption_temperature: float = Field(default=298.0, gt=0.0)  # K
    desorption_pressure: float = Field(default=1e4, gt=0.0)  # Pa, of CO2
    desorption_temperature: float = Field(default=363.0, gt=0.0)  # K
    engine: Engine = "auto"  # batched: ours, on energy grids, tens of times faster; auto: ours unless a gas is polar
    error: float = Field(default=0.03, gt=0.0, lt=1.0)  # relative standard error to reach; batched only
    # distances between guests looked at a state point, 3 to 10 ns each, after which it stops and says so; batched only
    most_work: float = Field(default=MOST_WORK, ge=1e6)
    equilibration_cycles: int = Field(default=300, ge=0)  # a cycle is max(20, molecules) moves; raspa only
    production_cycles: int = Field(default=900, ge=10)  # raspa only


def evaluate_henry(candidate: Candidate, settings: HenrySettings, seed: int) -> Evaluation:
    """Henry coefficient and zero-loading heat of every gas of the settings, and the CO2/N2 Henry selectivity.

    A framework the model cannot describe (an element without parameters, charges that are not neutral, a cell
    that is no crystal) is rejected with the reason.
    """
    return _with_host(candidate, settings.model, lambda host: _henry_properties(host, settings, seed))


def evaluate_uptake(candidate: Candidate, settings: UptakeSettings, seed: int) -> Evaluation:
    """CO2 and N2 uptake from the feed, CO2 uptake at desorption, and the figures of the cycle.

    Rejects as `evaluate_henry` does.
    """
    return _with_host(candidate, settings.model, lambda host: _uptake_properties(host, settings, seed))


def _with_host(
    candidate: Candidate, model: HostGuestModel, measure: Callable[[Host], tuple[Property, ...]]
) -> Evaluation:
    try:
        host = prepare_host(candidate.structure, model)
    except (InputError, GeometryError) as error:
        return Evaluation(rejected=str(error))
    return Evaluation(properties=with_warnings(measure(host), candidate.structure, model))


def _henry_properties(host: Host, settings: HenrySettings, seed: int) -> tuple[Property, ...]:
    properties = []
    coefficients = {}
    for name in settings.gases:
        result = henry_of_host(host, name, settings.temperature, settings, seed)
        prefix, suffix = result.gas.lower(), f"{settings.temperature:g}K"
        coefficients[result.gas] = Measured(result.henry_coefficient, result.henry_std)
        properties += [
            Property(
                f"{prefix}_henry_{suffix}",
                result.henry_coefficient,
                "mol/(kg Pa)",
                result.henry_std,
                result.method,
                result.note,
            ),
            Property(
                f"{prefix}_heat_{suffix}",
                result.heat,
                "kJ/mol",
                result.heat_std,
                f"isosteric at zero loading, positive when heat is released; {result.method}",
                result.note,
            ),
        ]
    if {"CO2", "N2"} <= coefficients.keys():
        quotient = ratio(coefficients["CO2"], coefficients["N2"])
        properties.append(
            _property(
                f"henry_selectivity_{settings.temperature:g}K",
                quotient,
                "",
                f"K_H(CO2) / K_H(N2); {host.method}",
                otherwise="no room for N2",
            )
        )
    return tuple(properties)


def _uptake_properties(host: Host, settings: UptakeSettings, seed: int) -> tuple[Property, ...]:
    y = settings.co2_fraction
    feed = _uptake(
        host,
        {"CO2": y, "N2": 1.0 - y},
        settings.adsorption_pressure,
        settings.adsorption_temperature,
        settings,
        seed,
    )
    desorption = _uptake(
        host, {"CO2": 1.0}, settings.desorption_pressure, settings.desorption_temperature, settings, seed
    )
    co2, n2, left = _measured(feed["CO2"]), _measured(feed["N2"]), _measured(desorption["CO2"])
    feed_bar, vacuum_bar = settings.adsorption_pressure / 1e5, settings.desorption_pressure / 1e5
    warm, hot = f"{settings.adsorption_temperature:g}K", f"{settings.desorption_temperature:g}K"
    cycle = f"{y:g} CO2 in N2 at {feed_bar:g} bar, {warm}, to {vacuum_bar:g} bar CO2, {hot}; {feed.method}"
    mixed = f"from the mixture; {feed.method}"
    both = "; ".join(dict.fromkeys(filter(None, (feed.note, desorption.note))))
    return (
        _property(f"co2_uptake_{_bar(y * feed_bar)}_{warm}", co2, "mol/kg", mixed, feed.note),
        _property(f"n2_uptake_{_bar((1 - y) * feed_bar)}_{warm}", n2, "mol/kg", mixed, feed.note),
        _property(f"co2_uptake_{_bar(vacuum_bar)}_{hot}", left, "mol/kg", desorption.method, desorption.note),
        _property("vsa_working_capacity", working_capacity(co2, left), "mol/kg", cycle, both),
        _property(
            "co2_n2_selectivity", selectivity(co2, n2, y), "", f"(q1/q2)/(y1/y2), {cycle}", feed.note, "no N2 adsorbed"
        ),
        _property("regenerability", regenerability(co2, left), "%", cycle, both, "no CO2 adsorbed"),
    )


def _uptake(
    host: Host,
    mixture: Mapping[str, float],
    pressure: float,
    temperature: float,
    settings: UptakeSettings,
    seed: int,
) -> UptakeResult:
    protocol = GcmcSettings(
        model=settings.model,
        equilibration_cycles=settings.equilibration_cycles,
        production_cycles=settings.production_cycles,
    )
    engine, error = settings.engine, settings.error
    budget = settings.most_work
    (found,) = uptakes(
        host,
        mixture,
        [pressure],
        temperature,
        engine=engine,
        error=error,
        protocol=protocol,
        seed=seed,
        most_work=budget,
    )
    return found


def _measured(component: ComponentUptake) -> Measured:
    return Measured(component.uptake, component.uptake_std)


def _bar(pressure_bar: float) -> str:
    return f"{round(pressure_bar, 6):g}bar"


def _property(
    name: str, measured: Measured | None, unit: str, method: str, note: str = "", otherwise: str = ""
) -> Property:
    """A property, or one without a value and the reason (`otherwise`) in its note."""
    if measured is None:
        return Property(name, None, unit, None, method, otherwise)
    return Property(name, measured.value, unit, measured.std, method, note)
