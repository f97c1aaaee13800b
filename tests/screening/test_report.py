"""The report as text: complete, escaped, closed to the network, the same for the same campaign."""

import dataclasses
import itertools
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from example_snapshot import cha, example_snapshot, irmof_1, sodalite
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from screening.candidate import Candidate, Property
from screening.quantities import with_error
from screening.ranking import rank
from screening.report import embedded_json, fill, render_report, write_report
from screening.report.drawing import MOST_ATOMS, colour, picture, scene
from screening.report.losses import funnel
from screening.report.words import formula_html, number_html, percent, told_together

NASTY = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2"> & {{css}} \'"'


class Page(HTMLParser):
    """Elements with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    def data(self) -> dict:
        return json.loads(self.scripts[1])

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def example():
    snapshot = example_snapshot()
    return snapshot, rank(snapshot)


@pytest.fixture(scope="module")
def html(example):
    return render_report(*example)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def nasty_snapshot():
    """The example with hostile text wherever a file or a user could have put some."""
    example = example_snapshot(question=NASTY, name=NASTY)
    rows = []
    for row in example.rows:
        candidate = row.candidate
        if candidate is not None:
            properties = {
                name: dataclasses.replace(item, note=NASTY, method=NASTY, unit=item.unit and f"{item.unit}{NASTY}")
                for name, item in candidate.properties.items()
            }
            properties[NASTY] = Property(NASTY, 1.0, NASTY, 0.1, NASTY, NASTY)
            identity = f"{NASTY}{row.index}" if row.index == 0 else candidate.id
            candidate = Candidate(identity, row.index, candidate.structure, {NASTY: NASTY}, properties)
        rows.append(dataclasses.replace(row, candidate=candidate, reason=row.reason and row.reason + NASTY))
    config = {**example.config, NASTY: NASTY}
    stages = (*example.stages, NASTY)
    return dataclasses.replace(
        example, rows=tuple(rows), config=config, config_hash=NASTY, versions={NASTY: NASTY}, stages=stages
    )


def test_it_opens_from_disk_and_asks_no_network(page):
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules  # falls to 'none'
    assert rules["script-src"] == rules["style-src"] == "'unsafe-inline'"
    assert not any(tag in ("img", "link", "iframe", "object", "embed", "base", "form") for tag, _ in page.elements)
    for tag, attrs in page.elements:
        assert "src" not in attrs, tag
        assert "style" not in attrs, tag
        assert not any(name.startswith("on") for name in attrs), tag
        assert re.match(r"#|candidates/[\w.-]+\.cif$", attrs.get("href", "#")), attrs


def test_hostile_text_stays_text(page):
    snapshot = nasty_snapshot()
    hostile = Page(render_report(snapshot, rank(snapshot)))
    assert len(hostile.scripts) == len(page.scripts) == 4
    assert not hostile.all("img")
    assert len(hostile.all("style")) == 1
    assert not any(name.startswith("on") for _, attrs in hostile.elements for name in attrs)
    assert hostile.text.count(NASTY) > 20  # and it is shown as it is
    assert hostile.data()["labels"][NASTY].endswith(f"[{NASTY}]")
    for _, attrs in hostile.elements:
        assert re.match(r"#|candidates/[\w.-]+\.cif$", attrs.get("href", "#")), attrs


def test_embedded_json_cannot_leave_its_element():
    value = {"</script>": ["<!--", "]]>", "\u2028", "é", 'quote"']}
    text = embedded_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028") & set(text)
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded_json(float("nan"))


def test_a_template_is_filled_once():
    assert fill("{{a}} {{b}}", {"a": "{{b}}", "b": "\\1"}) == "{{b}} \\1"


def test_it_answers_the_question_in_words(example, page):
    snapshot, ranking = example
    assert snapshot.question in page.text
    assert f"{len(ranking.entries)} of {len(snapshot.rows)} proposals were ranked" in page.text
    for stage in snapshot.stages:
        assert stage in page.text
    assert "PLD >= 3.3" in page.text
    for name, version in snapshot.versions.items():
        assert f"{name}{version}" in page.text


def test_every_number_of_every_candidate_is_there_with_error_and_method(example, html):
    _, ranking = example
    articles = html.split('<article class="candidate"')[1:]
    assert len(articles) == len(ranking.entries)
    for article, entry in zip(articles, ranking.entries, strict=True):
        text = Page(article).text
        assert entry.candidate.id in text
        for item in entry.candidate.properties.values():
            if item.unit != "bool":
                printed = with_error(item.value, item.std).replace("-", "−")
                assert printed.split("e−")[0] in text
            assert item.method in text
        for value in entry.candidate.provenance.values():
            assert (value if isinstance(value, str) else json.dumps(value)) in text


def test_the_table_holds_the_ranking_and_values_to_sort_by(example, html):
    _, ranking = example
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    rows = re.findall(r'<tr data-place="(\d+)"', body)
    assert [int(place) for place in rows] == [entry.place for entry in ranking.entries]
    uptakes = [entry.candidate.properties["co2_uptake_0.15bar_298K"].value for entry in ranking.entries]
    for row, uptake in zip(body.split("<tr ")[1:], uptakes, strict=True):
        assert f'data-value="{uptake:.8g}"' in row


def test_the_plot_has_every_value_with_its_error(example, page):
    _, ranking = example
    for drawn, entry in zip(page.data()["candidates"], ranking.entries, strict=True):
        item = entry.candidate.properties["vsa_working_capacity"]
        assert drawn["values"]["vsa_working_capacity"] == [item.value, item.std, item.std]
        assert drawn["front"] == entry.front
    drawn = [candidate["scene"] is not None for candidate in page.data()["candidates"]]
    assert drawn == [entry.place <= ranking.top for entry in ranking.entries]


def test_the_funnel_accounts_for_every_proposal(example):
    snapshot, ranking = example
    steps = funnel(snapshot, ranking)
    assert [step.name for step in steps] == ["proposed", "built", *snapshot.stages[1:], "ranked"]
    for before, after in itertools.pairwise(steps):
        assert before.left - after.lost == after.left
    lost = [loss.index for step in steps for group in step.groups for loss in group.losses]
    assert sorted(lost + [entry.index for entry in ranking.entries]) == [row.index for row in snapshot.rows]


def test_reasons_that_differ_in_numbers_are_told_together(example):
    snapshot, ranking = example
    pores = next(step for step in funnel(snapshot, ranking) if step.name == "pores")
    assert [group.reason for group in pores.groups] == ["pld_angstrom … is below 3.3"]
    relaxation = next(step for step in funnel(snapshot, ranking) if step.name == "relaxation")
    assert [(len(g.losses), g.state, g.reason) for g in relaxation.groups] == [
        (2, "rejected", "2 of 106 bonds broke"),
        (1, "failed", "the worker died on it 3 times: no result within 300 s"),
    ]


def test_the_same_campaign_gives_the_same_bytes(html):
    again = example_snapshot()
    assert render_report(again, rank(again)) == html


def test_a_campaign_without_survivors_still_gets_a_page(tmp_path):
    nobody = dataclasses.replace(example_snapshot(), rows=example_snapshot().rows[4:5])
    text = write_report(tmp_path / "report.html", nobody, rank(nobody)).read_text()
    assert "0 of 1 proposals were ranked" in text
    assert "does not fit the vertex" in text
    empty = dataclasses.replace(nobody, rows=())
    assert "0 of 0 proposals" in render_report(empty, rank(empty))


def test_a_place_that_cannot_be_written_is_named(tmp_path, example):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_report(tmp_path / "file" / "report.html", *example)


def test_bonds_are_drawn_from_both_ends():
    drawn = scene(sodalite())
    counts = np.bincount([int(half[0]) for half in drawn["halves"]], minlength=len(drawn["atoms"]))
    symbols = [drawn["elements"][int(atom[0])][0] for atom in drawn["atoms"]]
    assert {(s, int(n)) for s, n in zip(symbols, counts, strict=True)} == {("Si", 4), ("O", 2)}
    lengths = np.linalg.norm([half[1:] for half in drawn["halves"]], axis=1)
    assert lengths == pytest.approx(lengths[0], abs=0.01)  # half of one Si-O bond
    assert 0.75 < lengths[0] < 0.85
    assert {element[0]: element[3] for element in drawn["elements"]} == {"Si": 12, "O": 24}


def test_atoms_on_a_face_are_shown_on_its_copies():
    drawn = scene(Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 1.0]]))
    kinds = [drawn["elements"][int(atom[0])][0] for atom in drawn["atoms"]]
    assert (kinds.count("Na"), kinds.count("Cl")) == (8, 2)
    assert max(max(atom[1:]) for atom in drawn["atoms"]) == 4.0


@pytest.mark.parametrize(
    "structure",
    [
        Structure(Lattice([[5, 0, 0], [0, 5, 0], [4.99, 0, 0.01]]), ["V", "Ni"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        Structure(Lattice.cubic(5), ["V"], [[float("nan"), 0, 0]]),
        Structure(Lattice.cubic(500), ["Ar"] * (MOST_ATOMS + 1), np.random.default_rng(0).random((MOST_ATOMS + 1, 3))),
    ],
    ids=["flat", "not finite", "large"],
)
def test_what_cannot_be_drawn_is_left_out(structure):
    assert scene(structure) is None
    assert picture(None, "x") == ""


@pytest.mark.parametrize("make", [sodalite, cha, irmof_1])
def test_a_picture_is_well_formed_and_inside_its_frame(make):
    drawn = scene(make())
    root = ElementTree.fromstring(picture(drawn, 'a "title" & more'))
    circles = [element for element in root.iter() if element.tag == "circle"]
    assert len(circles) == len(drawn["atoms"])
    for circle in circles:
        assert 0 <= float(circle.get("cx")) <= 220
        assert 0 <= float(circle.get("cy")) <= 220


def test_every_element_has_a_colour():
    assert re.fullmatch(r"#[0-9a-f]{6}", colour("Og"))
    assert colour("Nd") != colour("Pr")


def test_texts_that_differ_in_numbers_are_one():
    texts = ["2000 cycles, 2x2x2 cells", "no charges", "2000 cycles, 1x2x3 cells"]
    assert told_together(texts) == ["2000 cycles, …x2x… cells", "no charges"]
    assert told_together([]) == []


def test_words_for_people():
    assert percent(0.9999) == "&gt;99%"
    assert percent(1e-4) == "&lt;1%"
    assert (percent(1.0), percent(0.0), percent(0.5)) == ("100%", "0%", "50%")
    assert number_html(-3.5e-5, 6e-7) == "(−3.500 ± 0.060) × 10<sup>−5</sup>"
    assert formula_html(Structure(Lattice.cubic(4), ["Zr", "O"], [[0, 0, 0], [0.5] * 3])) == "ZrO"
    assert formula_html(sodalite()) == "SiO<sub>2</sub>"


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.1."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(html, scheme):
    themes = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", themes[0]))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", themes[1]))
    pairs = [(text, ground) for text in ("ink", "quiet", "leaf", "berry") for ground in ("paper", "card")]
    pairs += [("ink", "berry-soft"), ("ink", "leaf-soft"), ("quiet", "berry-soft"), ("leaf", "berry-soft")]
    for text, ground in pairs:
        light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
