"""Gas models, the UFF table, and the settings that go into every method string."""

import csv
import io
import tarfile

import numpy as np
import pytest
from pydantic import ValidationError
from pymatgen.core import Composition, Element, Lattice, Structure

from benchmarks.adsorption_structures import irmof_1
from potentials.errors import GeometryError, InputError
from screening.adsorption.dreiding import DREIDING
from screening.adsorption.force_fields import FORCE_FIELDS, HostGuestModel, load_force_field
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import TRAPPE, ZEOLITE, builtin_gas, find_gas, gas_models, load_gas
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


# --- force fields and gases as files


def write(folder, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


MY_GAS = """
name: CO
source: "a test, not physics"
critical_temperature: 132.86
critical_pressure: 3494000.0
acentric_factor: 0.0497
sites:
  - {label: C_co, element: C, position: [0.0, 0.0, 0.6], epsilon: 16.1, sigma: 3.6, charge: 0.2, mass: 12.011}
  - {label: O_co, element: O, position: [0.0, 0.0, -0.5], epsilon: 98.0, sigma: 3.0, charge: -0.2, mass: 15.9994}
"""
MY_FIELD = """
name: mine
source: "a test, not physics"
table: dreiding
types:
  Cu: {epsilon: 2.5, sigma: 3.1}
  O_w: {element: O, epsilon: 80.0, sigma: 3.2}
gases: [co2-trappe, my_gas.yaml]
"""


def test_a_force_field_and_a_gas_of_the_users_own(tmp_path):
    write(tmp_path, "my_gas.yaml", MY_GAS)
    path = write(tmp_path, "my_field.yaml", MY_FIELD)
    field = load_force_field(path)
    assert field.parameters({"Cu", "C"}) == {"C": DREIDING["C"], "Cu": (2.5, 3.1)}
    assert list(field.gases) == ["CO2", "CO"]
    assert find_gas(field.gases, "co").molar_mass == pytest.approx(28.01, abs=0.01)
    assert find_gas(TRAPPE, str(tmp_path / "my_gas.yaml")).name == "CO"
    assert field.assign(["O", "O", "C"], ["O1", "O_w", "C9"]) == ("O", "O_w", "C")
    model = HostGuestModel(force_field=path)
    assert "my_field.yaml (sha256 " in model.describe("given")
    copper = Structure(Lattice.cubic(9.0), ["Cu", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]], labels=["Cu", "O_w"])
    host = prepare_host(copper, HostGuestModel(force_field=path, charges="none"))
    assert host.types == ("Cu", "O_w")
    assert host.lennard_jones.tolist() == [[2.5, 3.1], [80.0, 3.2]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("charge: 0.2", "charge: 0.3"), "carries .* e: a molecule must be neutral"),
        (("mass: 12.011", "mass: -1"), "mass"),
        (("element: C,", "element: Qq,"), "'Qq' is no element"),
        (("label: O_co", "label: C_co"), "sites labelled C_co differ"),
        (("sigma: 3.6", "sigma: .nan"), "sigma"),
        (("acentric_factor: 0.0497", "acentricfactor: 0.05"), "acentric"),
        (("sites:", "sites: ["), "cannot read .* as YAML"),
    ],
)
def test_a_faulty_gas_file_is_refused_in_a_sentence(tmp_path, change, message):
    path = write(tmp_path, "gas.yaml", MY_GAS.replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        load_gas(path)
    assert "gas.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("table: dreiding", "table: opls"), "table"),
        (("Cu: {epsilon: 2.5", "Cu: {epsilon: -2.5"), "epsilon"),
        (("element: O,", "element: Ox,"), "'Ox' is no element"),
        (("co2-trappe", "co2-trape"), "no gas model is called 'co2-trape'"),
        (("sigma: 3.2}", "sigma: 3.2, charge: -0.4}"), "charges to some types only"),
        (("gases: [co2-trappe, my_gas.yaml]", ""), "gases"),
    ],
)
def test_a_faulty_force_field_file_is_refused_in_a_sentence(tmp_path, change, message):
    write(tmp_path, "my_gas.yaml", MY_GAS)
    path = write(tmp_path, "field.yaml", MY_FIELD.replace(*change))
    with pytest.raises(InputError, match=message):
        load_force_field(path)


