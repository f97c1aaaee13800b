"""The order in which training crystals are seen: a pure function of (seed, epoch)."""

import hashlib

import torch
from torch import Tensor


def generator_for(*key: int | str) -> torch.Generator:
    """A generator seeded from any key, alike on every machine; distinct keys give unrelated streams."""
    digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") & (2**63 - 1))


def epoch_batches(
    sizes: dict[int, int], batch_size: int, groups: int, seed: int, epoch: int
) -> list[list[tuple[int, Tensor]]]:
    """Updates of one epoch; each is up to `groups` groups (atom count, row indices) of equal atom count.

    Args:
        sizes: crystals of each atom count.
        batch_size: crystals an update.
        groups: groups an update; each holds at most batch_size / groups crystals.
    """
    generator = generator_for(seed, "order", epoch)
    chunk = max(1, batch_size // groups)
    pieces: list[tuple[int, Tensor]] = []
    for n_atoms in sorted(sizes):
        order = torch.randperm(sizes[n_atoms], generator=generator)
        pieces += [(n_atoms, part) for part in order.split(chunk)]
    shuffled = [pieces[i] for i in torch.randperm(len(pieces), generator=generator).tolist()]
    return [shuffled[i : i + groups] for i in range(0, len(shuffled), groups)]
