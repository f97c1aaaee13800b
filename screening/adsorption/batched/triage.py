"""Henry coefficients of many frameworks, gases and temperatures: the first, cheap sieve of a screening."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from potentials.errors import GeometryError, InputError
from screening.adsorption.framework import prepare_host
from screening.adsorption.henry import HenryResult, HenrySettings, henry_at_temperatures


@dataclass(frozen=True)
class HenryRow:
    """What came of one framework."""

    index: int  # in the order given
    results: tuple[HenryResult, ...]  # gas by gas, temperature by temperature; none when refused
    error: str = ""  # why the framework was refused


def henry_many(
    structures: Iterable[Structure],
    gases: Sequence[str],
    temperatures: Sequence[float],
    *,
    settings: HenrySettings | None = None,
    seed: int = 0,
) -> list[HenryRow]:
    """Henry coefficients and zero-loading heats of every gas at every temperature in every framework.

    One energy grid a framework serves all gases, one set of insertions a gas all temperatures. A row depends on its
    own framework, the gas, the temperatures, settings and seed, not on what else is in the list. A framework the
    model cannot describe becomes a row with the reason.

    Args:
        structures: ordered periodic frameworks; a site property `charge` (e) is used as given.
        gases: names in the force field.
        temperatures: K.
        settings: model and relative error; its own gases and temperature are not used.
        seed: of the insertions.
    """
    return list(iterate_henry(structures, gases, temperatures, settings=settings, seed=seed))


def iterate_henry(
    structures: Iterable[Structure],
    gases: Sequence[str],
    temperatures: Sequence[float],
    *,
    settings: HenrySettings | None = None,
    seed: int = 0,
) -> Iterator[HenryRow]:
    """`henry_many`, a row as soon as it is there."""
    protocol = (settings or HenrySettings()).model_copy(update={"gases": tuple(gases)})
    for index, structure in enumerate(structures):
        try:
            host = prepare_host(structure, protocol.model)
            results = [
                result for gas in gases for result in henry_at_temperatures(host, gas, temperatures, protocol, seed)
            ]
        except (InputError, GeometryError) as error:
            yield HenryRow(index, (), str(error))
        else:
            yield HenryRow(index, tuple(results))
