"""SOAP steps in the eigenbasis of the gradients."""

import torch

from potentials.soap import SOAP


def regression(turn_rows=None, turn_columns=None):
    """Weights to find, and a loss whose curvature differs a thousandfold between directions that no axis follows."""
    generator = torch.Generator().manual_seed(0)
    stretch = torch.diag(torch.logspace(-1.5, 0, 6, dtype=torch.float64))
    basis = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    inputs = torch.randn(64, 6, generator=generator, dtype=torch.float64) @ stretch @ basis
    wanted = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    rows = torch.eye(6, dtype=torch.float64) if turn_rows is None else turn_rows
    columns = torch.eye(5, dtype=torch.float64) if turn_columns is None else turn_columns
    weights = torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)

    def loss():
        return (inputs @ (rows.T @ weights @ columns - wanted)).square().mean()

    return weights, loss


def descend(optimizer, loss, steps):
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return loss().item()


def test_curved_valleys_are_descended_faster_than_by_adam():
    weights, loss = regression()
    by_soap = descend(SOAP([weights]), loss, 300)
    weights, loss = regression()
    by_adam = descend(torch.optim.Adam([weights]), loss, 300)
    assert by_soap < 0.5 * by_adam


def test_coordinates_do_not_matter():
    generator = torch.Generator().manual_seed(1)
    rows = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    columns = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))[0]
    weights, loss = regression()
    descend(SOAP([weights]), loss, 40)
    turned, loss = regression(rows, columns)
    descend(SOAP([turned]), loss, 40)
    torch.testing.assert_close(rows.T @ turned @ columns, weights, rtol=1e-5, atol=1e-7)


def test_vectors_get_adam():
    generator = torch.Generator().manual_seed(2)
    target = torch.randn(7, generator=generator)
    found = []
    for make in (SOAP, torch.optim.Adam):
        weights = torch.zeros(7, requires_grad=True)
        optimizer = make([weights], lr=0.05, betas=(0.9, 0.999))
        for _ in range(20):
            optimizer.zero_grad()
            (weights - target).square().sum().backward()
            optimizer.step()
        found.append(weights.detach())
    torch.testing.assert_close(*found)


def test_more_axes_and_long_sides():
    generator = torch.Generator().manual_seed(3)
    for shape in ((3, 4, 5), (300, 4), (4, 300), (300, 300), (1, 6), (6, 1)):
        target = torch.randn(shape, generator=generator)
        weights = torch.zeros(shape, requires_grad=True)
        before = target.square().mean()
        final = descend(SOAP([weights], weight_decay=1e-6), lambda: (weights - target).square().mean(), 200)  # noqa: B023
        assert final < 0.02 * before


def rare_rows(optimizer, weights, steps, size=1.0):
    """Each step a gradient of a few rows of many, as the elements of a batch have it."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randperm(len(weights), generator=generator)[:20]
        weights.grad = torch.zeros_like(weights)
        weights.grad[rows] = size * torch.randn(20, weights.shape[1], generator=generator)
        optimizer.step()
        assert weights.isfinite().all()


def test_rows_without_a_gradient_are_no_trouble():
    for size in (1.0, 1e-6, 1e-20, 0.0):
        weights = torch.zeros(84, 192, requires_grad=True)
        rare_rows(SOAP([weights], lr=1e-3), weights, 12, size)
    assert torch.equal(weights.detach(), torch.zeros(84, 192))


def test_rows_can_be_left_alone():
    weights = torch.zeros(84, 40, requires_grad=True)
    optimizer = SOAP([{"params": [weights], "rows": False}])
    rare_rows(optimizer, weights, 3)
    assert "basis_rows" not in optimizer.state[weights]
    assert "basis_columns" in optimizer.state[weights]
    moved = weights.detach().abs().sum(1) > 0
    assert 20 <= int(moved.sum()) <= 40  # the first step moves nothing; rows that no batch held stay where they were
