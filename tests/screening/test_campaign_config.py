"""The campaign's configuration, its filters, and which changes a half-done campaign accepts."""

from pathlib import Path
from typing import Any

import pytest

from potentials.config import load_config, parse_config
from potentials.errors import InputError
from screening.campaign_config import CampaignConfig, differing_keys
from screening.candidate import Property
from screening.funnel import check_known, not_kept, parse_requirement, unmet

MINIMAL: dict[str, Any] = {
    "name": "flue",
    "question": "Which sorbent?",
    "proposer": {"name": "template", "count": 4},
    "stages": [{"evaluator": "validity"}, {"evaluator": "pores", "require": {"pld_angstrom": ">= 3.3"}}],
    "ranking": {"objectives": [{"property": "co2_henry_298K"}]},
}


def config(**values: Any) -> CampaignConfig:
    return parse_config(CampaignConfig, {**MINIMAL, **values}, "flue.yaml")


def refusal(**values: Any) -> str:
    with pytest.raises(InputError) as caught:
        config(**values)
    return str(caught.value)


def test_defaults_are_filled_in() -> None:
    full = config()
    assert [stage.name for stage in full.stages] == ["validity", "pores"]
    assert full.workers is None
    assert full.ranking.objectives[0].direction == "max"
    assert full.ranking.objectives[0].weight == 1.0
    assert full.max_attempts == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stages": []}, "stages"),
        ({"ranking": {"objectives": []}}, "ranking.objectives"),
        ({"name": "../elsewhere"}, "name = '../elsewhere'"),
        ({"workers": 0}, "workers = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"stages": [{"evaluator": "pores"}, {"evaluator": "pores"}]}, "two stages are called 'pores'"),
        ({"stages": [{"evaluator": "pores", "name": "proposed"}]}, "two stages are called 'proposed'"),
        ({"stages": [{"evaluator": "pores", "requires": {}}]}, "stages.0.requires': did you mean 'require'?"),
        ({"stages": [{"evaluator": "pores", "keep": {"n": 0, "by": "x"}}]}, "stages.0.keep.n = 0"),
        (
            {"stages": [{"evaluator": "pores", "require": {"pld_angstrom": "3.3"}}]},
            "stages.0.require.pld_angstrom = '3.3': '3.3' is not a requirement: write a comparison and a number, "
            "such as '>= 3.3'",
        ),
        ({"proposer": {"name": "template", "count": 0}}, "proposer.count = 0"),
        ({"ranking": {"objectives": [{"property": "x", "direction": "up"}]}}, "ranking.objectives.0.direction = 'up'"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], message: str) -> None:
    text = refusal(**values)
    assert message in text
    assert text.startswith("flue.yaml: ")


def test_overrides_reach_into_stages(tmp_path: Path) -> None:
    path = tmp_path / "flue.yaml"
    path.write_text(
        "name: flue\nquestion: Which?\nproposer: {name: template, count: 4}\n"
        "stages:\n  - evaluator: pores\n    require: {pld_angstrom: '>= 3.3'}\n"
        "ranking: {objectives: [{property: x}]}\n"
    )
    changed = load_config(CampaignConfig, path, ["stages.0.require.pld_angstrom='>= 4'", "proposer.count=9"])
    assert changed.stages[0].require == {"pld_angstrom": ">= 4"}
    assert changed.proposer.count == 9


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (">= 3.3", [(">=", 3.3)]),
        ("<1e-3", [("<", 1e-3)]),
        ("== 1", [("==", 1.0)]),
        ("!= -2.5", [("!=", -2.5)]),
        (" > .5 , <= 12 ", [(">", 0.5), ("<=", 12.0)]),
    ],
)
def test_requirements_are_read(text: str, terms: list[tuple[str, float]]) -> None:
    assert parse_requirement(text) == terms


@pytest.mark.parametrize("text", ["", "3.3", "=> 3", ">= three", ">= 3 and < 4", ">=", "> 1,", "__import__('os')"])
def test_anything_else_is_not_a_requirement(text: str) -> None:
    with pytest.raises(ValueError, match="is not a requirement"):
        parse_requirement(text)


def measured(value: float | None, note: str = "") -> dict[str, Property]:
    return {"pld": Property("pld", value, "Å", note=note)}


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        (">= 3.3", 3.3, None),
        (">= 3.3", 2.9, "pld 2.9 is below 3.3"),
        ("> 3.3", 3.3, "pld 3.3 is not above 3.3"),
        ("<= 3.3", 4.0, "pld 4 is above 3.3"),
        ("< 3.3", 3.3, "pld 3.3 is not below 3.3"),
        ("== 1", 0.0, "pld 0 is not 1"),
        ("!= 1", 1.0, "pld 1 is just 1"),
        (">= 3, < 12", 5.0, None),
        (">= 3, < 12", 12.5, "pld 12.5 is not below 12"),
        (">= 3", None, "pld was not measured"),
    ],
)
def test_a_requirement_says_why_not(text: str, value: float | None, reason: str | None) -> None:
    assert unmet({"pld": text}, measured(value)) == reason


