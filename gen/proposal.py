"""What a proposer hands to a campaign: a structure, or the reason there is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pymatgen.core import Structure


@dataclass(frozen=True)
class Proposal:
    """One attempt of a proposer. Exactly one of `structure` and `failure` is set."""

    index: int  # place in the proposal order; with the seed it determines the structure
    structure: Structure | None
    provenance: Mapping[str, Any]  # proposer, version, seed, index, conditions, parts; JSON-able
    failure: str | None = None  # why no structure came of it, in one sentence


class Proposer(Protocol):
    """Anything that turns (seed, index) into a structure; learned and template proposers alike.

    Proposal `i` depends on the seed and `i` alone, never on how many others are asked for or in what order.
    """

    name: str

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one `Proposal` for each index, in order."""
        ...
