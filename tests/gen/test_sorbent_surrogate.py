"""Properties foretold from beads: what they depend on, what is kept on disk, and which candidate is assembled."""

import dataclasses

import numpy as np
import pytest
from structures.bead_samples import LABELS, LINKS, cubic_net, random_model, rows

from gen.sorbents import generation
from gen.sorbents.bead_dataset import group_rows
from gen.sorbents.beads import Beads, joined_counts
from gen.sorbents.fingerprint import load_fingerprints
from gen.sorbents.generation import GeneratedSorbent, make_task
from gen.sorbents.link_misfit import link_misfit
from gen.sorbents.sampling import SorbentSampling
from gen.sorbents.surrogate import FILE, bead_features, fit_surrogate, read_surrogate, write_surrogate
from potentials.errors import InputError


def features(beads: Beads) -> np.ndarray:
    return bead_features(beads.blocks, beads.frac, beads.lattice)


def groups(copies: int = 2):
    """The sample frameworks, and the same with cells a little larger."""
    made = []
    for copy in range(copies):
        for row in rows():
            beads = dataclasses.replace(row.beads, lattice=row.beads.lattice * (1 + 0.002 * copy))
            made.append(dataclasses.replace(row, key=f"{row.key}:{copy}", beads=beads))
    return group_rows(made, load_fingerprints().names, LABELS, 40).train


@pytest.fixture(scope="module")
def surrogate():
    return fit_surrogate(groups(), LABELS)


def test_features_know_no_order_origin_or_orientation():
    beads = cubic_net("N16", "E14", 13.0)
    order = [2, 0, 3, 1]
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    other = Beads(
        beads.lattice @ turn,
        (beads.frac[order] + [0.3, 0.1, 0.7]) % 1.0,
        tuple(beads.blocks[k] for k in order),
        tuple(beads.connections[k] for k in order),
    )
    assert np.allclose(features(beads), features(other), atol=1e-8)
    assert not np.allclose(features(beads), features(cubic_net("N16", "E14", 13.5)), atol=1e-3)
    assert not np.allclose(features(beads), features(cubic_net("N16", "E13", 13.0)), atol=1e-3)


def test_it_foretells_what_it_was_not_shown(surrogate):
    between = cubic_net("N16", "E6", 15.5)  # its label would lie half way between those of 15 and 16 Å
    found = dict(zip(surrogate.names, surrogate(features(between)[None])[0], strict=True))
    assert found["void_fraction"] == pytest.approx(0.3 + 0.04 * 5.5, abs=0.04)
    assert found["density_g_cm3"] == pytest.approx(1.5 - 0.1 * 5.5, abs=0.1)


def test_misfit_is_in_spreads_and_broken_beads_are_last(surrogate):
    small, large = cubic_net("N16", "E2", 11.0), cubic_net("N16", "E10", 19.0)
    broken = dataclasses.replace(large, lattice=large.lattice * np.nan)
    misfit = surrogate.misfit([small, large, broken], {"void_fraction": 0.66, "co2_heat": 30.0})
    assert misfit.argmin() == 1
    assert np.isinf(misfit[2])
    spread = surrogate.scale[surrogate.names.index("void_fraction")]
    assert misfit[0] - misfit[1] == pytest.approx((0.66 - 0.34) / spread, rel=0.25)


def test_file_is_the_surrogate(surrogate, tmp_path):
    assert read_surrogate(tmp_path) is None
    write_surrogate(tmp_path, surrogate)
    again = read_surrogate(tmp_path)
    looked_at = features(cubic_net("N16", "E5", 14.0))[None]
    assert again.names == surrogate.names
    assert np.allclose(again(looked_at), surrogate(looked_at), rtol=0.02)
    (tmp_path / FILE).write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="is damaged"):
        read_surrogate(tmp_path)


def test_too_few_frameworks_are_no_surrogate():
    assert fit_surrogate(groups(copies=1), LABELS) is None


def test_the_candidate_that_promises_most_is_assembled(surrogate):
    model = dataclasses.replace(random_model(), surrogate=surrogate)
    asked = {"void_fraction": 0.7}

    def drawn(candidates: int, attempt: int):
        config = SorbentSampling(steps=3, quench_steps=1, candidates=candidates)
        return generation._beads(model, range(3), attempt, 1, make_task(model, asked, config), config, 64)

    singly = [[options[0] for options in drawn(1, attempt)] for attempt in range(4)]
    for place, ranked in enumerate(drawn(4, 0)):
        blocks, beads = ranked[0]
        options = [each[place] for each in singly if each[place][1] is not None]
        misfit = surrogate.misfit([option for _, option in options], asked)
        misfit += [generation.LINK_WEIGHT * link_misfit(option, each.joined.numpy()) for each, option in options]
        best, expected = options[int(misfit.argmin())]
        assert (blocks.index, blocks.attempt, blocks.tokens) == (place, 0, best.tokens)
        assert np.allclose(beads.lattice, expected.lattice, atol=1e-2)
        assert blocks.draws == sum(each[place][0].draws for each in singly)


