"""Aluminium and cations as a user asks for them: ratios, supercells, named frameworks, mistakes."""

import json

import numpy as np
import pytest

from gen.proposers import load_proposer
from gen.zeolites.aluminosilicates import DecorationConfig, _supercells, decorate_as, named_framework
from gen.zeolites.decoration import choose_aluminium, loewenstein_fault, neutrality_fault
from gen.zeolites.framework import supercell
from gen.zeolites.nets import silica_of_net
from potentials.errors import InputError
from potentials.structure_files import read_structure
from screening.cli import main


@pytest.fixture(scope="module")
def sodalite():
    return named_framework("SOD")


@pytest.mark.parametrize(
    ("asked", "cation", "tetrahedra"),
    [
        (5.0, "Na", 6),  # one Al in the primitive cell
        (11.0, "Na", 12),  # needs two cells
        (5.0, "Ca", 12),  # two Al for one cation
    ],
)
def test_the_smallest_supercell_that_can_have_the_ratio_is_taken(sodalite, asked, cation, tetrahedra):
    made, supercell = decorate_as(sodalite, DecorationConfig(si_al=asked, cation=cation), seed=3)
    counts = made.structure.composition.get_el_amt_dict()
    assert counts["Si"] + counts["Al"] == tetrahedra
    assert 6 * supercell[0] * supercell[1] * supercell[2] == tetrahedra
    assert counts["Si"] / counts["Al"] == pytest.approx(asked) == pytest.approx(made.silicon_per_aluminium)
    assert loewenstein_fault(made.structure) is None
    assert neutrality_fault(made.structure) is None


def test_half_of_the_tetrahedra_alternate_or_cannot():
    framework = silica_of_net("sod")
    with pytest.raises(InputError, match="Loewenstein"):
        choose_aluminium(framework, 3, 0)  # its primitive cell links each tetrahedron to both halves
    large = supercell(framework, np.diag([2, 2, 2]))
    for seed in range(3):
        chosen = choose_aluminium(large, 24, seed)
        assert len(chosen) == 24
        assert (np.isin(large.silicon, chosen).sum(1) == 1).all()  # every oxygen has one aluminium


def test_a_supercell_given_is_kept(sodalite):
    with pytest.raises(InputError, match="Loewenstein"):
        decorate_as(sodalite, DecorationConfig(si_al=1, supercell=(1, 1, 1)), seed=0)
    made, supercell = decorate_as(sodalite, DecorationConfig(aluminium=3, supercell=(1, 1, 2)), seed=0)
    assert (made.aluminium, supercell, len(made.structure)) == (3, (1, 1, 2), 36 + 3)


@pytest.mark.parametrize(
    ("asked", "cation", "first"),
    [
        (5, "Na", ((1, 1, 1), 1)),
        (11, "Na", ((1, 1, 2), 1)),
        (200, "Na", ((2, 2, 2), 1)),  # beyond every supercell of eight: as near as can be
        (2, "Ba", ((1, 1, 1), 2)),
        (2.4, "Na", ((1, 1, 3), 5)),
    ],
)
def test_order_of_supercells(asked, cation, first):
    options = _supercells(6, DecorationConfig(si_al=asked, cation=cation))
    assert options[0] == first
    sizes = [int(np.prod(shape)) for shape, _ in options]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either si_al or aluminium"),
        ({"si_al": 2, "aluminium": 1}, "either si_al or aluminium"),
        ({"si_al": 0.5}, "greater than or equal to 1"),
        ({"si_al": 2, "cation": "Xx"}, "no cation 'Xx'"),
        ({"si_al": 2, "supercell": [0, 1, 1]}, "less than once"),
        ({"si_alu": 2}, "did you mean 'si_al'"),
    ],
)
def test_mistakes_in_a_decoration_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        load_proposer("zeolites", {"framework": "sod", "decoration": settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"framework": "nonet", "decoration": {"si_al": 2}}, "neither a four-connected net"),
        ({"framework": "sod"}, "without settings.decoration"),
        ({"framework": "sod", "decoration": {"si_al": 2}, "conditions": {"num_atoms": 18}}, "leave them out"),
    ],
)
def test_mistakes_in_a_framework_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        load_proposer("zeolites", settings)


