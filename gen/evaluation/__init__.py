"""Metrics of generated structures, each with its protocol."""

import importlib
from typing import Any

# Public name -> module; imported when first used, because smact and pymatgen take seconds.
_PUBLIC = {
    "Metric": "gen.evaluation.metric",
    "evaluate_crystals": "gen.evaluation.crystals",
    "read_reference": "gen.evaluation.reference",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'gen.evaluation' has no attribute {name!r}")
