"""Frameworks as beads: degrees, geometry, files."""

import gzip
import json

import numpy as np
import pytest

from gen.sorbents.assembly import assemble
from gen.sorbents.beads import DIRECT, BeadRow, held_out, read_bead_rows
from gen.sorbents.catalog import load_catalog
from gen.sorbents.library import load_block
from gen.sorbents.template import TemplateProposer, TemplateSettings
from potentials.errors import InputError


@pytest.fixture(scope="module")
def rows() -> list[BeadRow]:
    proposer = TemplateProposer(TemplateSettings(nets=("pcu", "nbo", "tbo", "dia"), max_atoms=120))
    found = []
    for index in range(8):
        recipe = proposer.recipe(index, seed=2)
        assert recipe is not None
        framework = assemble(recipe, load_catalog())
        found.append(BeadRow(recipe.key, recipe.net, "train", framework.beads, framework.links, {"void_fraction": 0.5}))
    return found


def test_every_connection_point_has_a_link(rows):
    for row in rows:
        degrees = np.zeros(len(row.beads.blocks), int)
        np.add.at(degrees, row.links.nodes.ravel(), 1)
        nodes = ~row.beads.is_edge
        assert degrees[nodes].tolist() == np.array(row.beads.connections)[nodes].tolist()
        assert sorted(row.links.bead) == np.flatnonzero(row.beads.is_edge).tolist()


def test_linked_beads_are_as_far_apart_as_their_blocks_are_large(rows):
    for row in rows:
        beads, links = row.beads, row.links
        for bead, nodes, images in zip(links.bead, links.nodes, links.images, strict=True):
            reach = 0.0
            if beads.blocks[bead] != DIRECT:
                ends = load_block(beads.blocks[bead]).connection_points
                reach = np.linalg.norm(ends[1] - ends[0]) / 2
            for node, image in zip(nodes, images, strict=True):
                points = load_block(beads.blocks[node]).connection_points
                radii = np.linalg.norm(points - points.mean(axis=0), axis=1)
                distance = np.linalg.norm((beads.frac[node] + image - beads.frac[bead]) @ beads.lattice)
                assert distance <= radii.max() + reach + 0.5  # a joint is at most 0.4 Å open
                assert distance >= 0.5 * (radii.min() + reach)


def test_blocks_hold_the_atoms_of_the_structure(rows):
    for row in rows:
        blocks = [load_block(name) for name in row.beads.blocks if name != DIRECT]
        atoms = sum(int((block.atoms.numbers > 0).sum()) for block in blocks)
        recipe_net = load_catalog().nets[row.net]
        assert len(row.beads.blocks) == sum(s.count for s in recipe_net.nodes) + sum(s.count for s in recipe_net.edges)
        assert atoms <= 120


def test_rows_survive_a_file(rows, tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row.to_json()) + "\n" for row in rows)
    for before, after in zip(rows, read_bead_rows(path), strict=True):
        assert after.key == before.key
        assert after.beads.blocks == before.beads.blocks
        assert np.allclose(after.beads.frac, before.beads.frac, atol=1e-5)
        assert np.array_equal(after.links.images, before.links.images)
        assert after.labels == before.labels


def test_a_broken_line_is_named(rows, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(rows[0].to_json()) + '\n{"key": "pcu"}\n')
    with pytest.raises(InputError, match="line 2"):
        list(read_bead_rows(path))
    with pytest.raises(InputError, match="sorbus dataset mofs"):
        list(read_bead_rows(tmp_path / "none.jsonl"))


def test_a_tenth_is_held_out():
    blocks = load_catalog().blocks
    share = np.mean([held_out(name) for name in blocks])
    assert 0.06 < share < 0.14
    assert not held_out(DIRECT)
