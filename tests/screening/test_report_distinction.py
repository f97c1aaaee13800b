"""The report's section on distinguishable candidates and its pictures of measured isotherms, read as HTML."""

import re
from dataclasses import replace

from ensemble_snapshot import MEMBERS, ensemble_snapshot
from example_snapshot import example_snapshot

from screening.candidate import Measurement
from screening.rank_uncertainty import distinguish
from screening.ranking import rank
from screening.report import render_report
from screening.report.distinction import distinction_html
from screening.report.measured import measured_html


def test_every_candidate_and_every_pair_is_drawn() -> None:
    ranking = rank(ensemble_snapshot())
    found = distinguish(ranking)
    html = distinction_html(ranking, found)
    k = len(found.places)
    assert html.count('class="span"') == k
    assert html.count('class="letters"') == k
    assert len(re.findall(r'<rect class="(?:sure|lost|open)"', html)) == k * (k - 1)
    sure = sum(p >= found.level for i, row in enumerate(found.beats) for j, p in enumerate(row) if i != j)
    assert html.count('<rect class="sure"') == sure > 0
    for member in MEMBERS:
        assert member.replace("+", " with ") in html
    assert f"{found.told_apart:.0%}" in html


def test_without_an_ensemble_the_section_says_what_is_not_in_it() -> None:
    ranking = rank(example_snapshot())
    html = distinction_html(ranking, distinguish(ranking))
    assert "Monte Carlo errors of one model alone" in html
    assert "<code>ensemble</code>" in html


def test_one_candidate_needs_no_section() -> None:
    ranking = rank(example_snapshot())
    alone = replace(ranking, entries=ranking.entries[:1])
    assert distinction_html(alone, distinguish(alone)) == ""
    page = render_report(replace(example_snapshot(), rows=()), rank(replace(example_snapshot(), rows=())))
    assert "really distinguishable" not in page


def test_the_page_holds_it_all_and_nothing_of_the_members_in_the_table() -> None:
    snapshot = ensemble_snapshot()
    ranking = rank(snapshot)
    page = render_report(snapshot, ranking)
    assert "Which candidates are really distinguishable" in page
    assert page.count('class="badge">measured') > 3
    assert "measured / computed 0.80" in page
    assert "figures of other models" in page
    table = page[page.index('<table id="ranking"') : page.index("</table>")]
    assert "dreiding" not in table
    assert "4 models" in table
    assert render_report(snapshot, ranking) == page  # the same bytes


def test_measured_points_and_computed_ones_stand_in_one_picture() -> None:
    snapshot = ensemble_snapshot()
    candidate = next(e.candidate for e in rank(snapshot).entries if e.measured)
    html = measured_html(candidate)
    assert html.count('class="measured m0"') == 18 + 1  # points and the mark of the source
    assert html.count('<rect class="computed"') == 1
    assert "10.1000/example" in html
    nasty = Measurement("<script>alert(1)</script>", "<b>", {"type": "figure", "name": "a"})
    html = measured_html(replace(candidate, measurements=(nasty,)))
    assert "<script>" not in html
    assert "<b>" not in html
    assert measured_html(replace(candidate, measurements=())) == ""
