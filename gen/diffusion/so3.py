"""Variance-exploding diffusion on the rotation group SO(3): isotropic Gaussian noise, IGSO(3), and its exact score.

The forward kernel is R_t = exp(v) R_0, where v has a random direction and the angle w of a Brownian motion run for a
time sigma^2. Against the uniform (Haar) measure its density depends on w alone (Nikolayev & Savyolov 1997; Leach et
al. 2022, "Denoising diffusion probabilistic models on SO(3)"; Yim et al. 2023, "SE(3) diffusion model", FrameDiff):

    f(w; sigma) = sum_{l >= 0} (2l + 1) exp(-l (l + 1) sigma^2 / 2) sin((l + 1/2) w) / sin(w / 2),           (1)

equal by Poisson summation over half-whole l + 1/2, hence the alternating sign, to the image sum

    f(w; sigma) = sqrt(2 pi) sigma^-3 exp(sigma^2 / 8)
                  sum_k (-1)^k (w - 2 pi k) exp(-(w - 2 pi k)^2 / (2 sigma^2)) / sin(w / 2),                 (2)

of which |k| <= 1 is the closed form that Leach et al. give for small noise. (2) converges fast for small sigma, (1) for
large; each is used where a handful of terms reaches float32 accuracy. The angle itself has the density
f(w) (1 - cos w) / pi on [0, pi]; for small sigma, v is a normal vector of variance sigma^2.

Scores and steps are rotation vectors in the fixed frame: they multiply from the left, so that turning everything
turns them along.

Measured on the rotations of building blocks, where alignment with their neighbours' directions is better
(`benchmarks/sorbents_orientation.py`): no generator uses it.
"""

import math

import torch
from torch import Tensor

SWITCH = 1.0  # sigma; below it (2) with |k| <= 1, above it (1) up to `DEGREES`, are exact to 1e-7
DEGREES = 8
SMALL = 0.1  # rad; below it 1/w - cot(w/2)/2 is taken from its series, and images other than k = 0 are below 1e-6
REACH = 9.0  # sigma; angles beyond it are never met
GRID = 1025  # angles at which a distribution function is tabulated


def rotation(vector: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] by the angle |v| about v: the exponential map (Rodrigues' formula)."""
    angle = vector.norm(dim=-1)[..., None, None]
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    # sin(w) / w and (1 - cos w) / w^2 = sinc(w/2)^2 / 2; torch's sinc is sin(pi x) / (pi x)
    first, second = torch.sinc(angle / math.pi), 0.5 * torch.sinc(0.5 * angle / math.pi) ** 2
    return torch.eye(3, dtype=vector.dtype, device=vector.device) + first * cross + second * cross @ cross


def rotation_vector(turn: Tensor) -> Tensor:
    """Rotation vectors [..., 3] of rotation matrices [..., 3, 3], of length at most pi: the logarithm.

    By way of the quaternion's component of largest size, so that it is as exact near pi as near 0 (Shepperd 1978).
    """
    diagonal = turn.diagonal(dim1=-2, dim2=-1)
    trace = diagonal.sum(-1, keepdim=True)
    lower = turn[..., [2, 0, 1], [1, 2, 0]]  # R_zy, R_xz, R_yx
    upper = turn[..., [1, 2, 0], [2, 0, 1]]
    axial, mixed = lower - upper, lower + upper  # 4w(x, y, z) and 4(yz, zx, xy)
    square = torch.cat([1 + trace, 1 + 2 * diagonal - trace], dim=-1)  # 4(ww, xx, yy, zz)
    x, y, z = axial.unbind(-1)
    yz, zx, xy = mixed.unbind(-1)
    products = torch.stack([x, y, z, x, xy, zx, y, xy, yz, z, zx, yz], dim=-1).unflatten(-1, (4, 3))
    largest = square.argmax(-1, keepdim=True)  # row of 4 q q^T to be read
    others = products.gather(-2, largest.unsqueeze(-1).expand(*largest.shape, 3)).squeeze(-2)
    top = square.gather(-1, largest)
    # put the largest component back among the other three, in the order w, x, y, z
    places = torch.arange(4, device=turn.device).expand(square.shape)
    shifted = (places - (places > largest).long()).clamp_max(2)
    quaternion = torch.where(places == largest, top, others.gather(-1, shifted))
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    axis = quaternion[..., 1:]
    sine = axis.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternion[..., :1])
    return axis * torch.where(sine > 1e-7, angle / sine.clamp_min(1e-7), torch.full_like(angle, 2.0))


