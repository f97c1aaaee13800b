"""Metrics of generated structures, each with its protocol."""

from potentials.lazy import lazy_names

# Public name -> module; imported when first used, because smact and pymatgen take seconds.
_PUBLIC = {
    "Metric": "gen.evaluation.metric",
    "evaluate_crystals": "gen.evaluation.crystals",
    "read_reference": "gen.evaluation.reference",
}
__all__ = [*_PUBLIC]
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
