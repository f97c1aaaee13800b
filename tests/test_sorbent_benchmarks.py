"""The peers and measures behind the benchmark rows of generated sorbents."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks/ is no installed package

from benchmarks.sorbents_genetic import evolve, within_limits
from benchmarks.sorbents_novelty import Known, novel_samples, unique_samples
from benchmarks.sorbents_samples import (
    DUPLICATE,
    Sample,
    _content,
    collect,
    decode,
    encode,
    judged,
    recipe_blocks,
)
from gen.sorbents.assembly import assemble
from gen.sorbents.catalog import load_catalog
from gen.sorbents.recipe import Choice, Recipe, RecipeSampler, atom_count
from screening.matching import formula_key, network_hash


@pytest.fixture(scope="module")
def sampler():
    choice = Choice(("pcu", "dia", "tbo", "fcu"), frozenset(), True, False, 100, 0.3)
    return RecipeSampler(load_catalog(), choice)


def small(recipe):
    """Few atoms are good; one recipe in seven cannot be evaluated."""
    return None if len(recipe.key) % 7 == 0 else -float(atom_count(recipe, load_catalog()))


def test_the_genetic_algorithm_spends_its_budget_and_improves(sampler):
    population, history = evolve(sampler, small, 60, seed=3)
    assert len(history) == 60
    assert len({member.recipe.key for member in history}) == 60  # nothing is evaluated twice
    fitness = [member.fitness for member in history]
    assert population[0].fitness == max(fitness)
    assert sum(fitness[-20:]) > sum(fitness[:20])
    assert all(within_limits(member.recipe, sampler) for member in history)
    again = evolve(sampler, small, 60, seed=3)[1]
    assert [member.recipe.key for member in again] == [member.recipe.key for member in history]


def sample(index, structure, blocks=("E1", "N1"), net="pcu", failed=()):
    return Sample(index, net, blocks, structure, failed, formula_key(structure), f"{len(structure)}", 0.1, 0.2)


def rock_salt(edge):
    return Structure(Lattice.cubic(edge), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_samples_survive_the_disk_and_runs_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.sorbents_samples.FOLDER", tmp_path)
    asked = []

    def source(first):
        for index in range(first, 10):
            asked.append(index)
            yield index, "pcu", ("N1",), None, DUPLICATE if index else "a joint stays open", 0.5

    assert len(collect("x", source, 3, {"seed": 0})) == 3
    (file,) = tmp_path.glob("x_*.jsonl")
    file.write_text(file.read_text()[:-20])  # killed while writing the third
    samples = collect("x", source, 5, {"seed": 0})
    assert [s.index for s in samples] == [0, 1, 2, 3, 4]
    assert asked == [0, 1, 2, 2, 3, 4]
    assert samples[1].failed == (f"assembly: {DUPLICATE}",)
    kept = sample(7, rock_salt(5.0))
    assert decode(json.loads(json.dumps(encode(kept)))) == kept


def test_a_copy_is_not_unique_and_a_training_recipe_not_novel(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.sorbents_novelty.FOLDER", tmp_path)
    first, copy, other = sample(0, rock_salt(5.0)), sample(1, rock_salt(5.01)), sample(2, rock_salt(9.0), ("E2", "N1"))
    assert unique_samples([first, copy]) == [True, False]
    known = Known(frozenset({("pcu", ("E1", "N1"))}), {}, 1)
    assert novel_samples([first, other], known) == ([False, True], [True, True])


def test_a_training_framework_is_known_by_its_structure(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.sorbents_novelty.FOLDER", tmp_path)
    keys = ("pcu:N16:E14", "pcu:N16:E9")
    mof5, other = (assemble(Recipe("pcu", ("N16",), (linker,)), load_catalog()).structure for linker in ("E14", "E9"))
    formula = formula_key(mof5)
    known = Known(frozenset(), {formula: keys}, 2)
    mine = [
        dataclasses.replace(sample(k, structure), formula=formula, network=network_hash(structure))
        for k, structure in enumerate((mof5, other, rock_salt(5.0)))
    ]
    assert novel_samples(mine, known)[1] == [False, False, True]
    (file,) = tmp_path.glob("twins_*.jsonl")
    written = file.read_text()
    assert novel_samples(mine, known)[1] == [False, False, True]
    assert file.read_text() == written


def test_identity_of_samples_changes_with_the_code_but_not_its_comments(tmp_path):
    file = tmp_path / "one.py"
    file.write_text("x = 1\n")
    first = _content(file)
    file.write_text("x = 1  # and why\n")
    assert _content(file) == first
    file.write_text("x = 2\n")
    assert _content(file) != first


def test_what_fails_a_cheap_test_is_judged_by_it():
    flat = Structure(Lattice.orthorhombic(10, 10, 0.1), ["C"], [[0, 0, 0]])
    assert judged((0, None, (), flat, None, 0.0)).failed == ("geometry",)
    salt = judged(
        (
            0,
            None,
            (),
            Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
            None,
            0.0,
        )
    )
    assert salt.failed
    assert salt.formula == "ClNa"


def test_blocks_of_a_recipe_are_those_of_its_cell(sampler):
    recipe = next(r for r in (sampler.draw(np.random.default_rng([0, k])) for k in range(99)) if r and r.net == "pcu")
    blocks = recipe_blocks(recipe)
    assert len(blocks) == 4  # one node, three edges
    assert recipe.nodes[0] in blocks
