"""Pictures of isotherms, also where nothing adsorbs."""

import warnings
from pathlib import Path

import pytest

from screening.isotherm_figure import _shortened, _subscripted, draw_isotherms


def test_nothing_adsorbed_is_said_instead_of_an_empty_logarithmic_panel(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [
        {
            "name": "dense",
            "gas": gas,
            "temperature [K]": 298.0,
            "pressure [Pa]": pressure,
            "uptake [mol/kg]": 0.0 if gas == "N2" else pressure / 1e5,
            "uptake std": 0.0,
        }
        for gas in ("CO2", "N2")
        for pressure in (1e3, 1e4, 1e5)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png, svg = draw_isotherms(points, ["dense"], "flue gas", tmp_path)
    assert png.stat().st_size > 1000
    assert svg.read_text().count("<!-- nothing adsorbed -->") == 1


def test_formulas_are_written_with_subscripts_and_long_names_cut() -> None:
    assert _subscripted("15 % CO2 in N2, 298 K") == "15 % CO$_{2}$ in N$_{2}$, 298 K"
    assert _subscripted("C2H6") == "C$_{2}$H$_{6}$"
    assert _subscripted("Ar at 87 K, 0.1 bar") == "Ar at 87 K, 0.1 bar"
    assert len(_shortened("x" * 80)) == 36
    assert _shortened("MFI") == "MFI"
