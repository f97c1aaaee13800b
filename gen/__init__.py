"""The middle floor: generative models of crystals and sorbents.

from gen import Generator
"""

import importlib
from typing import Any

# Public name -> module; imported when first used, because torch takes seconds.
_PUBLIC = {
    "Generator": "gen.generator",
    "Proposal": "gen.proposal",
    "evaluate_crystals": "gen.evaluation",
    "load_proposer": "gen.proposers",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'gen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
