"""Recipes: consistent data, humidity, and errors that name the nearest one."""

import pytest

from potentials.errors import InputError
from screening.adsorption.cycles import RECIPES, find_recipe, water_vapour_pressure


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_every_recipe_is_consistent(recipe):
    for state in (recipe.feed, recipe.regeneration):
        if state is not None:
            assert sum(state.mixture.values()) == pytest.approx(1.0)
            assert state.pressure > 0
            assert 200 < state.temperature < 500
            assert recipe.target in state.mixture
    assert recipe.objectives
    assert recipe.title
    assert recipe.source
    assert sum(recipe.partial_pressure(gas) for gas in recipe.gases) == pytest.approx(recipe.feed.pressure)
    assert find_recipe(recipe.name) is recipe


def test_names_and_prefixes_are_each_used_once():
    assert len({recipe.prefix for recipe in RECIPES.values()}) == len(RECIPES)


def test_the_published_vacuum_swing():
    recipe = find_recipe("Flue_Gas")
    assert recipe.partial_pressure("CO2") == pytest.approx(0.15e5)
    assert (recipe.regeneration.pressure, recipe.regeneration.temperature) == (1e4, 363.0)


def test_water_displaces_dry_air():
    recipe = find_recipe("dac")
    assert recipe.gases[-1] == "H2O"
    assert recipe.partial_pressure("H2O") == pytest.approx(0.5 * 3.16e3, rel=0.01)
    assert recipe.partial_pressure("CO2") < 400e-6 * recipe.feed.pressure


@pytest.mark.parametrize(("temperature", "published"), [(298.15, 3169.9), (373.15, 101_418.0), (273.16, 611.66)])
def test_published_vapour_pressures_of_water(temperature, published):
    assert water_vapour_pressure(temperature) == pytest.approx(published, rel=2e-4)


FILE = """
name: biogas
prefix: biogas
title: 40 % CO2 in CH4, 1 bar, 298 K; to 0.1 bar
source: a test
feed: {mixture: {CO2: 0.4, CH4: 0.6}, pressure: 1.0e5, temperature: 298}
regeneration: {mixture: {CO2: 1.0}, pressure: 1.0e4, temperature: 320}
objectives: [{figure: working_capacity}, {figure: purity, weight: 0.5}]
"""


def test_a_recipe_in_a_file(tmp_path):
    path = tmp_path / "biogas.yaml"
    path.write_text(FILE)
    recipe = find_recipe(str(path))
    assert recipe.gases == ("CO2", "CH4")
    assert recipe.partial_pressure("CH4") == pytest.approx(6e4)
    assert recipe.objectives == (("working_capacity", "max", 1.0), ("purity", "max", 0.5))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("CH4: 0.6", "CH4: 0.5", "sum to 0.9"),
        ("{CO2: 1.0}", "{N2: 1.0}", "target CO2 is not in the mixture N2"),
        ("prefix: biogas", "prefix: Bio Gas", "prefix"),
        ("pressure: 1.0e5", "presure: 1.0e5", "did you mean 'pressure'"),
    ],
)
def test_a_bad_recipe_file_is_named(old, new, message, tmp_path):
    path = tmp_path / "biogas.yaml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(InputError, match=message):
        find_recipe(str(path))
    with pytest.raises(InputError, match="no process file"):
        find_recipe(str(tmp_path / "missing.yaml"))


def test_an_unknown_recipe_gets_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'flue-gas'"):
        find_recipe("fluegas")
    with pytest.raises(InputError, match="no vapour pressure at 100 K"):
        water_vapour_pressure(100)
