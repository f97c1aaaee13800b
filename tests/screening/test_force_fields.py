"""Gas models, the UFF table, and the settings that go into every method string."""

import csv
import io
import tarfile

import pytest
from pymatgen.core import Composition, Element

from potentials.errors import InputError
from screening.adsorption.force_fields import FORCE_FIELDS, HostGuestModel
from screening.adsorption.gases import TRAPPE, ZEOLITE, find_gas
from screening.adsorption.uff import UFF


def test_uff_covers_every_element_to_lawrencium_in_order():
    assert [Element(symbol).Z for symbol in UFF] == list(range(1, 104))


@pytest.mark.parametrize(
    ("element", "epsilon", "sigma"),  # K, Å: as widely tabulated for adsorption work
    [
        ("H", 22.14, 2.571),
        ("C", 52.84, 3.431),
        ("N", 34.73, 3.261),
        ("O", 30.20, 3.118),
        ("F", 25.16, 2.997),
        ("Si", 202.3, 3.826),
        ("S", 137.9, 3.595),
        ("Zn", 62.40, 2.462),
        ("Cu", 2.516, 3.114),
        ("Zr", 34.73, 2.783),
        ("Mg", 55.86, 2.691),
        ("Al", 254.2, 4.008),
        ("Fe", 6.54, 2.594),
        ("Co", 7.05, 2.559),
        ("Ni", 7.55, 2.525),
        ("Cd", 114.7, 2.537),
    ],
)
def test_uff_in_adsorption_units(element, epsilon, sigma):
    assert UFF[element][0] == pytest.approx(epsilon, rel=1e-3)
    assert UFF[element][1] == pytest.approx(sigma, abs=1e-3)


def test_uff_equals_an_independent_table(data):
    archive = data / "sorbents/mpn_henry/xtals_ddec_mpnn_iqeq_open.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not at hand")
    with tarfile.open(archive) as tar:
        text = tar.extractfile(next(m for m in tar.getmembers() if m.name.endswith("UFF.csv"))).read().decode()
    compared = 0
    for name, sigma, epsilon in list(csv.reader(io.StringIO(text)))[1:]:
        symbol = {"Lw": "Lr"}.get(name, name)
        if symbol in UFF:
            assert UFF[symbol] == pytest.approx((float(epsilon), float(sigma)), rel=5e-4), symbol
            compared += 1
    assert compared == 102  # neon is not in that table


@pytest.mark.parametrize("gases", [TRAPPE, ZEOLITE])
def test_gases_are_neutral_symmetric_and_weigh_what_they_should(gases):
    for gas in gases.values():
        assert sum(site.charge for site in gas.sites) == pytest.approx(0.0, abs=1e-12)
        assert all(site.position[:2] == (0.0, 0.0) for site in gas.sites) or gas.name == "H2O"
        assert len({(site.label, site.epsilon, site.sigma, site.charge) for site in gas.sites}) == len(
            {site.label for site in gas.sites}
        )
        assert gas.molar_mass == pytest.approx(float(Composition(gas.name).weight), rel=2e-4)


def test_quadrupole_moments_have_the_known_size_and_sign():
    # experiment: CO2 -4.3, N2 -1.5 Debye Å (Buckingham); point-charge models come within a third
    debye = 4.803  # per e Å
    for name, measured in (("CO2", -4.3), ("N2", -1.5)):
        quadrupole = sum(site.charge * site.offset**2 for site in TRAPPE[name].sites) * debye
        assert quadrupole == pytest.approx(measured, rel=0.35)


def test_gas_names_ignore_case_and_unknown_ones_are_named():
    assert find_gas(TRAPPE, "co2") is TRAPPE["CO2"]
    with pytest.raises(InputError, match="'CO' is not in this force field: choose from CO2, N2, CH4"):
        find_gas(TRAPPE, "CO")


def test_missing_elements_are_named():
    with pytest.raises(InputError, match="zeolite has no parameters for Al, Na"):
        FORCE_FIELDS["zeolite"].parameters({"Na", "Al", "O"})


def test_method_text_states_every_choice():
    text = HostGuestModel().describe("environment")
    for part in ("uff-trappe", "Lorentz-Berthelot", "environment charges", "Ewald", "12 Å", "tail correction", "rigid"):
        assert part in text
    assert "no electrostatics" in HostGuestModel(charges="none").describe("no")
    assert "12.8 Å cut-off, shifted" in HostGuestModel(cutoff=12.8, truncation="shifted").describe("EQeq")
