"""What a set of blocks must be before it is worth a geometry: joinable, neutral, of the kind and size asked for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gen.sorbents.beads import DIRECT, EDGE
from gen.sorbents.catalog import Block, Catalog
from gen.sorbents.formal_charge import balance_fault


@dataclass(frozen=True)
class Library:
    """The blocks a model knows, by token."""

    names: tuple[str, ...]
    connections: np.ndarray  # [T]
    blocks: tuple[Block | None, ...]  # None for `DIRECT`

    @classmethod
    def of(cls, vocabulary: Sequence[str], connections: Sequence[int], catalog: Catalog) -> "Library":
        """The catalog's entries for a vocabulary."""
        blocks = tuple(None if name == DIRECT else catalog.blocks[name] for name in vocabulary)
        return cls(tuple(vocabulary), np.array(connections), blocks)

    @property
    def atoms(self) -> np.ndarray:
        """[T] atoms of each block."""
        return np.array([0 if block is None else block.atoms for block in self.blocks])

    @property
    def is_metallic(self) -> np.ndarray:
        """[T] whether a block holds a metal."""
        return np.array([block is not None and bool(block.metals) for block in self.blocks])

    @property
    def metals(self) -> tuple[str, ...]:
        """Every metal of the library, sorted."""
        return tuple(sorted({metal for block in self.blocks if block is not None for metal in block.metals}))

    def with_metal(self, symbol: str) -> frozenset[int]:
        """Tokens of blocks that hold a metal."""
        return frozenset(t for t, block in enumerate(self.blocks) if block is not None and symbol in block.metals)


@dataclass(frozen=True)
class Rules:
    """What is asked of a set of blocks."""

    max_atoms: int = 150  # in the primitive cell
    neutral: bool = True  # formal charges must balance
    mofs: bool = True  # sets with a metal
    cofs: bool = False  # sets without


def set_fault(tokens: Sequence[int], library: Library, rules: Rules) -> str | None:
    """Why no framework worth building can be made of these blocks, its first word naming the kind, or None.

    Formal charges of blocks add up because blocks join by single bonds (`gen.sorbents.formal_charge`).
    """
    counts = Counter(int(token) for token in tokens)
    parts = [(count, library.blocks[token]) for token, count in counts.items()]
    blocks = [(count, block) for count, block in parts if block is not None]
    atoms = sum(count * block.atoms for count, block in blocks)
    if atoms > rules.max_atoms:
        return f"large: {atoms} atoms exceed max_atoms = {rules.max_atoms}"
    metals: Counter[str] = Counter()
    for count, block in blocks:
        for metal, number in block.metal_counts.items():
            metals[metal] += count * number
    if metals and not rules.mofs:
        return "metal: a metal where mofs are off"
    if not metals and not rules.cofs:
        return "organic: no metal where cofs are off"
    if fault := _joint_fault(blocks, counts[library.names.index(DIRECT)] if DIRECT in library.names else 0):
        return fault
    if rules.neutral and (fault := balance_fault(sum(count * block.charge for count, block in blocks), metals)):
        return f"charged: {fault}"
    return None


def _joint_fault(blocks: Sequence[tuple[int, Block]], direct: int) -> str | None:
    """Why the ends of linkers and nodes cannot be paired.

    One side of every new bond is carbon (`gen.sorbents.recipe.joinable`), and two metal nodes are never bonded to
    each other directly; both are counted here, whichever node a linker will meet.
    """
    clean = mixed = 0  # connection points of nodes: on carbon alone, and others
    organic = 0  # of nodes without a metal
    clean_ends = mixed_ends = 0  # ends of linkers
    for count, block in blocks:
        points = count * block.connections
        pure = block.anchors == ("C",)
        if block.connections == EDGE:
            clean_ends, mixed_ends = clean_ends + pure * points, mixed_ends + (not pure) * points
        else:
            clean, mixed = clean + pure * points, mixed + (not pure) * points
            organic += 0 if block.metals else points
    if clean + mixed != clean_ends + mixed_ends + 2 * direct:
        ends = clean_ends + mixed_ends + 2 * direct
        return f"joints: {clean + mixed} connection points of nodes against {ends} ends of edges"
    if direct > organic:
        return f"joints: {direct} direct bonds, but organic nodes have {organic} connection points"
    if mixed > clean_ends + direct or mixed_ends + direct > clean:
        return "joints: too many ends on nitrogen to meet carbon"
    return None
