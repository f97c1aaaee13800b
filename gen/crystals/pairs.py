"""What a pair of atoms in a periodic cell looks like to the network: differences, distances, directions.

Coordinates enter by differences only, so a shift of all atoms changes nothing. The lattice enters by distances
and angles only, so a rotation changes nothing. Shapes: B crystals, N atoms, all pairs i, j including i = j.
"""

import math

import torch
from torch import Tensor

from gen.diffusion.wrapped_normal import nearest

HOME = 13  # index of the zero translation in `image_shifts`
DISTANCE_UNIT = 3.0  # Å
FAR = 1e3  # Å, out of reach of every feature
DIRECTION_WIDTHS = (0.7, 1.2, 2.0, 3.5)  # Å, ranges over which neighbours pull on a coordinate


def image_shifts(like: Tensor) -> Tensor:
    """[27, 3] lattice translations around the home cell; enough for the nearest image in a Niggli cell."""
    axis = torch.tensor([-1.0, 0.0, 1.0], dtype=like.dtype, device=like.device)
    return torch.cartesian_prod(axis, axis, axis)


def pair_features(
    frac: Tensor, lattice: Tensor, frequencies: int, radial: int, cutoff: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Invariant features and odd direction vectors of all pairs.

    Args:
        frac: [B, N, 3].
        lattice: [B, 3, 3] Å.
        frequencies: Fourier frequencies of each fractional difference.
        radial: Gaussians over the distances to the 27 images of j about the one nearest to i.
        cutoff: Å, centre of the last Gaussian.

    Returns:
        features [B, N, N, F] with F = `feature_count(...)`; directions [B, N, N, 3, D] in fractional coordinates
        with D = `direction_count(...)`; distance [B, N, N] in Å to the nearest image, an atom's own included.
        All are invariant to translation of the crystal and continuous in the coordinates.
    """
    sine, cosine = _waves(frac, frequencies)  # [B, N, N, 3, K]
    count = frac.shape[1]
    first, second, pair_of, sign = _upper_pairs(count, frac)
    even, odd = _image_sums(frac[:, second] - frac[:, first], first == second, lattice, radial, cutoff)
    even = even[:, pair_of]  # [B, N, N, R + 1]
    odd = odd[:, pair_of] * sign[..., None, None]  # [B, N, N, 3, 1 + W]
    features = torch.cat([sine.flatten(3), cosine.flatten(3), even, odd.flatten(3)], dim=-1)
    directions = torch.cat([sine[..., :4], odd[..., 1:]], dim=-1)
    return features, directions, even[..., -1] * DISTANCE_UNIT


def feature_count(frequencies: int, radial: int) -> int:
    """F of `pair_features`."""
    return 6 * frequencies + radial + 1 + 3 * (1 + len(DIRECTION_WIDTHS))


def direction_count(frequencies: int) -> int:
    """D of `pair_features`."""
    return min(frequencies, 4) + len(DIRECTION_WIDTHS)


def _upper_pairs(count: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Atoms of the P pairs i <= j, the pair [N, N] that serves (i, j), and its sign (odd features of j, i flip)."""
    first, second = torch.triu_indices(count, count, device=like.device)
    pair_of = torch.zeros(count, count, dtype=torch.long, device=like.device)
    numbers = torch.arange(len(first), device=like.device)
    pair_of[first, second] = numbers
    pair_of[second, first] = numbers
    sign = torch.ones(count, count, dtype=like.dtype, device=like.device).triu() * 2 - 1
    return first, second, pair_of, sign


def _image_sums(
    difference: Tensor, itself: Tensor, lattice: Tensor, radial: int, cutoff: float
) -> tuple[Tensor, Tensor]:
    """Sums over the 27 images of j nearest to i.

    Args:
        difference: [B, P, 3] fractional r_j - r_i.
        itself: [P] whether i and j are one atom, whose home image is left out.
        lattice: [B, 3, 3] Å.

    Returns:
        even [B, P, R + 1]: Gaussian shells of the distances, and the shortest one; odd [B, P, 3, 1 + W]: cosines
        of the shortest vector with the lattice vectors, and distance-weighted pulls in units of their range.
    """
    folded = nearest(difference)
    shifts = image_shifts(folded)
    vectors = (folded @ lattice).unsqueeze(2) + (shifts @ lattice).unsqueeze(1)  # [B, P, 27, 3] Å
    # an atom is not its own neighbour; its home image is the middle of 27
    alone = torch.zeros(len(itself), len(shifts), dtype=torch.bool, device=folded.device)
    alone[:, HOME] = itself
    squared = (vectors**2).sum(-1).masked_fill(alone, FAR**2)  # [B, P, 27] Å^2
    distance = squared.sqrt()
    # images that enter and leave as the nearest one changes do so with no weight, so that sums are continuous
    reach = ((folded.unsqueeze(2) + shifts).abs() - 1.0).clamp_min(0.0)  # [B, P, 27, 3], at most 0.5
    window = (torch.cos(math.pi * reach) ** 2).prod(-1, keepdim=True)  # [B, P, 27, 1]

    spacing = cutoff / radial
    centres = torch.arange(1, radial + 1, dtype=folded.dtype, device=folded.device)
    shells = (torch.exp(-((distance.unsqueeze(-1) / spacing - centres) ** 2)) * window).sum(2)  # [B, P, R]
    widths = torch.tensor(DIRECTION_WIDTHS, dtype=folded.dtype, device=folded.device)
    weights = torch.exp(squared.unsqueeze(-1) * (-0.5 / widths**2)) * window  # [B, P, 27, W]
    pulls = folded.unsqueeze(-1) * weights.sum(2).unsqueeze(-2) + torch.einsum("sd,bpsw->bpdw", shifts, weights)

    shortest = distance.amin(dim=2)
    # unit vector to the nearest image, zero where several are equally near
    share = torch.softmax(-0.5 * squared, dim=2) * window.squeeze(-1) / distance.clamp_min(1e-3)
    toward = (share.unsqueeze(-1) * vectors).sum(2)  # [B, P, 3]
    lengths = lattice.norm(dim=-1)  # [B, 3] Å
    angles = torch.einsum("bpc,bac->bpa", toward, lattice / lengths.unsqueeze(-1))
    # an atom's own images lie in opposite directions at once: no direction
    angles = angles.masked_fill(itself.unsqueeze(-1), 0.0)
    scaled = pulls * lengths[:, None, :, None] / widths
    even = torch.cat([shells, (shortest / DISTANCE_UNIT).clamp_max(4.0).unsqueeze(-1)], dim=-1)
    return even, torch.cat([angles.unsqueeze(-1), scaled], dim=-1)


def _waves(frac: Tensor, frequencies: int) -> tuple[Tensor, Tensor]:
    """sin and cos of 2 pi k (r_j - r_i), by the angle-difference formulas: N evaluations instead of N^2."""
    orders = torch.arange(1, frequencies + 1, dtype=frac.dtype, device=frac.device)
    phase = 2 * math.pi * frac.unsqueeze(-1) * orders  # [B, N, 3, K]
    sine, cosine = torch.sin(phase), torch.cos(phase)
    sine_i, cosine_i = sine.unsqueeze(2), cosine.unsqueeze(2)
    sine_j, cosine_j = sine.unsqueeze(1), cosine.unsqueeze(1)
    return sine_j * cosine_i - cosine_j * sine_i, cosine_j * cosine_i + sine_j * sine_i
