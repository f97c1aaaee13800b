"""The absorbing process: masking odds, the loss's weight, reveal order, draws."""

import pytest
import torch

from gen.diffusion import absorbing

MASK = 4


def test_masked_share_is_the_time():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.zeros(2000, 50, dtype=torch.long)
    t = torch.full((2000,), 0.3)
    noisy = absorbing.masked(tokens, t, torch.rand(tokens.shape, generator=generator), MASK)
    assert (noisy == MASK).float().mean() == pytest.approx(0.3, abs=5e-3)
    assert (absorbing.masked(tokens, torch.zeros(2000), torch.rand(tokens.shape), MASK) == 0).all()
    assert (absorbing.masked(tokens, torch.ones(2000), torch.rand(tokens.shape), MASK) == MASK).all()


def test_loss_is_the_evidence_bound_over_n_plus_one():
    """Average of the loss over masks = average of (1/t) sum of cross-entropies / (N + 1), both by sampling."""
    generator = torch.Generator().manual_seed(1)
    rows, count = 200_000, 3
    tokens = torch.tensor([[0, 1, 2]]).expand(rows, count)
    logits = torch.log_softmax(torch.randn(1, count, MASK, generator=generator), -1).expand(rows, count, MASK)
    t = torch.rand(rows, generator=generator).clamp_min(1e-3)
    noisy = absorbing.masked(tokens, t, torch.rand(rows, count, generator=generator), MASK)
    entropy = -logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    bound = ((entropy * (noisy == MASK)).sum(-1) / t).mean() / (count + 1)
    assert absorbing.loss(logits, tokens, noisy, MASK).mean() == pytest.approx(float(bound), rel=0.02)


def test_loss_ignores_what_is_visible():
    tokens = torch.tensor([[0, 1]])
    logits = torch.zeros(1, 2, MASK)
    logits[0, 0, 3] = 50.0  # badly wrong about a visible token
    loss = absorbing.loss(logits, tokens, torch.tensor([[0, MASK]]), MASK)
    assert loss.item() == pytest.approx(torch.log(torch.tensor(4.0)).item())
    assert absorbing.loss(logits, tokens, tokens, MASK).item() == 0


def test_reveal_keeps_and_ends():
    noisy = torch.tensor([[MASK, 2, MASK]])
    drawn = torch.tensor([[1, 1, 3]])
    times = torch.tensor([[0.9, 0.9, 0.2]])
    assert absorbing.reveal(noisy, drawn, times, 0.5, MASK).tolist() == [[1, 2, MASK]]
    assert absorbing.reveal(noisy, drawn, times, 0.0, MASK).tolist() == [[1, 2, 3]]


def test_one_at_a_time():
    times = absorbing.one_at_a_time(torch.tensor([[0.3, 0.9, 0.1, 0.5]]))
    assert times.tolist() == [[0.5, 1.0, 0.25, 0.75]]


def test_draw_follows_the_logits():
    generator = torch.Generator().manual_seed(2)
    logits = torch.log(torch.tensor([0.1, 0.2, 0.7])).expand(100_000, 3)
    uniform = torch.rand(100_000, generator=generator)
    shares = torch.bincount(absorbing.draw(logits, 1.0, uniform), minlength=3) / 100_000
    assert torch.allclose(shares, torch.tensor([0.1, 0.2, 0.7]), atol=5e-3)
    sharp = torch.bincount(absorbing.draw(logits, 0.5, uniform), minlength=3) / 100_000
    assert torch.allclose(sharp, torch.tensor([0.01, 0.04, 0.49]) / 0.54, atol=5e-3)
    assert (absorbing.draw(logits, 0.0, uniform) == 2).all()


def test_draw_never_takes_a_barred_category():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).expand(1000, 3)
    uniform = torch.cat([torch.tensor([0.0, 1.0 - 2**-24]), torch.rand(998)])
    assert (absorbing.draw(logits, 1.0, uniform) == 1).all()
