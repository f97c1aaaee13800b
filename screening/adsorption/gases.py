"""Rigid gas molecules as point sites: geometry, Lennard-Jones parameters, charges, critical constants."""

from collections.abc import Mapping
from dataclasses import dataclass

from potentials.errors import InputError


@dataclass(frozen=True)
class Site:
    """One interaction site of a linear molecule."""

    label: str  # name of the site type; sites of one label share all parameters
    offset: float  # Å along the molecular axis, from the centre
    epsilon: float  # K, Lennard-Jones well depth over k_B
    sigma: float  # Å
    charge: float  # e
    mass: float  # g/mol; 0 for a massless charge site
    atomic_number: int


@dataclass(frozen=True)
class Gas:
    """A rigid linear (or single-site) molecule and the constants of its equation of state."""

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


def _linear(name: str, ends: Site, middle: Site, constants: tuple[float, float, float], source: str) -> Gas:
    mirrored = Site(ends.label, -ends.offset, ends.epsilon, ends.sigma, ends.charge, ends.mass, ends.atomic_number)
    return Gas(name, (ends, middle, mirrored), *constants, source)


# Critical temperature (K), critical pressure (Pa), acentric factor: NIST Chemistry WebBook, the reference
# equations of Span & Wagner 1996 (CO2), Span et al. 2000 (N2), Setzmann & Wagner 1991 (CH4).
_CO2 = (304.1282, 7_377_300.0, 0.22394)
_N2 = (126.192, 3_395_800.0, 0.0372)
_CH4 = (190.564, 4_599_200.0, 0.01142)

TRAPPE = {
    "CO2": _linear(
        "CO2",
        Site("O_co2", 1.16, 79.0, 3.05, -0.35, 15.9994, 8),
        Site("C_co2", 0.0, 27.0, 2.80, 0.70, 12.0107, 6),
        _CO2,
        "TraPPE: Potoff & Siepmann, AIChE J. 47, 1676 (2001)",
    ),
    "N2": _linear(
        "N2",
        Site("N_n2", 0.55, 36.0, 3.31, -0.482, 14.0067, 7),
        Site("N_com", 0.0, 0.0, 1.0, 0.964, 0.0, 7),
        _N2,
        "TraPPE: Potoff & Siepmann, AIChE J. 47, 1676 (2001)",
    ),
    "CH4": Gas(
        "CH4",
        (Site("CH4", 0.0, 148.0, 3.73, 0.0, 16.0425, 6),),
        *_CH4,
        "TraPPE-UA: Martin & Siepmann, J. Phys. Chem. B 102, 2569 (1998)",
    ),
}

# The set RASPA's zeolite examples use, kept to reproduce their published figures.
ZEOLITE = {
    "CO2": _linear(
        "CO2",
        Site("O_co2", 1.149, 85.671, 3.017, -0.3256, 15.9994, 8),
        Site("C_co2", 0.0, 29.933, 2.745, 0.6512, 12.0107, 6),
        _CO2,
        "García-Sánchez et al., J. Phys. Chem. C 113, 8814 (2009)",
    ),
    "N2": _linear(
        "N2",
        Site("N_n2", 0.55, 38.298, 3.306, -0.405, 14.0067, 7),
        Site("N_com", 0.0, 0.0, 1.0, 0.81, 0.0, 7),
        _N2,
        "Martín-Calvo et al., Phys. Chem. Chem. Phys. 13, 11165 (2011)",
    ),
    "CH4": Gas(
        "CH4",
        (Site("CH4", 0.0, 158.5, 3.72, 0.0, 16.0425, 6),),
        *_CH4,
        "Dubbeldam et al., Phys. Rev. Lett. 93, 088302 (2004)",
    ),
}


def find_gas(gases: Mapping[str, Gas], name: str) -> Gas:
    """The gas of that name, upper or lower case.

    Raises:
        InputError: the set has no such gas.
    """
    for key, gas in gases.items():
        if key.lower() == name.lower():
            return gas
    raise InputError(f"gas {name!r} is not in this force field: choose from {', '.join(gases)}")
