"""Campaigns that rank by process figures: the shipped configurations, and a small one from files to a ranking."""

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from potentials.config import load_config, parse_config
from potentials.structure_files import write_structures
from screening.adsorption.cycles import find_recipe
from screening.campaign_config import CampaignConfig
from screening.evaluators import evaluator_settings, find_evaluator

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "discover").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_shipped_campaigns_are_valid(path):
    config = load_config(CampaignConfig, path)
    for stage in config.stages:
        entry = find_evaluator(stage.evaluator)
        evaluator_settings(entry.settings, stage.settings, f"stage {stage.name}")


def test_the_air_campaign_ranks_by_figures_its_recipe_makes():
    config = load_config(CampaignConfig, next(path for path in CONFIGS if path.stem == "co2_dac"))
    recipe = find_recipe(config.stages[-1].settings["conditions"])
    wanted = {objective.property for objective in config.ranking.objectives}
    assert {f"{recipe.prefix}_{name}" for name, _, _ in recipe.objectives} <= wanted


@pytest.mark.slow  # worker processes
def test_a_campaign_ranks_by_a_process_figure(tmp_path):
    from screening.campaign import Campaign

    folder = tmp_path / "in"
    for edge in (7.0, 8.0, 9.0):
        write_structures(folder / f"edge{edge:g}.cif", [Structure(Lattice.cubic(edge), ["Ar"], [[0, 0, 0]])])
    model = {"charges": "none", "pockets": "open"}
    effort = {
        "model": model,
        "mixtures": "iast",
        "isotherm_points": 4,
        "gcmc_engine": "raspa",
        "equilibration_cycles": 0,
    }
    config = parse_config(
        CampaignConfig,
        {
            "name": "air",
            "question": "Which lattice takes most CO2 from air?",
            "proposer": {"name": "files", "count": 3, "settings": {"folder": str(folder)}},
            "stages": [{"evaluator": "process", "settings": {"conditions": "dac", **effort}}],
            "ranking": {
                "objectives": [
                    {"property": "dac_co2_uptake_humid"},
                    {"property": "dac_co2_h2o_henry_ratio", "weight": 0.5},
                ]
            },
            "workers": 1,
            "output": str(tmp_path / "run"),
        },
        "test",
    )
    campaign = Campaign(config)
    campaign.run(progress=False)
    ranking = campaign.ranking()
    assert [entry.place for entry in ranking.entries] == [1, 2, 3]
    best = ranking.entries[0].candidate.properties["dac_co2_uptake_humid"]
    assert best.value > 0
    assert best.unit == "mol/kg"
