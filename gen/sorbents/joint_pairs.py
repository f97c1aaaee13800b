"""What a node and an edge bead look like to each other where a joint between them is possible.

Where two blocks are bonded, their beads are as far apart as the two blocks reach: the distance from a node's middle
to its connection points, and half the length of a linker. Distances in units of that sum ask the same of every pair
of blocks. Three things are made of x = d / (s_i + s_j), over the 27 images of an edge about a node:

- shells: Gaussians of x about 0.5 to 1.5, whether something lies at a bond's distance;
- springs: directions (x - 1) exp(-((x - 1) / w)^2) along each pair, what would close the joints that are nearly closed;
- virial: the same springs as strain of the cell, projected on its axes.

All are invariant to rotation and translation and continuous where one image takes over from another.
"""

import math

import torch
from torch import Tensor

from gen.crystals.pairs import image_shifts
from gen.diffusion.wrapped_normal import nearest
from gen.sorbents.beads import EDGE

CENTRES = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7)
SHELL_WIDTH = 0.2
SPRING_WIDTHS = (0.3, 0.8)
LEAST_REACH = 0.3  # of a pair, in the unit of the lattice
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # of axes, of the virial

SHELLS = len(CENTRES)
SPRINGS = len(SPRING_WIDTHS)
VIRIAL = len(PAIRS) * SPRINGS
REACHES = 2


def joint_features(
    frac: Tensor, lattice: Tensor, sizes: Tensor, is_edge: Tensor, joined: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Shells, springs and virial of all node-edge pairs.

    Args:
        frac: [B, N, 3].
        lattice: [B, 3, 3] rows are vectors.
        sizes: [B, N] reach of each bead, in the unit of the lattice.
        is_edge: [B, N] bool; only pairs of a node and an edge have features, others zeros.
        joined: [B, N, N] how often two beads are linked, as far as known; springs and virial then come twice, S = 2
            `SPRINGS`: of all pairs, and of those that are linked.

    Returns:
        shells [B, N, N, `SHELLS`]; springs [B, N, N, 3, S] in fractional coordinates times the lengths of the
        lattice vectors, from i to j; virial [B, len(PAIRS) * S], a mean over beads.
    """
    batch, count, _ = frac.shape
    linked = is_edge.unsqueeze(2) != is_edge.unsqueeze(1)  # [B, N, N]
    first, second = torch.nonzero(linked.any(0).triu(), as_tuple=True)  # P pairs that some row needs
    use = linked[:, first, second].to(frac.dtype)  # [B, P]
    reach = (sizes[:, first] + sizes[:, second]).clamp_min(LEAST_REACH)
    folded = nearest(frac[:, second] - frac[:, first])
    shifts = image_shifts(folded)
    steps = folded.unsqueeze(2) + shifts  # [B, P, 27, 3]
    # images that enter and leave as the nearest one changes do so with no weight
    window = (torch.cos(math.pi * (steps.abs() - 1.0).clamp_min(0.0)) ** 2).prod(-1) * use.unsqueeze(2)
    distance = torch.linalg.vector_norm(steps @ lattice.unsqueeze(1), dim=-1).clamp_min(1e-3)
    x = distance / reach.unsqueeze(2)  # [B, P, 27]

    centres = torch.tensor(CENTRES, dtype=frac.dtype, device=frac.device)
    shells = (torch.exp(-(((x.unsqueeze(-1) - centres) / SHELL_WIDTH) ** 2)) * window.unsqueeze(-1)).sum(2)

    widths = torch.tensor(SPRING_WIDTHS, dtype=frac.dtype, device=frac.device)
    stretch = (x - 1).unsqueeze(-1) / widths  # [B, P, 27, S]
    force = stretch * torch.exp(-(stretch**2)) * window.unsqueeze(-1) / distance.unsqueeze(-1)
    lengths = lattice.norm(dim=-1)  # [B, 3]
    if joined is not None:
        bonds = joined[:, first, second].to(frac.dtype).clamp(0, 1)
        force = torch.cat([force, force * bonds[:, :, None, None]], dim=-1)
    springs = torch.einsum("bpmd,bpms->bpds", steps, force) * lengths[:, None, :, None]

    metric = lattice @ (lattice / lengths.unsqueeze(-1)).transpose(-1, -2)  # rows on unit axes
    along = (steps @ metric.unsqueeze(1)) / distance.unsqueeze(-1)  # [B, P, 27, 3] cosines with the axes
    products = torch.stack([along[..., i] * along[..., j] for i, j in PAIRS], dim=-1)
    virial = torch.einsum("bpmk,bpms->bks", products, force * distance.unsqueeze(-1)).flatten(1) / count

    placed_shells = frac.new_zeros(batch, count, count, SHELLS)
    placed_shells[:, first, second] = shells
    placed_shells[:, second, first] = shells
    placed_springs = frac.new_zeros(batch, count, count, 3, springs.shape[-1])
    placed_springs[:, first, second] = springs
    placed_springs[:, second, first] = -springs
    return placed_shells, placed_springs, virial


def reach_features(lattice: Tensor, sizes: Tensor, roles: Tensor) -> Tensor:
    """[B, `REACHES`] how long the joints of a framework are, and the cell in units of that, both logarithms.

    A joint is as long as an edge and a node reach: the mean over edges plus the mean over nodes, each node counted as
    often as it has connections. On one net, joints twice as long make a cell twice as long.

    Args:
        lattice: [B, 3, 3] rows are vectors.
        sizes: [B, N] reach of each bead, in the unit of the lattice.
        roles: [B, N] connections of each bead.
    """
    edges = (roles == EDGE).to(sizes.dtype)
    arms = roles * (1 - edges)
    joint = (sizes * edges).sum(1) / edges.sum(1).clamp_min(1) + (sizes * arms).sum(1) / arms.sum(1).clamp_min(1)
    log_joint = joint.clamp_min(LEAST_REACH).log()
    log_length = torch.linalg.det(lattice).abs().clamp_min(1e-6).log() / 3 - math.log(roles.shape[1]) / 3
    return torch.stack([log_joint, log_length - log_joint], dim=-1)
