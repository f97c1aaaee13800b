"""Which code computes the network's products: our own tensor operations, or the fused GPU kernels of cuEquivariance.

Weights, checkpoints, calls and derivatives are the same with either; only who multiplies differs.
"""

import importlib.util

from torch import nn

from potentials.errors import InputError
from potentials.network import EquivariantNetwork

KERNELS = ("torch", "cuequivariance")


def use_kernels(model: nn.Module, kernels: str) -> None:
    """Choose what computes the products of a model's equivariant networks, before its first call.

    Args:
        model: an `EnergyModel`, an `EquivariantNetwork`, or anything that holds some; changed in place.
        kernels: `torch` (as made: any device, tracing, export) or `cuequivariance` (on an NVIDIA GPU one fused kernel a
            density and one a product, nothing the size of an edge is written to memory in between; on a CPU the
            package's plain implementation, slow, for comparison).

    Raises:
        InputError: an unknown name, a package that is missing, or a model without such products.
    """
    if kernels not in KERNELS:
        raise InputError(f"kernels {kernels!r} are not known: choose {' or '.join(KERNELS)}")
    if kernels == "torch":
        return
    networks = [module for module in model.modules() if isinstance(module, EquivariantNetwork)]
    if not networks:
        raise InputError(f"kernels {kernels} are made for architecture density: leave them out for this potential")
    if importlib.util.find_spec("cuequivariance_torch") is None:
        raise InputError(
            "kernels cuequivariance need a package that is missing: pip install cuequivariance-torch, "
            "or leave kernels at torch"
        )
    from potentials.cuequivariance_kernels import fuse_products

    for network in networks:
        fuse_products(network)