def test_links_that_fit_have_no_misfit_and_the_best_fit_is_assembled():
    beads = cubic_net("N16", "E14", 13.0)
    joined = joined_counts(LINKS["pcu"], 4)
    sizes = dict(zip(load_fingerprints().names, load_fingerprints().sizes.tolist(), strict=True))
    right = cubic_net("N16", "E14", 2 * (sizes["N16"] + sizes["E14"]))
    assert link_misfit(right, joined) == pytest.approx(0, abs=1e-6)
    assert link_misfit(cubic_net("N16", "E14", 1.2 * right.lattice[0, 0]), joined) == pytest.approx(0.2, abs=1e-3)
    assert np.isinf(link_misfit(dataclasses.replace(beads, lattice=beads.lattice * np.nan), joined))

    def drawn(candidates: int, attempt: int):
        config = SorbentSampling(steps=3, quench_steps=1, free_candidates=candidates)
        return generation._beads(
            random_model(), range(2), attempt, 1, make_task(random_model(), {}, config), config, 64
        )

    singly = [[options[0] for options in drawn(1, attempt)] for attempt in range(3)]
    for place, ranked in enumerate(drawn(3, 0)):
        blocks, _ = ranked[0]
        options = [each[place] for each in singly if each[place][1] is not None]
        best = min(options, key=lambda option: link_misfit(option[1], option[0].joined.numpy()))
        assert blocks.tokens == best[0].tokens


def test_labels_that_some_frameworks_lack_are_fitted_to_the_others():
    whole, partial = groups(copies=3), groups(copies=3)
    column = 1
    for group in partial.values():
        group.values[::2, column] = float("nan")
    full, less = fit_surrogate(whole, LABELS), fit_surrogate(partial, LABELS)
    looked_at = np.stack([features(cubic_net("N16", "E5", side)) for side in (13.0, 15.0)])
    others = [k for k in range(len(LABELS)) if k != column]
    assert np.isfinite(less.weights).all()
    assert (less.weights[:, column] == 0).sum() == sum(len(group.values[::2]) for group in partial.values())
    assert np.allclose(less(looked_at)[:, others], full(looked_at)[:, others], rtol=1e-3)  # rows in another order


def test_of_several_assembled_the_one_foretold_nearest_is_kept(surrogate, monkeypatch):
    model = dataclasses.replace(random_model(), surrogate=surrogate)
    asked = {"void_fraction": 0.5}
    sides = [19.0, 12.0, 15.1, 15.0, 11.0]
    off = [surrogate.misfit([cubic_net("N16", "E5", side)], asked)[0] for side in sides]
    assert off[2] < off[1] < off[0]
    nearest = min((0, 2, 3, 4), key=off.__getitem__)
    tried = []

    def finished(blocks, beads, record, draws):
        tried.append(blocks)
        fault = "assembly: not this one" if blocks == 1 else None
        return GeneratedSorbent(0, None, beads, beads, None, None, None, fault, 1, draws)

    monkeypatch.setattr(generation, "_finish", finished)
    task = make_task(model, asked, SorbentSampling())
    options = [(k, cubic_net("N16", "E5", side)) for k, side in enumerate(sides)]

    def kept(assembled, near):
        tried.clear()
        monkeypatch.setattr(generation, "NEAR", near)
        return generation._nearest(options, model, task, SorbentSampling(assembled=assembled), {}, 1)

    assert kept(1, 0.0).beads.lattice[0, 0] == 19.0
    assert kept(2, 0.0).beads.lattice[0, 0] == 19.0  # the second cannot be assembled
    assert kept(5, 0.0).beads.lattice[0, 0] == sides[nearest]
    assert len(tried) == 5
    assert kept(5, off[2] + 1e-6).beads.lattice[0, 0] == 15.1
    assert len(tried) == 3
    free = make_task(model, {}, SorbentSampling())
    tried.clear()
    generation._nearest(options, model, free, SorbentSampling(), {}, 1)
    assert tried == [0]
    tried.clear()
    assert generation._nearest(options[1:], model, free, SorbentSampling(), {}, 1).beads.lattice[0, 0] == sides[2]
    assert tried == [1, 2]  # the first of these cannot be assembled, the next is taken as it is
    assert generation._nearest(options[1:], model, free, SorbentSampling(assembled=1), {}, 1).fault is not None
