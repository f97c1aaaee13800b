"""Frameworks of the golden adsorption values, from published space group, cell and asymmetric unit."""

from pymatgen.core import Lattice, Structure


def mfi() -> Structure:
    """All-silica MFI, Pnma, 288 atoms.

    H. van Koningsveld, H. van Bekkum, J. C. Jansen, Acta Cryst. B 43, 127 (1987), with oxygen and silicon only.
    """
    silicon = [
        (0.42238, 0.0565, -0.33598),
        (0.30716, 0.02772, -0.1893),
        (0.27911, 0.06127, 0.0312),
        (0.12215, 0.06298, 0.0267),
        (0.07128, 0.02722, -0.18551),
        (0.18641, 0.05896, -0.32818),
        (0.42265, -0.1725, -0.32718),
        (0.30778, -0.13016, -0.18548),
        (0.27554, -0.17279, 0.03109),
        (0.12058, -0.1731, 0.02979),
        (0.07044, -0.13037, -0.182),
        (0.18706, -0.17327, -0.31933),
    ]
    oxygen = [
        (0.3726, 0.0534, -0.2442),
        (0.3084, 0.0587, -0.0789),
        (0.2007, 0.0592, 0.0289),
        (0.0969, 0.0611, -0.0856),
        (0.1149, 0.0541, -0.2763),
        (0.2435, 0.0553, -0.246),
        (0.3742, -0.1561, -0.2372),
        (0.3085, -0.1552, -0.0728),
        (0.198, -0.1554, 0.0288),
        (0.091, -0.1614, -0.0777),
        (0.1169, -0.1578, -0.2694),
        (0.2448, -0.1594, -0.2422),
        (0.3047, -0.051, -0.1866),
        (0.0768, -0.0519, -0.1769),
        (0.4161, 0.1276, -0.3896),
        (0.4086, -0.0017, -0.4136),
        (0.402, -0.1314, -0.4239),
        (0.1886, 0.1298, -0.3836),
        (0.194, 0.0007, -0.4082),
        (0.1951, -0.1291, -0.419),
        (-0.0037, 0.0502, -0.208),
        (-0.004, -0.1528, -0.2078),
        (0.4192, -0.25, -0.354),
        (0.1884, -0.25, -0.3538),
        (0.2883, -0.25, 0.0579),
        (0.1085, -0.25, 0.0611),
    ]
    lattice = Lattice.orthorhombic(20.022, 19.899, 13.383)
    species = ["Si"] * len(silicon) + ["O"] * len(oxygen)
    return Structure.from_spacegroup("Pnma", lattice, species, silicon + oxygen)


def mg_mof_74() -> Structure:
    """Mg-MOF-74 (CPO-27-Mg), R-3 in hexagonal axes reduced to the primitive cell of 54 atoms.

    The activated framework of P. D. C. Dietzel et al., Eur. J. Inorg. Chem. 2008, 3624, in the geometry gRASPA's
    Henry-coefficient example takes.
    """
    asymmetric_unit = [
        ("Mg", (0.30631, 0.01911, 0.30469)),
        ("H", (0.19232, 0.36264, 0.67757)),
        ("C", (0.48547, 0.98372, 0.80758)),
        ("C", (0.21309, 0.87345, 0.45452)),
        ("C", (0.24578, 0.31845, 0.07545)),
        ("C", (0.22241, 0.34393, 0.41116)),
        ("O", (0.40491, 0.43710, 0.56845)),
        ("O", (0.29715, 0.32951, 0.13781)),
        ("O", (0.27393, 0.35451, 0.49314)),
    ]
    species, positions = zip(*asymmetric_unit, strict=True)
    lattice = Lattice.hexagonal(26.0506, 6.87407)
    return Structure.from_spacegroup("R-3", lattice, species, positions).get_primitive_structure()


def lta() -> Structure:
    """All-silica LTA, Pm-3m, 72 atoms: the idealised framework type of the Atlas of Zeolite Framework Types.

    Ch. Baerlocher, L. B. McCusker, Database of Zeolite Structures, http://www.iza-structure.org/databases/.
    """
    species = ["Si", "O", "O", "O"]
    positions = [(0.0, 0.1823, 0.3684), (0.0, 0.2122, 0.5), (0.1103, 0.1103, 0.3384), (0.0, 0.2967, 0.2967)]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(11.919), species, positions)


def sodalite() -> Structure:
    """All-silica SOD, Im-3m, 36 atoms: the idealised framework type, as `lta`."""
    positions = [(0.75, 0.0, 0.5), (0.1467, 0.5, 0.8533)]
    return Structure.from_spacegroup("Im-3m", Lattice.cubic(8.965), ["Si", "O"], positions)


def faujasite() -> Structure:
    """All-silica FAU, Fd-3m, the primitive cell of 144 atoms: the idealised framework type, as `lta`."""
    species = ["Si", "O", "O", "O", "O"]
    positions = [
        (0.5719, 0.7501, 0.6614),
        (0.5208, 0.7292, 0.6250),
        (0.5919, 0.2012, 0.2012),
        (0.6216, 0.7679, 0.6216),
        (0.5533, 0.8020, 0.6980),
    ]
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(24.345), species, positions).get_primitive_structure()
