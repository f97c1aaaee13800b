"""The middle floor: generative models of crystals and sorbents.

from gen import Generator
"""

from potentials.lazy import lazy_names

# Public name -> module; imported when first used, because torch takes seconds.
_PUBLIC = {
    "Generator": "gen.generator",
    "Proposal": "gen.proposal",
    "evaluate_crystals": "gen.evaluation",
    "load_proposer": "gen.proposers",
}
__all__ = [*_PUBLIC]
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
