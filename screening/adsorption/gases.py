"""Rigid gas molecules as point sites: geometry, Lennard-Jones parameters, charges, critical constants.

Every model is a YAML file in `gas_models/`; a file of the user's own, given by its path, is read the same way.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import Field

from potentials.config import Config, parse_config
from potentials.errors import InputError

MODELS = Path(__file__).with_name("gas_models")
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Site:
    """One interaction site of a molecule."""

    label: str  # name of the site type; sites of one label share all parameters
    position: Vector  # Å, in the frame of the molecule
    epsilon: float  # K, Lennard-Jones well depth over k_B
    sigma: float  # Å
    charge: float  # e
    mass: float  # g/mol; 0 for a massless charge site
    atomic_number: int

    @property
    def offset(self) -> float:
        """Å along z, the axis of a linear molecule."""
        return self.position[2]


@dataclass(frozen=True)
class Gas:
    """A rigid molecule and the constants of its equation of state."""

    name: str
    sites: tuple[Site, ...]
    critical_temperature: float  # K
    critical_pressure: float  # Pa
    acentric_factor: float
    source: str  # of the interaction sites

    @property
    def molar_mass(self) -> float:
        """g/mol."""
        return sum(site.mass for site in self.sites)

    @property
    def is_charged(self) -> bool:
        """True when any site carries a charge, so that electrostatics matter."""
        return any(site.charge != 0.0 for site in self.sites)

    @property
    def largest_sigma(self) -> float:
        """Å, of the widest Lennard-Jones site: what decides whether the molecule passes a window."""
        return max(site.sigma for site in self.sites if site.epsilon > 0.0)


class SiteFile(Config):
    """One line of `sites` in a gas file."""

    label: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    element: str
    position: Vector  # Å
    epsilon: float = Field(ge=0.0, le=5000.0, allow_inf_nan=False)  # K
    sigma: float = Field(gt=0.0, le=10.0, allow_inf_nan=False)  # Å
    charge: float = Field(default=0.0, ge=-5.0, le=5.0, allow_inf_nan=False)  # e
    mass: float = Field(ge=0.0, le=1000.0, allow_inf_nan=False)  # g/mol


class GasFile(Config):
    """A gas file."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")  # becomes part of property names
    source: str = Field(min_length=4)
    critical_temperature: float = Field(gt=0.0, allow_inf_nan=False)  # K
    critical_pressure: float = Field(gt=0.0, allow_inf_nan=False)  # Pa
    acentric_factor: float = Field(gt=-1.0, lt=2.0)
    sites: tuple[SiteFile, ...] = Field(min_length=1)


def load_gas(path: str | Path) -> Gas:
    """A gas from its YAML file.

    Raises:
        InputError: the file does not exist or is no gas file, the molecule is charged or has no mass, no site
            attracts, an element does not exist, or sites of one label differ.
    """
    file = Path(path)
    raw = parse_config(GasFile, read_yaml(file, "gas"), str(file))
    sites = tuple(
        Site(s.label, s.position, s.epsilon, s.sigma, s.charge, s.mass, _atomic_number(s.element, file))
        for s in raw.sites
    )
    gas = Gas(raw.name, sites, raw.critical_temperature, raw.critical_pressure, raw.acentric_factor, raw.source)
    charge = sum(site.charge for site in sites)
    if abs(charge) > 1e-6:
        raise InputError(f"gas {gas.name} carries {charge:+g} e: a molecule must be neutral ({file})")
    if gas.molar_mass <= 0.0:
        raise InputError(f"gas {gas.name} has no mass: give its sites masses in g/mol ({file})")
    if all(site.epsilon == 0.0 for site in sites):
        raise InputError(f"gas {gas.name} has no Lennard-Jones site, so nothing keeps it out of atoms ({file})")
    kinds: dict[str, Site] = {}
    for site in sites:
        first = kinds.setdefault(site.label, site)
        if (first.epsilon, first.sigma, first.charge, first.mass) != (site.epsilon, site.sigma, site.charge, site.mass):
            raise InputError(f"gas {gas.name}: sites labelled {site.label} differ: give them labels apart ({file})")
    return gas


@functools.cache
def builtin_gas(stem: str) -> Gas:
    """The gas model of that file name in `gas_models/`, such as `h2o-spce`.

    Raises:
        InputError: there is none.
    """
    path = MODELS / f"{stem}.yaml"
    if not path.is_file():
        raise InputError(f"no gas model is called {stem!r}: choose from {', '.join(gas_models())}")
    return load_gas(path)


def gas_models() -> list[str]:
    """Names of the gas models that come with the package."""
    return sorted(path.stem for path in MODELS.glob("*.yaml"))


def gas_set(*stems: str) -> dict[str, Gas]:
    """Built-in models by the name of their gas."""
    return {gas.name: gas for gas in map(builtin_gas, stems)}


def find_gas(gases: Mapping[str, Gas], name: str) -> Gas:
    """The gas of that name in a force field (upper or lower case), a built-in model, or a gas file.

    Args:
        gases: those of the force field.
        name: `CO2`; or a model from `gas_models()` such as `h2o-spce`; or a path ending in `.yaml`.

    Raises:
        InputError: there is no such gas.
    """
    if name.lower().endswith((".yaml", ".yml")):
        return load_gas(name)
    for key, gas in gases.items():
        if key.lower() == name.lower():
            return gas
    if name.lower() in gas_models():
        return builtin_gas(name.lower())
    raise InputError(
        f"gas {name!r} is not in this force field: choose from {', '.join(gases)}, a model ({', '.join(gas_models())}) "
        "or give the path of a gas file"
    )


def read_yaml(file: Path, what: str) -> dict:
    """The mapping in a YAML file of at most a megabyte.

    Raises:
        InputError: no such file, not UTF-8 YAML, or not a mapping.
    """
    try:
        if file.stat().st_size > 1_000_000:
            raise InputError(f"{file} is larger than 1 MB: a {what} file is a short YAML table")
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {what} file {file}: check the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {file} as YAML: {' '.join(str(error).split())[:160]}") from None
    if not isinstance(values, dict):
        raise InputError(f"{file} holds no keys: a {what} file is a YAML mapping")
    return values


def _atomic_number(element: str, file: Path) -> int:
    from ase.data import atomic_numbers

    if element not in atomic_numbers or element == "X":
        raise InputError(f"{element!r} is no element: give a chemical symbol ({file})")
    return atomic_numbers[element]


_COMMON = (
    "h2o-tip4p2005",
    "h2-darkrim-levesque",
    "o2-trappe",
    "ar-rowley",
    "kr-talu-myers",
    "xe-hirschfelder",
    "he-talu-myers",
    "c2h6-trappe",
)
TRAPPE = gas_set("co2-trappe", "n2-trappe", "ch4-trappe", *_COMMON)
# The set RASPA's zeolite examples use, kept to reproduce their published figures.
ZEOLITE = gas_set("co2-garcia-sanchez", "n2-martin-calvo", "ch4-dubbeldam")