def test_command_line_writes_decorated_frameworks(tmp_path, capsys):
    out = tmp_path / "na_sod"
    call = ["generate", "model=zeolites", "seed=1"]
    assert main([*call, "--framework", "SOD", "--decorate", "si_al=5,cation=Na", "count=2", f"out={out}"]) == 0
    assert "2 of 2 structures" in capsys.readouterr().out
    records = [json.loads(line) for line in (out / "provenance.jsonl").read_text().splitlines()]
    assert [(record["si_al"], record["aluminium"], record["cations"]) for record in records] == [(5.0, 1, 1)] * 2
    structure = read_structure(out / records[0]["file"])
    assert structure.composition.as_dict() == {"Na": 1, "Al": 1, "Si": 5, "O": 12}
    assert neutrality_fault(structure) is None
    # the same as settings, as a configuration file has them
    words = ["settings.framework=SOD", "settings.decoration={si_al: 5, cation: Na}", "count=1"]
    assert main([*call, *words, f"out={tmp_path / 'settings'}"]) == 0
    (file,) = (tmp_path / "settings").glob("*.cif")
    assert file.read_text() == (out / records[0]["file"]).read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--framework", "SOD", "--decorate", "si_al"], "write it as si_al=10,cation=Na"),
        (["--framework", "SOD", "--decorate", "si_al=5,supercell=2x1"], "supercell"),
        (["--framework", "SOD", "--decorate", "si_al=5,cation=Xx"], "no cation 'Xx'"),
        (["--framework", "{file}", "--decorate", "si_al=5"], "no four-connected silica"),
    ],
)
def test_command_line_mistakes_are_one_sentence(sodalite, tmp_path, capsys, words, message):
    made, _ = decorate_as(sodalite, DecorationConfig(aluminium=1), seed=0)
    made.structure.to(str(tmp_path / "decorated.cif"))  # no longer silica
    words = [word.format(file=tmp_path / "decorated.cif") for word in words]
    assert main(["generate", "model=zeolites", "count=1", *words, f"out={tmp_path / 'out'}"]) != 0
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_generated_frameworks_are_decorated_and_do_not_depend_on_the_batch():
    settings = {"decoration": {"aluminium": 1, "cation": "K"}, "steps": 8, "draws": 1, "conditions": {"num_atoms": 18}}
    proposer = load_proposer("zeolites", settings)
    proposals = list(proposer.propose(range(3), 2))
    made = [proposal for proposal in proposals if proposal.structure is not None]
    for proposal in made:
        assert proposal.structure.composition["K"] == proposal.structure.composition["Al"] == 1
        assert loewenstein_fault(proposal.structure) is None
        assert proposal.provenance["decoration"]["cation"] == "K"
    failed = [proposal for proposal in proposals if proposal.structure is None]
    assert len(made) + len(failed) == 3
    assert all(proposal.failure for proposal in failed)
    if made:
        (alone,) = proposer.propose(range(made[0].index, made[0].index + 1), 2)
        assert alone.structure.matches(made[0].structure)


def test_relaxation_asked_for_is_made(sodalite, monkeypatch):
    """A potential moves everything and keeps what was decorated; without it least squares, or nothing, moves."""
    from gen.zeolites import aluminosilicates

    monkeypatch.setattr(aluminosilicates, "TWIN_STEPS", 2)
    made = {
        relax: decorate_as(sodalite, DecorationConfig(aluminium=1, relax=relax), seed=0)[0].structure
        for relax in ("none", "distances", "twin")
    }
    assert made["none"].volume == pytest.approx(sodalite.volume)
    assert made["distances"].volume > 1.01 * sodalite.volume
    assert made["twin"].composition == made["distances"].composition
    assert not np.allclose(made["twin"].frac_coords, made["distances"].frac_coords, atol=1e-4)
    assert loewenstein_fault(made["twin"]) is None
