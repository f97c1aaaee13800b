"""State points read off property names."""

import pytest

from screening.uptake_names import henry_condition, uptake_condition


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("co2_uptake_0.15bar_298K", ("co2", 15_000.0, 298.0)),
        ("co2_pure_uptake_0.05bar_298.15K", ("co2", 5_000.0, 298.15)),
        ("n2_uptake_1e-05bar_298K", ("n2", 1.0, 298.0)),
        ("vsa_co2_uptake", None),
        ("co2_uptake_0.15bar_298K@uff-trappe+eqeq", None),
        ("pld_angstrom", None),
    ],
)
def test_uptakes(name: str, found: tuple[str, float, float] | None) -> None:
    assert uptake_condition(name) == found


def test_henry_coefficients() -> None:
    assert henry_condition("co2_henry_298K") == ("co2", 298.0)
    assert henry_condition("co2_heat_298K") is None
