"""Frameworks of the golden adsorption values: from published cells and asymmetric units, or from the public data."""

import tarfile
import tempfile
from pathlib import Path

from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from potentials.files import data_root
from potentials.structure_files import read_structure


class NotAtHandError(InputError):
    """A structure that is not in the data folder of this machine."""


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


def irmof_1() -> Structure:
    """IRMOF-1, Fm-3m, 424 atoms labelled for the force field `irmof-1`.

    M. Eddaoudi et al., Science 295, 469 (2002), as in RASPA's examples.
    """
    asymmetric_unit = [
        ("Zn1", (0.2934, 0.2066, 0.2066)),
        ("O1", (0.25, 0.25, 0.25)),
        ("O2", (0.2819, 0.2181, 0.134)),
        ("C1", (0.25, 0.25, 0.1113)),
        ("C2", (0.25, 0.25, 0.0538)),
        ("C3", (0.2829, 0.2171, 0.0269)),
        ("H1", (0.3049, 0.1951, 0.0448)),
    ]
    return _labelled("Fm-3m", 25.832, asymmetric_unit)


def cu_btc() -> Structure:
    """Cu-BTC (HKUST-1) without its water, Fm-3m, 624 atoms labelled for the force field `cu-btc`.

    S. S. Y. Chui et al., Science 283, 1148 (1999), as in RASPA's examples.
    """
    asymmetric_unit = [
        ("Cu1", (0.2853, 0.2853, 0.0)),
        ("O1", (0.3166, 0.2431, 0.9478)),
        ("C1", (0.2968, 0.2032, 0.9313)),
        ("C2", (0.322, 0.178, 0.887)),
        ("C3", (0.3655, 0.1994, 0.8655)),
        ("H1", (0.3802, 0.228, 0.8802)),
    ]
    return _labelled("Fm-3m", 26.343, asymmetric_unit)


def _labelled(group: str, edge: float, asymmetric_unit: list[tuple[str, tuple[float, float, float]]]) -> Structure:
    labels, positions = zip(*asymmetric_unit, strict=True)
    species = [label.rstrip("0123456789") for label in labels]
    return Structure.from_spacegroup(group, Lattice.cubic(edge), species, positions, labels=labels)


def sbmof_1() -> Structure:
    """SBMOF-1, Ca(SDB), P2_1/n, 120 atoms without solvent: D. Banerjee et al., Nat. Commun. 7, 11831 (2016)."""
    asymmetric_unit = [
        ("C", (0.4932, 0.2586, 0.2620)),
        ("C", (0.3998, 0.2111, 0.2991)),
        ("C", (0.3121, 0.3789, 0.3001)),
        ("H", (0.3142, 0.5287, 0.2804)),
        ("C", (0.2208, 0.3282, 0.3299)),
        ("H", (0.1597, 0.4413, 0.3304)),
        ("C", (0.2209, 0.1096, 0.3589)),
        ("C", (0.3109, 0.9413, 0.3603)),
        ("H", (0.3110, 0.7958, 0.3820)),
        ("C", (0.4002, 0.9912, 0.3293)),
        ("H", (0.4609, 0.8777, 0.3286)),
        ("C", (0.1490, 0.1119, 0.4702)),
        ("C", (0.1194, 0.3340, 0.4901)),
        ("H", (0.0803, 0.4502, 0.4630)),
        ("C", (0.1482, 0.3837, 0.5508)),
        ("H", (0.1298, 0.5361, 0.5652)),
        ("C", (0.2036, 0.2114, 0.5900)),
        ("C", (0.2367, 0.9905, 0.5693)),
        ("H", (0.2775, 0.8759, 0.5962)),
        ("C", (0.2095, 0.9398, 0.5088)),
        ("H", (0.2317, 0.7910, 0.4939)),
        ("C", (0.2275, 0.2624, 0.6557)),
        ("O", (0.5124, 0.4755, 0.25221)),
        ("O", (0.5409, 0.0808, 0.24372)),
        ("O", (0.0054, 0.1958, 0.37124)),
        ("O", (0.0866, 0.7796, 0.39054)),
        ("O", (0.2371, 0.4768, 0.67265)),
        ("O", (0.2406, 0.0850, 0.69066)),
        ("S", (0.10323, 0.0364, 0.39414)),
        ("Ca", (0.6372, 0.74331, 0.22117)),
    ]
    species, positions = zip(*asymmetric_unit, strict=True)
    lattice = Lattice.monoclinic(11.6193, 5.5667, 22.9312, 100.897)
    return Structure.from_spacegroup("P12_1/n1", lattice, species, positions)


