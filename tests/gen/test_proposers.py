"""The registry of proposers, and the one that reads a user's files."""

import importlib
import subprocess
import sys

import pytest
from pymatgen.core import Lattice, Structure
from structures.published import cha, lta

from gen.proposers import PROPOSERS, load_proposer
from potentials.config import Config
from potentials.errors import InputError


def resolve(target):
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.fixture
def folder(tmp_path):
    cha().to(filename=str(tmp_path / "b_cha.cif"))
    lta().to(filename=str(tmp_path / "a_lta.cif"))
    (tmp_path / "c_cut.cif").write_text((tmp_path / "a_lta.cif").read_text()[:400])
    (tmp_path / "d_empty.cif").write_text("")
    mixed = Structure(Lattice.cubic(4), [{"Si": 0.5, "Ge": 0.5}], [(0, 0, 0)])
    mixed.to(filename=str(tmp_path / "e_mixed.cif"))
    (tmp_path / "notes.txt").write_text("not a structure")
    return tmp_path


@pytest.mark.parametrize("name", list(PROPOSERS))
def test_every_entry_points_at_a_proposer_and_its_settings(name):
    entry = PROPOSERS[name]
    assert entry.name == name
    proposer, settings = (resolve(target) for target in (entry.proposer, entry.settings))
    assert proposer.name == name
    assert callable(proposer.propose)
    assert issubclass(settings, Config)


def test_a_proposer_is_loaded_with_its_settings():
    proposer = load_proposer("template", {"nets": ["pcu"], "max_atoms": 60})
    assert proposer.settings.max_atoms == 60
    assert proposer.sampler.nets == ("pcu",)


def test_files_come_in_order_of_name_with_their_hash(folder):
    proposer = load_proposer("files", {"folder": str(folder)})
    proposals = list(proposer.propose(range(6), seed=0))
    assert [p.provenance.get("file") for p in proposals] == [
        "a_lta.cif", "b_cha.cif", "c_cut.cif", "d_empty.cif", "e_mixed.cif", None,
    ]  # fmt: skip
    assert [p.structure is None for p in proposals] == [False, False, True, True, True, True]
    assert proposals[0].structure.matches(lta())
    assert len(proposals[0].provenance["sha256"]) == 64
    assert "c_cut.cif: cannot be read as CIF" in proposals[2].failure
    assert "d_empty.cif" in proposals[3].failure
    assert "partially occupied" in proposals[4].failure
    assert "holds 5 CIF files only" in proposals[5].failure


def test_a_file_above_the_limit_is_a_failure(folder):
    (proposal,) = load_proposer("files", {"folder": str(folder), "max_atoms": 80}).propose(range(1, 2), seed=0)
    assert proposal.failure == "b_cha.cif: 108 atoms exceed max_atoms = 80"


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("templat", {}, "did you mean 'template'"),
        ("zzz", {}, "there are template, crystals, files"),
        ("template", {"max_atom": 10}, "did you mean 'max_atoms'"),
        ("template", {"max_atoms": "many"}, "max_atoms"),
        ("crystals", {"start_noise": 0.5}, "start_noise without start"),
        ("crystals", {"fix_what": ["lattice"]}, "fix_what without fix"),
        ("files", {}, "'folder' is missing"),
        ("files", {"folder": "/no/such/folder"}, "is not a folder"),
    ],
)
def test_mistakes_are_named(name, settings, words):
    with pytest.raises(InputError, match=words):
        load_proposer(name, settings)


def test_a_folder_without_structures_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.cif file"):
        load_proposer("files", {"folder": str(tmp_path)})


def test_registry_is_light():
    """Naming proposers must not load jax, torch or pymatgen: the command line does it on every start."""
    code = "import sys, gen.proposers; print([m for m in ('jax', 'torch', 'pormake', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
