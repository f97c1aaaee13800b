"""Keeping a part of a framework, and starting from one: what is given, in the model's terms."""

import collections
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from gen.crystals.gate import cell_heights
from gen.crystals.inpainting import Known
from gen.sorbents.bead_config import LENGTH
from gen.sorbents.bead_dataset import reduction
from gen.sorbents.bead_model import BeadModel
from gen.sorbents.beads import EDGE, Beads
from potentials.errors import InputError

Part = Literal["nodes", "linkers", "coordinates", "lattice"]
PARTS: tuple[Part, ...] = ("nodes", "linkers", "coordinates", "lattice")
MIN_HEIGHT = 3.0  # Å between opposite faces of a cell of beads; the smallest blocks are as far apart


@dataclass(frozen=True)
class Fixed:
    """What of a framework must come back unchanged."""

    beads: Beads
    parts: tuple[Part, ...] = PARTS  # blocks of nodes, blocks of linkers, positions, cell
    sites: tuple[int, ...] | None = None  # indices of the beads to keep, others are added; None: all, and no others


@dataclass(frozen=True)
class Start:
    """A framework to start from."""

    beads: Beads
    noise: float = 0.3  # time at which the reverse process starts, 0 the framework itself, 1 pure noise
    block_noise: float = 0.0  # share of the beads whose block is drawn again


def fixed_part(fixed: Fixed, model: BeadModel) -> tuple[Known, tuple[int, ...]]:
    """Check and translate what is to be kept; also the connections of its beads.

    Raises:
        InputError: a part or site that is not there, a block the model does not know, nothing to keep, a broken cell.
    """
    beads = fixed.beads
    for part in fixed.parts:
        if part not in PARTS:
            raise InputError(f"cannot keep {part!r} of a framework: name some of {', '.join(PARTS)}")
    sites = tuple(range(len(beads.blocks))) if fixed.sites is None else fixed.sites
    for site in sites:
        if not 0 <= site < len(beads.blocks):
            raise InputError(f"fixed site {site} is not one of the {len(beads.blocks)} beads: count from 0")
    if len(set(sites)) != len(sites):
        raise InputError(f"fixed sites {list(sites)} name a bead twice: name each once")
    if not sites or not fixed.parts:
        raise InputError(f"nothing is fixed: keep some of {', '.join(PARTS)} of at least one bead")
    whole, roles = _translate(beads, sites, model)
    kept = [("linkers" if role == EDGE else "nodes") in fixed.parts for role in roles]
    known = Known(
        tokens=torch.where(torch.tensor(kept), whole.tokens, -1),
        frac=whole.frac if "coordinates" in fixed.parts else None,
        lattice=whole.lattice if "lattice" in fixed.parts else None,
        basis=whole.basis,
        cell=whole.cell,
    )
    return known, roles


def start_part(start: Start, model: BeadModel) -> tuple[Known, tuple[int, ...]]:
    """Check and translate a framework to start from; also the connections of its beads.

    Raises:
        InputError: a noise level outside 0 to 1, a block the model does not know, or a broken cell.
    """
    if not 0 < start.noise <= 1:
        raise InputError(f"noise = {start.noise} is outside above 0 up to 1")
    if not 0 <= start.block_noise <= 1:
        raise InputError(f"block_noise = {start.block_noise} is outside 0 to 1")
    return _translate(start.beads, tuple(range(len(start.beads.blocks))), model)


def _translate(beads: Beads, sites: tuple[int, ...], model: BeadModel) -> tuple[Known, tuple[int, ...]]:
    unknown = [name for name in beads.blocks if name not in model.vocabulary]
    if unknown:
        raise InputError(f"the model does not know the block {unknown[0]!r}: use blocks of the library")
    if not np.isfinite(beads.lattice).all() or not np.isfinite(beads.frac).all():
        raise InputError("the given framework has a coordinate that is not a number: repair it")
    height = float(cell_heights(beads.lattice).min())
    if height < MIN_HEIGHT:
        raise InputError(f"the given framework's cell is {height:.2f} Å high, below {MIN_HEIGHT} Å: repair it")
    basis = reduction(beads.lattice)
    frac = beads.frac[list(sites)] @ np.linalg.inv(basis)
    known = Known(
        tokens=torch.tensor([model.vocabulary.index(beads.blocks[site]) for site in sites]),
        frac=torch.from_numpy(frac - np.floor(frac)).float(),
        lattice=torch.from_numpy(basis @ beads.lattice / LENGTH).float(),
        basis=basis,
        cell=beads.lattice,
    )
    return known, tuple(beads.connections[site] for site in sites)


def contains(roles: tuple[int, ...], part: tuple[int, ...]) -> bool:
    """Whether a set of roles has room for those of a part."""
    return not collections.Counter(part) - collections.Counter(roles)
