"""Units of measured isotherms: known conversions, spellings, refusals that name the unit."""

import pytest

from potentials.errors import InputError
from screening.experiments.units import gas_formula, loading_factor, molar_mass, pressure_factor


@pytest.mark.parametrize(
    ("unit", "pascal"),
    [("Pa", 1), ("kPa", 1e3), ("bar", 1e5), ("mbar", 100), ("atm", 101325), ("Torr", 133.3224), ("mmHg", 133.3224),
     ("psi", 6894.757), ("MPa", 1e6), (" Bar ", 1e5)],
)  # fmt: skip
def test_pressures(unit: str, pascal: float) -> None:
    assert pressure_factor(unit) == pytest.approx(pascal, rel=1e-6)


def test_a_relative_pressure_needs_the_saturation_pressure() -> None:
    with pytest.raises(InputError, match="saturation pressure"):
        pressure_factor("p/p0")
    assert pressure_factor("RELATIVE", 101_325.0) == 101_325.0
    with pytest.raises(InputError, match="'inHg' is not known"):
        pressure_factor("inHg")


@pytest.mark.parametrize(
    ("unit", "gas", "molal"),
    [
        ("mmol/g", "CO2", 1.0),
        ("mol/kg", "N2", 1.0),
        ("mol/g", "N2", 1e3),
        ("mmol/kg", "N2", 1e-3),
        ("cm3(STP)/g", "CO2", 1 / 22.41397),  # 22.414 cm3 of gas are one mmol, whatever the gas
        ("cm3(STP)/g", "H2", 1 / 22.41397),
        ("cc STP/g", "CO2", 1 / 22.41397),
        ("mL(STP) g-1", "CO2", 1 / 22.41397),
        ("cm³ g⁻¹ (STP)", "CO2", 1 / 22.41397),
        ("cm3 g-1 STP", "CO2", 1 / 22.41397),
        ("ml/g", "CO2", 1 / 22.41397),
        ("mg/g", "CO2", 1 / 44.0095),
        ("g/g", "CO2", 1000 / 44.0095),
        ("wt%", "CO2", 10 / 44.0095),
        ("wt%", "H2", 10 / 2.01588),
    ],
)
def test_loadings(unit: str, gas: str, molal: float) -> None:
    assert loading_factor(unit, gas)[0] == pytest.approx(molal, rel=2e-4)


@pytest.mark.parametrize("unit", ["cm3(STP)/cm3", "volume/volume", "mmol/cm3", "g/l", "kmol/m3"])
def test_per_volume_needs_a_density(unit: str) -> None:
    with pytest.raises(InputError, match=r"density") as caught:
        loading_factor(unit, "CH4")
    assert unit in str(caught.value)
    assert loading_factor(unit, "CH4", density=500.0)[0] == pytest.approx(
        2 * loading_factor(unit, "CH4", density=1e3)[0]
    )


def test_methane_storage_in_volumes() -> None:
    # 180 v/v in a sorbent of 600 kg/m3: 180 / 22.414 mmol/cm3 / 0.6 g/cm3
    assert 180 * loading_factor("v/v", "CH4", density=600.0)[0] == pytest.approx(180 / 22.41397 / 0.6)


def test_per_cell_needs_its_mass() -> None:
    with pytest.raises(InputError, match="mass of the cell"):
        loading_factor("molecules/unitcell", "CH4")
    assert loading_factor("molecules/unitcell", "CH4", cell_mass=5768.09)[0] == pytest.approx(1 / 5.76809)


@pytest.mark.parametrize("unit", ["mmol/m2", "molecules/site", "?", "", "coverage"])
def test_what_cannot_be_converted_is_refused_by_name(unit: str) -> None:
    with pytest.raises(InputError, match="cannot be made mol/kg") as caught:
        loading_factor(unit, "CO2")
    assert repr(unit) in str(caught.value)


def test_gases_by_any_name() -> None:
    assert [gas_formula(n) for n in ("Carbon Dioxide", "co2", "CO₂", "Argon", "ar", "Nitrogen", "C3H8", "SF6")] == [
        "CO2", "CO2", "CO2", "Ar", "Ar", "N2", "C3H8", "SF6"]  # fmt: skip
    assert molar_mass("C3H8") == pytest.approx(44.096, abs=0.01)
    with pytest.raises(InputError, match="neither a name"):
        gas_formula("swamp gas")
