"""Crystal structures from published facts: space group, cell and asymmetric unit.

Silica zeolites are the idealised frameworks of the IZA Structure Commission's Atlas (Baerlocher & McCusker,
Database of Zeolite Structures, iza-structure.org).
"""

from pymatgen.core import Lattice, Structure


def mfi() -> Structure:
    """MFI (silicalite-1, ZSM-5): Pnma, 288 atoms; straight and sinusoidal ten-ring channels."""
    silicon = [
        (0.9214, 0.5711, 0.1898), (0.8259, 0.5336, 0.3500), (0.7792, 0.5536, 0.5655), (0.6246, 0.5514, 0.5481),
        (0.5721, 0.5360, 0.3233), (0.7034, 0.5687, 0.2197), (0.9195, 0.3274, 0.1805), (0.8152, 0.3765, 0.3361),
        (0.7733, 0.3278, 0.5402), (0.6185, 0.3279, 0.5183), (0.5657, 0.3794, 0.3087), (0.6947, 0.3288, 0.2092),
    ]  # fmt: skip
    oxygen = [
        (0.0012, 0.5699, 0.2018), (0.8875, 0.5743, 0.3008), (0.8995, 0.6366, 0.1251), (0.8972, 0.5034, 0.1326),
        (0.8290, 0.5385, 0.4722), (0.8297, 0.4555, 0.3155), (0.7571, 0.5663, 0.3106), (0.7910, 0.6296, 0.6060),
        (0.7034, 0.5455, 0.5275), (0.7936, 0.5010, 0.6564), (0.6075, 0.6265, 0.5883), (0.5846, 0.5370, 0.4443),
        (0.6301, 0.5781, 0.2670), (0.5728, 0.4589, 0.2832), (0.7201, 0.6313, 0.1456), (0.9911, 0.3548, 0.2169),
        (0.8681, 0.3311, 0.2743), (0.9263, 0.2500, 0.1431), (0.8217, 0.3611, 0.4561), (0.7410, 0.3582, 0.2990),
        (0.7943, 0.2500, 0.5579), (0.6976, 0.3313, 0.5003), (0.5948, 0.2500, 0.5205), (0.5809, 0.3670, 0.4275),
        (0.6177, 0.3370, 0.2406), (0.7116, 0.2500, 0.1913),
    ]  # fmt: skip
    return _silica("Pnma", Lattice.orthorhombic(20.090, 19.738, 13.142), silicon, oxygen)


def lta() -> Structure:
    """LTA (zeolite A): Pm-3m, 72 atoms; alpha cages joined by eight-rings."""
    oxygen = [(0.0, 0.2122, 0.5), (0.1103, 0.1103, 0.3384), (0.0, 0.2967, 0.2967)]
    return _silica("Pm-3m", Lattice.cubic(11.919), [(0.0, 0.1823, 0.3684)], oxygen)


def cha() -> Structure:
    """CHA (chabazite): R-3m in hexagonal axes, 108 atoms; ellipsoidal cages joined by eight-rings."""
    # The second oxygen lies on a twofold axis, the third on a mirror: y = x - 2/3 and y = 2 x to the last digit.
    oxygen = [(0.9020, 0.0980, 0.1227), (0.3101 + 2 / 3, 0.3101, 1 / 6), (0.1203, 0.2406, 0.1315), (0.0, 0.2577, 0.0)]
    return _silica("R-3m", Lattice.hexagonal(13.675, 14.767), [(0.9997, 0.2264, 0.1051)], oxygen)


def _silica(group: str, lattice: Lattice, silicon: list, oxygen: list) -> Structure:
    species = ["Si"] * len(silicon) + ["O"] * len(oxygen)
    return Structure.from_spacegroup(group, lattice, species, silicon + oxygen, tol=1e-3)
