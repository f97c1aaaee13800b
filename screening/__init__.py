"""The top floor: campaigns, evaluators, adsorption, ranking, store, report.

from screening import Campaign, henry_coefficient
"""

import importlib
from typing import Any

# Public name -> module; imported when first used, so that `sorbus --help` stays quick.
_PUBLIC = {
    "Campaign": "screening.campaign",
    "CampaignConfig": "screening.campaign_config",
    "Candidate": "screening.candidate",
    "Store": "screening.store",
    "discover": "screening.discovery",
    "gcmc_uptake": "screening.adsorption.gcmc",
    "henry_coefficient": "screening.adsorption.henry",
    "rank": "screening.ranking",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'screening' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