def caxvii() -> Structure:
    """CAXVII, Fe6 H6 C24 O18, of the CoRE MOF 2014-DDEC set (CC-BY 4.0, Nazarian, Camp, Sholl 2016), charges with it.

    Listed is one half of the cell; inversion gives the other.
    """
    half = [
        ("Fe", (0.8890, 0.6792, 0.4126), 0.964411),
        ("Fe", (0.4764, 0.5874, 0.2666), 0.964373),
        ("Fe", (0.2098, 0.7334, 0.3208), 0.964598),
        ("H", (0.6583, 0.0307, 0.4622), 0.137752),
        ("H", (0.1961, 0.5378, 0.5685), 0.138236),
        ("H", (0.6276, 0.4315, 0.9693), 0.138200),
        ("C", (0.6286, 0.8292, 0.3826), 0.803269),
        ("C", (0.8381, 0.9106, 0.4488), -0.255067),
        ("C", (0.0458, 0.9008, 0.4646), 0.380297),
        ("C", (0.7976, 0.0033, 0.4725), -0.230185),
        ("C", (0.2460, 0.6174, 0.4466), 0.803604),
        ("C", (0.3893, 0.5512, 0.4618), -0.254667),
        ("C", (0.5812, 0.5354, 0.4362), 0.379616),
        ("C", (0.3251, 0.5275, 0.5308), -0.231216),
        ("C", (0.7994, 0.5534, 0.1708), 0.803200),
        ("C", (0.9275, 0.5382, 0.0894), -0.254132),
        ("C", (0.1450, 0.5638, 0.0992), 0.380654),
        ("C", (0.7943, 0.4692, 0.9967), -0.232128),
        ("O", (0.6680, 0.7485, 0.3535), -0.668566),
        ("O", (0.4736, 0.8448, 0.3760), -0.546476),
        ("O", (0.0770, 0.8170, 0.4440), -0.585557),
        ("O", (0.3145, 0.6465, 0.3950), -0.668984),
        ("O", (0.0976, 0.6240, 0.4688), -0.546474),
        ("O", (0.6330, 0.5560, 0.3730), -0.584516),
        ("O", (0.9195, 0.6050, 0.2515), -0.668494),
        ("O", (0.6288, 0.5312, 0.1552), -0.546326),
        ("O", (0.2600, 0.6270, 0.1830), -0.585421),
    ]
    species = [row[0] for row in half] * 2
    positions = [row[1] for row in half] + [tuple(-x % 1.0 for x in row[1]) for row in half]
    charges = [row[2] for row in half] * 2
    lattice = Lattice.from_parameters(6.89450021, 15.2402998, 15.2403, 117.76789909, 98.67299944, 98.67299875)
    return Structure(lattice, species, positions, site_properties={"charge": charges})


def from_archive(archive: str, member: str) -> Structure:
    """A CIF of the public data sets, charges and labels with it.

    Raises:
        NotAtHandError: the archive is not on this machine.
    """
    path = data_root() / archive
    if not path.exists():
        raise NotAtHandError(f"{archive} is not at hand: set SORBUS_DATA to the data folder")
    if path.is_dir():
        return read_structure(path / member)
    with tarfile.open(path) as tar, tempfile.TemporaryDirectory() as folder:
        stream = tar.extractfile(member)
        assert stream is not None
        target = Path(folder) / f"structure{Path(member).suffix}"  # a name may stand for another format
        target.write_bytes(stream.read())
        return read_structure(target)


def zeolite(code: str) -> Structure:
    """The primitive cell of an all-silica framework type, from the structures of Sarkisov et al. (2020)."""
    archive = "sorbents/iza_zeolites/iza_cifs_and_pore_summaries.tar.xz"
    return from_archive(archive, f"{code}/babel/{code}.cif").get_primitive_structure()