def test_a_note_explains_what_was_not_measured() -> None:
    assert unmet({"pld": "> 0"}, measured(None, "no channel")) == "pld was not measured (no channel)"
    assert unmet({"pld": "> 0"}, {}) == "pld was not measured"


def test_the_best_are_kept_and_ties_go_to_the_earlier() -> None:
    values = [3.0, 1.0, None, 2.0, 2.0]
    rows = [(index, measured(value)) for index, value in enumerate(values)]
    assert not_kept(rows, 2, "pld", "max", "pores") == {
        4: "ranked 3rd by pld, stage pores keeps 2",
        1: "ranked 4th by pld, stage pores keeps 2",
        2: "pld was not measured, stage pores keeps 2",
    }
    assert not_kept(rows[::-1], 3, "pld", "min", "pores").keys() == {0, 2}
    assert not_kept(rows, 5, "pld", "max", "pores") == {}


@pytest.mark.parametrize(("number", "text"), [(11, "11th"), (12, "12th"), (21, "21st"), (102, "102nd"), (113, "113th")])
def test_places_are_english(number: int, text: str) -> None:
    rows = [(index, measured(float(-index))) for index in range(number)]
    assert not_kept(rows, number - 1, "pld", "max", "pores") == {
        number - 1: f"ranked {text} by pld, stage pores keeps {number - 1}"
    }


def test_unknown_properties_are_told_with_the_nearest() -> None:
    check_known(["pld"], ["lcd", "pld"], "pores")
    with pytest.raises(InputError, match=r"'pdl', which no candidate has: did you mean 'pld'\? measured so far: lcd"):
        check_known(["pdl"], ["lcd", "pld"], "pores")
    with pytest.raises(InputError, match="measured so far: nothing"):
        check_known(["pdl"], [], "pores")


# Changes between runs: (stages begun, stages closed) decide


def differences(begun: int, closed: int, **values: Any) -> list[str]:
    old, new = (parse_config(CampaignConfig, {**MINIMAL, **v}, "x").model_dump(mode="json") for v in ({}, values))
    return differing_keys(old, new, begun, closed)


STRICTER = [MINIMAL["stages"][0], {"evaluator": "pores", "require": {"pld_angstrom": ">= 4"}, "deadline_s": 5}]
OTHER = [MINIMAL["stages"][0], {"evaluator": "henry"}]


@pytest.mark.parametrize(
    ("begun", "closed", "values", "keys"),
    [
        (2, 2, {}, []),
        (2, 2, {"workers": 9, "output": "x", "question": "?", "ranking": {"objectives": [{"property": "y"}]}}, []),
        (2, 2, {"proposer": {"name": "template", "count": 4, "batch": 8}}, []),
        (0, 0, {"seed": 3}, ["seed: 0 -> 3"]),
        (0, 0, {"max_attempts": 3}, ["max_attempts: 2 -> 3"]),
        (0, 0, {"proposer": {"name": "files", "count": 4}}, ["proposer.name: template -> files"]),
        (
            0,
            0,
            {"proposer": {"name": "template", "count": 4, "settings": {"topology": "pcu"}}},
            ["proposer.settings: {} -> absent", "proposer.settings.topology: absent -> pcu"],
        ),
        (1, 1, {"stages": OTHER}, []),
        (2, 1, {"stages": STRICTER}, []),
        (
            2,
            2,
            {"stages": STRICTER},
            ["stages.1.deadline_s: 600.0 -> 5.0", "stages.1.require.pld_angstrom: >= 3.3 -> >= 4"],
        ),
        (2, 1, {"stages": OTHER}, ["stages.1.evaluator: pores -> henry", "stages.1.name: pores -> henry"]),
        (2, 2, {"stages": [*MINIMAL["stages"], {"evaluator": "henry"}]}, []),
        (1, 1, {"stages": MINIMAL["stages"][:1]}, []),
        (2, 1, {"stages": MINIMAL["stages"][:1]}, ["stages.1.evaluator: pores -> absent"]),
    ],
)
def test_finished_work_fixes_the_configuration(
    begun: int, closed: int, values: dict[str, Any], keys: list[str]
) -> None:
    found = differences(begun, closed, **values)
    assert set(keys) <= set(found)
    assert bool(keys) == bool(found)
