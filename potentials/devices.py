"""Where a model runs."""

import torch

from potentials.errors import InputError


def device_at_hand(name: str | torch.device) -> torch.device:
    """The device of a name, `cpu` or `cuda:1` say.

    Raises:
        InputError: torch knows no such device, or this machine has none.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r} is not known to torch: say cpu, cuda or cuda:0") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        have = torch.cuda.device_count()
        raise InputError(
            f"device {name} is not there: torch sees {have} CUDA devices here; say cpu, or install a CUDA build"
        )
    return device
