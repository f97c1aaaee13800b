"""A baseline runs beside a campaign, is resumed, never ranked, and told of in the report."""

import dataclasses
import re
from pathlib import Path

import pytest
from campaign_parts import EVALUATORS, LOADER, make_config, run_count
from example_snapshot import example_snapshot

from potentials.config import parse_config
from potentials.errors import InputError
from screening import discovery
from screening.baseline import FOLDER, baseline_campaign
from screening.campaign import Campaign
from screening.campaign_config import CampaignConfig, differing_keys
from screening.candidate import ComparedSet, Comparison
from screening.ranking import rank
from screening.report import render_report
from screening.report.comparison import comparison_html

STAGES = [
    {"evaluator": "probe", "name": "cheap", "settings": {"name": "cheap"}},
    {"evaluator": "probe", "keep": {"n": 2, "by": "probe_volume"}},
    {"evaluator": "probe", "name": "dear", "settings": {"name": "dear"}},
]
BASELINE = {"name": "salts", "through": "probe", "by": "probe_volume", "settings": {"unbuilt": [1]}}


def config(folder: Path | None = None, **values):
    counted = (
        [{**s, "settings": {**s.get("settings", {}), "folder": str(folder)}} for s in STAGES] if folder else STAGES
    )
    return make_config(counted, baseline=BASELINE, **values)


@pytest.fixture
def tested(monkeypatch):
    """`discover` with the proposer and evaluators of the tests."""

    def campaign(config, folder=None):
        return Campaign(config, folder, evaluators=EVALUATORS, proposer_loader=LOADER)

    monkeypatch.setattr(discovery, "Campaign", campaign)
    monkeypatch.setattr(discovery, "load_proposer", lambda name, settings: None)
    return discovery.discover


def test_its_campaign_has_the_same_budget_and_stages_and_keeps_all():
    made = baseline_campaign(config())
    assert made.proposer.count == config().proposer.count
    assert [stage.name for stage in made.stages] == ["cheap", "probe"]
    assert made.stages[-1].keep is None
    assert made.seed == config().seed
    assert baseline_campaign(make_config(STAGES)) is None


def test_a_stage_that_is_not_there_is_named():
    values = config().model_dump(mode="json")
    with pytest.raises(InputError, match="no stage is called 'henry'"):
        parse_config(CampaignConfig, {**values, "baseline": {**BASELINE, "through": "henry"}}, "test")


def test_it_may_change_without_the_campaign_being_refused():
    old, new = config().model_dump(mode="json"), make_config(STAGES).model_dump(mode="json")
    assert differing_keys(old, new, 3, 3) == []


def test_it_is_compared_and_not_ranked_and_not_run_twice(tmp_path, tested):
    counts = tmp_path / "counts"
    counts.mkdir()
    result = tested(config(counts), folder=tmp_path / "run")
    comparison = result.snapshot.comparison
    assert comparison.finished
    assert comparison.own.proposed == comparison.baseline.proposed == 6
    assert dict(comparison.own.left) == {"built": 6, "cheap": 6, "probe": 6}  # what `keep` drops was measured
    assert dict(comparison.baseline.left) == {"built": 5, "cheap": 5, "probe": 5}
    assert len(comparison.own.values) == 6
    assert len(comparison.baseline.values) == 5
    assert len(result.ranking.entries) == 2
    assert "median probe_volume" in result.text
    before = {name: run_count(counts, name, 0) for name in ("cheap", "probe")}
    assert before == {"cheap": 2, "probe": 2}  # once for each of the two
    again = tested(config(counts), folder=tmp_path / "run")
    assert again.snapshot.comparison == comparison
    assert before == {name: run_count(counts, name, 0) for name in before}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Against salts" in page


def test_a_killed_baseline_goes_on_where_it_was(tmp_path, tested, monkeypatch):
    ran = Campaign.run

    def interrupted(self, *args, **values):
        if self.folder.name == FOLDER:
            raise KeyboardInterrupt
        return ran(self, *args, **values)

    monkeypatch.setattr(Campaign, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tested(config(), folder=tmp_path / "run")
    assert discovery.read_snapshot(tmp_path / "run").comparison is None
    assert (tmp_path / "run" / "report.html").is_file()  # the campaign's own answer is there already
    monkeypatch.setattr(Campaign, "run", ran)
    assert tested(config(), folder=tmp_path / "run").snapshot.comparison.finished


def test_another_baseline_on_old_work_is_refused(tmp_path, tested):
    tested(config(), folder=tmp_path / "run")
    other = config().model_dump(mode="json") | {"baseline": {**BASELINE, "settings": {"unbuilt": [2]}}}
    with pytest.raises(InputError, match=r"settings\.unbuilt"):
        tested(parse_config(CampaignConfig, other, "test"), folder=tmp_path / "run")


def compared(own, other, order="max", finished=True):
    left = {"built": 9, "henry": len(own)}
    return Comparison(
        "henry",
        "co2_henry_298K",
        "mol/(kg Pa)",
        order,
        ComparedSet("sorbents", 10, left, tuple(own)),
        ComparedSet("template", 10, {"built": 10, "henry": len(other)}, tuple(other)),
        finished,
    )


def test_the_section_says_which_way_it_went():
    good, bad = [1e-4, 2e-4, 1e-3], [1e-6, 1e-5, 2e-5]
    text = comparison_html(compared(good, bad))
    assert "is better by a factor of 20" in text
    assert "is worse by a factor of 20" in comparison_html(compared(bad, good))
    assert "is better" in comparison_html(compared(bad, good, order="min"))
    assert text.count("<polyline") == 2
    assert "90 %" in text  # built
    assert "Not finished" in comparison_html(compared(good, bad, finished=False))


def test_nothing_measured_and_one_value_are_drawn_too():
    assert "Nothing was measured" in comparison_html(compared([], []))
    assert comparison_html(compared([3.0], [])).count("<polyline") == 1
    assert comparison_html(None) == ""


def test_the_stairs_stay_inside_the_picture():
    text = comparison_html(compared([1e-6, 1e-4, 1e-2], [1e-5, 3e-5]))
    points = re.findall(r"([\d.-]+),([\d.-]+)", " ".join(re.findall(r'points="([^"]+)"', text)))
    assert points
    assert all(0 <= float(x) <= 560 and 0 <= float(y) <= 270 for x, y in points)


def test_the_page_holds_the_section():
    snapshot = example_snapshot()
    page = render_report(snapshot, rank(snapshot))
    assert 'id="comparison"' not in page
    snapshot = dataclasses.replace(snapshot, comparison=compared([1e-4], [1e-5]))
    assert 'id="comparison"' in render_report(snapshot, rank(snapshot))