def uniform_rotation(normal: Tensor) -> Tensor:
    """Rotations [..., 3, 3], uniform on SO(3) when `normal` [..., 4] is standard normal: a sample of the prior."""
    w, x, y, z = (normal / normal.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def log_density(angle: Tensor, sigma: Tensor) -> Tensor:
    """log f(angle; sigma) of (1) and (2), against the uniform measure: 0 everywhere when all rotations are alike.

    Args:
        angle: in [0, pi], any shape.
        sigma: noise level, broadcastable to `angle`.
    """
    angle, sigma = torch.broadcast_tensors(angle, sigma)
    return torch.where(sigma < SWITCH, _image_log(angle, sigma), _series(angle, sigma)[0].log())


def angle_density(angle: Tensor, sigma: Tensor) -> Tensor:
    """Density of the rotation angle on [0, pi]: f(angle; sigma) (1 - cos angle) / pi."""
    return log_density(angle, sigma).exp() * 2 * torch.sin(0.5 * angle) ** 2 / math.pi


def radial_score(angle: Tensor, sigma: Tensor) -> Tensor:
    """d/dw log f(w; sigma) at w = `angle`, arguments as `log_density`; -w / sigma^2 for small ones."""
    angle, sigma = torch.broadcast_tensors(angle, sigma)
    density, slope = _series(angle, sigma)
    return torch.where(sigma < SWITCH, _image_slope(angle, sigma), slope / density)


def score(vector: Tensor, sigma: Tensor) -> Tensor:
    """Gradient of log f at R = exp(vector) R_0, a rotation vector: d/dh log f(exp(h u) R) = score . u.

    Args:
        vector: [..., 3] rotation vector of R R_0^T, of length at most pi.
        sigma: [...] noise level.
    """
    angle = vector.norm(dim=-1)
    along = radial_score(angle, sigma) / angle.clamp_min(1e-12)
    return torch.where((angle > 1e-12).unsqueeze(-1), along.unsqueeze(-1) * vector, torch.zeros_like(vector))


def mixture_score(turn: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
    """Gradient of log p(R_t) where R_0 is any of K rotations with equal odds.

    Equal odds are what a symmetric body has: turned by an operation of its own it is the same body.

    Args:
        turn: [..., 3, 3] R_t.
        clean: [..., K, 3, 3] the K rotations; one given twice counts twice.
        sigma: [...].

    Returns:
        [..., 3] rotation vector.
    """
    apart = rotation_vector(turn.unsqueeze(-3) @ clean.transpose(-1, -2))  # [..., K, 3]
    level = sigma.unsqueeze(-1)
    weights = torch.softmax(log_density(apart.norm(dim=-1), level), dim=-1)
    return (weights.unsqueeze(-1) * score(apart, level)).sum(-2)


def noise_vector(sigma: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
    """Rotation vectors v of the forward kernel R_t = exp(v) R_0, the angle by inversion of its distribution function.

    Args:
        sigma: [...].
        uniform: [...] in [0, 1), decides the angle.
        normal: [..., 3] standard normal, its direction is the axis.
    """
    distinct, which = torch.unique(sigma, return_inverse=True)  # one table a level, however many samples share it
    level = distinct.unsqueeze(-1)
    reach = (REACH * level).clamp_max(math.pi)
    grid = reach * torch.linspace(0, 1, GRID, dtype=sigma.dtype, device=sigma.device)  # [S, G]
    density = angle_density(grid, level)
    cumulative = torch.nn.functional.pad((density[:, 1:] + density[:, :-1]).cumsum(-1), (1, 0))
    cumulative = cumulative / cumulative[:, -1:]
    # all tables in one rising row: that of level k lies between k and k + 1
    row = (cumulative.double() + torch.arange(len(distinct), device=sigma.device).unsqueeze(-1)).flatten()
    place = torch.searchsorted(row, uniform.double() + which, right=True)
    right = (place - which * GRID).clamp(1, GRID - 1)
    low, high = cumulative[which, right - 1], cumulative[which, right]
    share = ((uniform - low) / (high - low).clamp_min(1e-30)).clamp(0, 1)
    angle = reach[which, 0] / (GRID - 1) * (right - 1 + share)
    return angle.unsqueeze(-1) * normal / normal.norm(dim=-1, keepdim=True)


def score_norm(sigma: Tensor) -> Tensor:
    """Root mean square length of the score, by quadrature in float64; sqrt(3) / sigma for small sigma.

    Args:
        sigma: [S].

    Returns:
        [S], dtype of `sigma`.
    """
    level = sigma.double().unsqueeze(-1)
    grid = (REACH * level).clamp_max(math.pi) * torch.linspace(0, 1, 2 * GRID, dtype=torch.float64)
    density = angle_density(grid, level)
    squared = radial_score(grid, level) ** 2
    mean = torch.trapezoid(density * squared, grid, dim=-1) / torch.trapezoid(density, grid, dim=-1)
    return mean.sqrt().to(sigma.dtype)


def reverse_step(turn: Tensor, score_turn: Tensor, sigma: Tensor, sigma_next: Tensor, noise: Tensor) -> Tensor:
    """Ancestral step from `sigma` to a smaller `sigma_next`, along the geodesic.

    R' = exp((sigma^2 - sigma'^2) score + sqrt(sigma'^2 (sigma^2 - sigma'^2) / sigma^2) noise) R: the step of flat space
    (Song et al. 2021, eq. 47) in the tangent space (geodesic random walk, De Bortoli et al. 2022, Algorithm 1).

    Args:
        turn: [..., 3, 3].
        score_turn: [..., 3] rotation vector.
        sigma: [...].
        noise: [..., 3] standard normal.
    """
    drop = (sigma**2 - sigma_next**2).unsqueeze(-1)
    spread = (sigma_next.unsqueeze(-1) ** 2 * drop).sqrt() / sigma.unsqueeze(-1)
    return rotation(drop * score_turn + spread * noise) @ turn


def _images(angle: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Angles from which the images k = 1 and -1 of (2) count, and rho with both images' exponentials.

    rho is what they add, relative to k = 0. Where the angle is small they add nothing float32 could show.
    """
    w = angle.clamp_min(SMALL)
    near = torch.exp(-2 * math.pi * (math.pi - w) / sigma**2)
    far = torch.exp(-2 * math.pi * (math.pi + w) / sigma**2)
    return w, ((2 * math.pi - w) * near - (2 * math.pi + w) * far) / w, near, far


def _image_log(angle: Tensor, sigma: Tensor) -> Tensor:
    _, rho, _, _ = _images(angle, sigma)
    ratio = 2 / torch.sinc(0.5 * angle / math.pi)  # w / sin(w/2)
    constant = 0.5 * math.log(2 * math.pi) - 3 * sigma.log() + sigma**2 / 8
    return constant + ratio.log() - angle**2 / (2 * sigma**2) + rho.log1p()


def _image_slope(angle: Tensor, sigma: Tensor) -> Tensor:
    w, rho, near, far = _images(angle, sigma)
    pull = 2 * math.pi / sigma**2
    rise = (((2 * math.pi - w) * pull - 1) * near + ((2 * math.pi + w) * pull - 1) * far) / w - rho / w
    curved = torch.where(angle < SMALL, angle / 12 + angle**3 / 720, 1 / w - 0.5 / torch.tan(0.5 * w))
    return curved - angle / sigma**2 + torch.where(angle < SMALL, torch.zeros_like(rise), rise / (1 + rho))


def _series(angle: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope of (1), its characters written 1 + 2 sum_{m <= l} cos(m w), which has no pole."""
    level = sigma.clamp_min(SWITCH)  # below it the caller takes (2), but values must stay finite
    density, slope = torch.ones_like(level), torch.zeros_like(level)
    character, inclined = torch.ones_like(angle), torch.zeros_like(angle)
    for degree in range(1, DEGREES + 1):
        character = character + 2 * torch.cos(degree * angle)
        inclined = inclined - 2 * degree * torch.sin(degree * angle)
        weight = (2 * degree + 1) * torch.exp(-0.5 * degree * (degree + 1) * level**2)
        density, slope = density + weight * character, slope + weight * inclined
    return density, slope
