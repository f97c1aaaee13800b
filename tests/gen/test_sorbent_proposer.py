"""The learned generator as a proposer: seed and index alone, settings as the template's, provenance, files."""

import json

import pytest
from structures.bead_samples import random_model

from gen.proposers import load_proposer
from gen.sorbents import proposer
from gen.sorbents.bead_model import write_bead_model
from gen.sorbents.beads import BeadRow
from gen.sorbents.catalog import load_catalog
from gen.sorbents.proposer import SorbentSettings
from gen.sorbents.template import TemplateSettings
from potentials.errors import InputError

CHUNK = 3  # frameworks at once, so that tests build few
FIXED = {"fix": "pcu:N16:E14", "steps": 3, "quench_steps": 1}


@pytest.fixture(scope="module", autouse=True)
def _small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposer, "CHUNK", CHUNK)
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(write_bead_model(tmp_path_factory.mktemp("weights") / "sorbents", random_model(), {"command": "test"}))


@pytest.fixture(scope="module")
def proposals(checkpoint):
    return list(load_proposer("sorbents", {"checkpoint": checkpoint, **FIXED}).propose(range(4), seed=1))


def test_seed_and_index_decide(checkpoint, proposals):
    late = load_proposer("sorbents", {"checkpoint": checkpoint, **FIXED})
    (third,) = late.propose(range(2, 3), seed=1)
    assert third.index == 2
    assert third.structure == proposals[2].structure
    assert third.provenance == proposals[2].provenance
    (other,) = late.propose(range(2, 3), seed=2)
    assert other.provenance["blocks"] != third.provenance["blocks"]


def test_provenance_says_what_a_framework_is_made_of(proposals):
    proposal = next(proposal for proposal in proposals if proposal.structure is not None)
    told = proposal.provenance
    assert told["proposer"] == "sorbents"
    assert (told["seed"], told["index"]) == (1, proposal.index)
    assert told["blocks"]["N16"] == 1
    assert "Zn" in told["metals"]
    assert told["fixed"] == {"framework": "pcu:N16:E14", "what": ["nodes", "coordinates", "lattice"], "sites": None}
    row = BeadRow.from_json(json.loads(json.dumps(told))["beads"])
    assert sorted(row.beads.blocks) == sorted(name for name, count in told["blocks"].items() for _ in range(count))
    assert len(row.links.bead) == 3


def test_a_failure_is_a_proposal_with_its_reason(checkpoint):
    blocks = load_catalog().blocks.values()
    anion = next(block.name for block in blocks if block.connections == 2 and block.charge == -1 and not block.metals)
    never_neutral = {"nodes": "N16", "linkers": anion}
    settings = {"checkpoint": checkpoint, "draws": 2, "resample_invalid": False, "conditions": never_neutral}
    (proposal,) = load_proposer("sorbents", settings).propose(range(1), seed=0)
    assert proposal.structure is None
    assert proposal.failure.startswith("charged:")
    assert proposal.provenance["model_sha256"]


def test_settings_mean_what_they_mean_to_the_template(checkpoint):
    shared = set(TemplateSettings.model_fields) & set(SorbentSettings.model_fields)
    assert shared == {"nets", "metals", "mofs", "cofs", "neutral", "max_atoms"}
    for name in shared:
        assert SorbentSettings.model_fields[name].default == TemplateSettings.model_fields[name].default
    learned = load_proposer(
        "sorbents", {"checkpoint": checkpoint, "metals": ["Zn"], "max_atoms": 90, "conditions": {"void_fraction": 0.6}}
    )
    assert learned.conditions == {"void_fraction": 0.6, "metals": ["Zn"], "max_atoms": 90}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"checkpoint": "no/such"}, "no generator 'no/such'"),
        ({"conditions": {"void_fractio": 0.5}}, "did you mean 'void_fraction'"),
        ({"metals": ["Zm"]}, "no block of the library holds 'Zm'"),
        ({"metals": ["Zn"], "conditions": {"metals": "Cu"}}, "differ: give one"),
        ({"fix_sites": [0]}, "fix_sites without fix"),
        ({"fix": "nothing"}, "neither a file of beads nor a recipe"),
        ({"fix": "pcu:N16:E14", "fix_what": ["atoms"]}, "fix_what"),
        ({"step": 5}, "did you mean 'steps'"),
    ],
)
def test_mistakes_are_named_when_it_is_loaded(checkpoint, settings, words):
    with pytest.raises(InputError, match=words):
        load_proposer("sorbents", {"checkpoint": checkpoint, **settings})


def test_chunks_are_kept(checkpoint):
    learned = load_proposer("sorbents", {"checkpoint": checkpoint, **FIXED})
    first = [proposal.structure for proposal in learned.propose(range(CHUNK - 1, CHUNK + 1), seed=1)]
    assert list(learned._chunks) == [(1, 0), (1, 1)]
    made = dict(learned._chunks)
    assert first == [proposal.structure for proposal in learned.propose(range(CHUNK - 1, CHUNK + 1), seed=1)]
    assert all(learned._chunks[key] is chunk for key, chunk in made.items())