def test_a_force_field_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(ValidationError, match="no force field is called 'uff-trape': did you mean 'uff-trappe'"):
        HostGuestModel(force_field="uff-trape")
    with pytest.raises(ValidationError, match="no force-field file nowhere"):
        HostGuestModel(force_field="nowhere.yaml")


def test_every_built_in_force_field_and_gas_loads_and_names_its_source():
    assert {"uff-trappe", "dreiding-trappe", "trappe-zeo", "zeolite", "irmof-1", "cu-btc"} <= set(FORCE_FIELDS)
    for field in FORCE_FIELDS.values():
        assert field.source
        assert field.gases
    for stem in gas_models():
        gas = builtin_gas(stem)
        assert gas.source
        assert sum(site.charge for site in gas.sites) == pytest.approx(0.0, abs=1e-9)
        assert gas.molar_mass == pytest.approx(float(Composition(gas.name).weight), rel=5e-4)


def test_water_models_have_their_published_dipoles():
    debye = 4.80320  # per e Å
    for stem, dipole in (("h2o-tip4p2005", 2.305), ("h2o-spce", 2.351)):
        sites = builtin_gas(stem).sites
        vector = sum(site.charge * np.array(site.position) for site in sites) * debye
        assert np.linalg.norm(vector) == pytest.approx(dipole, abs=0.005)
        hydrogens = [np.array(site.position) for site in sites if site.atomic_number == 1]
        oxygen = np.array(sites[0].position)
        lengths = [float(np.linalg.norm(h - oxygen)) for h in hydrogens]
        assert lengths[0] == pytest.approx(lengths[1])
        assert lengths[0] == pytest.approx({"h2o-spce": 1.0}.get(stem, 0.9572), abs=1e-4)


def test_hydrogen_has_its_quadrupole():
    # experiment: 0.65 Debye Å; Darkrim and Levesque fit to it
    theta = sum(site.charge * site.offset**2 for site in TRAPPE["H2"].sites) * 4.80320
    assert theta == pytest.approx(0.65, rel=0.1)


def test_dreiding_is_used_for_its_own_elements_only():
    assert DREIDING["C"] == pytest.approx((47.86, 3.473), abs=0.01)
    assert DREIDING["Zn"] == pytest.approx((27.68, 4.045), abs=0.01)
    with pytest.raises(InputError, match=r"dreiding-trappe has no parameters for Cu: .*uff-trappe\)"):
        FORCE_FIELDS["dreiding-trappe"].assign(["Cu", "O"], [None, None])


def test_typed_sets_read_labels_and_say_which_they_know():
    field = FORCE_FIELDS["irmof-1"]
    host = prepare_host(irmof_1(), HostGuestModel(force_field="irmof-1"))
    assert set(host.types) == set(field.framework)
    assert host.charges.sum() == pytest.approx(0.0, abs=1e-9)
    assert host.charge_method == "force-field"
    assert sorted({round(float(q), 2) for q in host.charges}) == pytest.approx(
        [-1.5, -0.6, -0.15, 0.12, 0.15, 0.48, 1.27], abs=0.011
    )
    plain = irmof_1()
    for site in plain:
        site.label = site.specie.symbol
    with pytest.raises(InputError, match="irmof-1 tells Zn atoms apart by the labels Zn1, and one is labelled 'Zn'"):
        prepare_host(plain, HostGuestModel(force_field="irmof-1"))


def test_bad_frameworks_are_refused_with_the_remedy(monkeypatch):
    disordered = Structure(Lattice.cubic(9.0), ["Zn", {"O": 0.5, "F": 0.5}], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(InputError, match=r"1 partially occupied sites, the first of them O0\.5F0\.5 at site 1"):
        prepare_host(disordered, HostGuestModel())
    charged = Structure(Lattice.cubic(9.0), ["Zn"], [[0, 0, 0]], site_properties={"charge": [0.6]})
    with pytest.raises(InputError, match="must be neutral"):
        prepare_host(charged, HostGuestModel())
    monkeypatch.setattr("screening.adsorption.framework.MAX_HOST_ATOMS", 20)
    with pytest.raises(GeometryError, match=r"3x3x3 cells of 1 atoms holds 27, above 20: .* cut-off below 12 Å"):
        prepare_host(Structure(Lattice.cubic(9.0), ["C"], [[0, 0, 0]]), HostGuestModel(charges="none"))
