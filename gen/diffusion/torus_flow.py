"""Flow matching on the unit torus, from data at time 0 to the uniform prior at time 1.

Along the shortest geodesic from a clean coordinate x_0 to a prior one x_1 (Chen & Lipman 2024, "Flow matching on
general geometries", eq. 13; on the flat torus Miller et al. 2024, FlowMM, eqs. 11-13):

    x_t = x_0 + t d mod 1,   d = x_1 - x_0 folded into [-1/2, 1/2),   dx/dt = d.                    (1)

With x_1 uniform, d is uniform on [-1/2, 1/2) whatever x_0 is, so d is drawn and x_1 never needed: each coordinate
of x_t has mean x_0 and variance t^2 / 12 before it is folded. Where all atoms of a crystal may be shifted together,
the mean of d over the atoms is no information and is taken out, of the path as of the velocity (FlowMM, sec. 3.2);
the variance becomes (1 - 1/N) t^2 / 12.

A network that predicts E[d | x_t] is followed backwards in time by Euler steps.
"""

import math

import torch
from torch import Tensor

from gen.diffusion.wrapped_normal import wrap

VELOCITY_SCALE = math.sqrt(1 / 12)  # root mean square of d before its mean is taken out


def displacement(uniform: Tensor) -> Tensor:
    """Velocities d of (1) without their mean over atoms: [..., N, 3] from uniform draws of that shape."""
    centred = uniform - 0.5
    return centred - centred.mean(-2, keepdim=True)


def noised(x0: Tensor, t: Tensor, velocity: Tensor) -> Tensor:
    """x_t of (1), folded; `t` broadcasts to `x0`."""
    return wrap(x0 + t * velocity)


def clean(x: Tensor, velocity: Tensor, t: float) -> Tensor:
    """Predicted x_0 = x_t - t d, folded."""
    return wrap(x - t * velocity)


def reverse_step(x: Tensor, velocity: Tensor, t: float, t_next: float, drift: float = 1.0) -> Tensor:
    """Euler step from `t` down to `t_next`, folded.

    A `drift` above one goes faster ("anti-annealing", FlowMM, sec. 4), but never beyond the predicted x_0.
    """
    return wrap(x - min(drift * (t - t_next), t) * velocity)


def mixture_velocity(x: Tensor, t: float, points: Tensor, weights: Tensor) -> Tensor:
    """Exact E[d | x_t] when one coordinate's data are `points` [K] with `weights` [K]: closed form, for tests.

    The density of x_t given x_0 is 1/t within t/2 of x_0 and zero elsewhere.

    Args:
        x: [M] coordinates at time t.

    Returns:
        [M]; zero where no data point can have led to x.
    """
    offset = x.unsqueeze(-1) - points
    offset = offset - torch.round(offset)
    posterior = weights * (offset.abs() <= t / 2)
    share = posterior / posterior.sum(-1, keepdim=True).clamp_min(1e-30)
    return (share * offset).sum(-1) / t
