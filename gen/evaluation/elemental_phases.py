"""Crystals of the elements: published structures, and simple packings of every element beside them.

Whatever lies lowest by a potential is its reference; an element's own structure, put in from experiment, is among the
candidates, so that a potential with another favourite is compared with that favourite. Lattice parameters (Å, degrees)
and coordinates are measured ones; relaxation takes them to the potential's own.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pymatgen.core import Element, Lattice, Structure

_Sites = Sequence[tuple[float, float, float]]


class _Published(NamedTuple):
    symbol: str
    space_group: str
    lattice: Lattice
    sites: _Sites
    source: str


# Elements whose structure is none of the packings below and no listed prototype of ASE's table.
PUBLISHED = (
    _Published(
        "As",
        "R-3m",
        Lattice.hexagonal(3.7598, 10.5475),
        [(0, 0, 0.2271)],
        "Schiferl, Barrett 1969, J. Appl. Cryst. 2, 30",
    ),
    _Published(
        "B",
        "R-3m",
        Lattice.hexagonal(4.908, 12.567),
        [(0.1187, -0.1187, 0.8912), (0.1965, -0.1965, 0.0243)],
        "alpha-B12: Decker, Kasper 1959, Acta Cryst. 12, 503",
    ),
    _Published(  # molecules 1.42 Å long, packed as in chlorine, to which the low-temperature form is close
        "F",
        "Cmce",
        Lattice.orthorhombic(5.5, 3.3, 7.3),
        [(0, 0.13, 0.079)],
        "Pauling et al. 1970, J. Solid State Chem. 2, 225",
    ),
    _Published(
        "Ga",
        "Cmce",
        Lattice.orthorhombic(4.5192, 7.6586, 4.5258),
        [(0, 0.1539, 0.0810)],
        "Sharma, Donohue 1962, Z. Kristallogr. 117, 293",
    ),
    _Published(
        "In", "I4/mmm", Lattice.tetragonal(3.2523, 4.9461), [(0, 0, 0)], "Donohue 1974, The Structures of the Elements"
    ),
    _Published(
        "Mn",
        "I-43m",
        Lattice.cubic(8.911),
        [(0, 0, 0), (0.3179, 0.3179, 0.3179), (0.3571, 0.3571, 0.0346), (0.0896, 0.0896, 0.2819)],
        "alpha-Mn: Oberteuffer, Ibers 1970, Acta Cryst. B 26, 1499",
    ),
    _Published(
        "Np",
        "Pnma",
        Lattice.orthorhombic(6.663, 4.723, 4.887),
        [(0.036, 0.25, 0.208), (0.319, 0.25, 0.842)],
        "alpha-Np: Zachariasen 1952, Acta Cryst. 5, 660",
    ),
    _Published(
        "P",
        "Cmce",
        Lattice.orthorhombic(3.3136, 10.478, 4.3763),
        [(0, 0.10168, 0.08056)],
        "black P: Brown, Rundqvist 1965, Acta Cryst. 19, 684",
    ),
    _Published("Pa", "I4/mmm", Lattice.tetragonal(3.925, 3.238), [(0, 0, 0)], "Zachariasen 1952, Acta Cryst. 5, 19"),
    _Published(
        "Pm",
        "P6_3/mmc",
        Lattice.hexagonal(3.65, 11.65),
        [(0, 0, 0), (1 / 3, 2 / 3, 0.25)],
        "double hcp: Pallmer, Chikalla 1971, J. Less-Common Met. 24, 233",
    ),
    _Published(
        "Sm",
        "R-3m",
        Lattice.hexagonal(3.629, 26.207),
        [(0, 0, 0), (0, 0, 0.2222)],
        "Daane, Rundle, Smith, Spedding 1954, Acta Cryst. 7, 532",
    ),
    _Published(
        "Sn",
        "I4_1/amd",
        Lattice.tetragonal(5.8318, 3.1819),
        [(0, 0, 0)],
        "beta-Sn: Donohue 1974, The Structures of the Elements",
    ),
    _Published(
        "U",
        "Cmcm",
        Lattice.orthorhombic(2.854, 5.870, 4.955),
        [(0, 0.1025, 0.25)],
        "alpha-U: Barrett, Mueller, Hitterman 1963, Phys. Rev. 129, 625",
    ),
    _Published(
        "Sn", "Fd-3m", Lattice.cubic(6.4892), [(0, 0, 0)], "alpha-Sn: Donohue 1974, The Structures of the Elements"
    ),
    _Published(
        "He", "P6_3/mmc", Lattice.hexagonal(3.57, 5.83), [(1 / 3, 2 / 3, 0.25)], "Mills, Schuch 1961, PRL 6, 263"
    ),
    _Published(
        "Pu",
        "P2_1/m",
        Lattice.monoclinic(6.183, 4.822, 10.963, 101.79),
        [
            (x, 0.25, z)
            for x, z in (
                (0.345, 0.162),
                (0.767, 0.168),
                (0.128, 0.340),
                (0.657, 0.457),
                (0.025, 0.618),
                (0.473, 0.653),
                (0.328, 0.926),
                (0.869, 0.894),
            )
        ],
        "alpha-Pu: Zachariasen, Ellinger 1963, Acta Cryst. 16, 777",
    ),
)


def elemental_phases() -> Iterator[tuple[str, str, Structure]]:
    """(name, symbol, crystal) of elements up to Pu: their own structures, then packings at the same volume an atom.

    Elements of molecules and chains that are not listed above (H, N, O, Cl, S ...) are left out: any set of crystals
    holds them.
    """
    volumes: dict[str, float] = {}
    for symbol, structure in _own_structures():
        yield f"own{'' if symbol not in volumes else '2'}.{symbol}", symbol, structure
        volumes.setdefault(symbol, structure.volume / len(structure))
    for symbol, volume in volumes.items():
        for name, packed in _packings(symbol, volume):
            yield f"{name}.{symbol}", symbol, packed


def _own_structures() -> Iterator[tuple[str, Structure]]:
    """`PUBLISHED`, then the fcc, bcc, hcp and diamond crystals of further elements that ASE lists."""
    from ase.build import bulk
    from ase.data import reference_states
    from pymatgen.io.ase import AseAtomsAdaptor

    for symbol, group, lattice, sites, _ in PUBLISHED:
        crystal = Structure.from_spacegroup(group, lattice, [symbol] * len(sites), sites)
        yield symbol, crystal.get_primitive_structure()
    published = {entry.symbol for entry in PUBLISHED}
    for number in range(1, 95):
        symbol = Element.from_Z(number).symbol
        if symbol in published or (reference_states[number] or {}).get("symmetry") not in (
            "fcc",
            "bcc",
            "hcp",
            "diamond",
        ):
            continue
        try:
            yield symbol, AseAtomsAdaptor.get_structure(bulk(symbol))
        except ValueError:  # a listed structure with a basis of its own
            continue


def _packings(symbol: str, volume: float) -> Iterator[tuple[str, Structure]]:
    """fcc, bcc, hcp and double hcp crystals of a given volume an atom (Å^3)."""
    fcc, bcc = (4 * volume) ** (1 / 3), (2 * volume) ** (1 / 3)
    half = fcc / 2
    yield "fcc", Structure(Lattice([(0, half, half), (half, 0, half), (half, half, 0)]), [symbol], [(0, 0, 0)])
    half = bcc / 2
    yield (
        "bcc",
        Structure(Lattice([(-half, half, half), (half, -half, half), (half, half, -half)]), [symbol], [(0, 0, 0)]),
    )
    a = (2**0.5 * volume) ** (1 / 3)  # nearest distance; a close packing has a^3 / sqrt 2 an atom
    c = a * (8 / 3) ** 0.5
    a_site, b_site = (0.0, 0.0), (1 / 3, 2 / 3)
    yield "hcp", Structure(Lattice.hexagonal(a, c), [symbol] * 2, [(*a_site, 0), (*b_site, 0.5)])
    layers = [(*a_site, 0), (*b_site, 0.25), (*a_site, 0.5), (2 / 3, 1 / 3, 0.75)]
    yield "dhcp", Structure(Lattice.hexagonal(a, 2 * c), [symbol] * 4, layers)
