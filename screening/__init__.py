"""The top floor: campaigns, evaluators, adsorption, ranking, store, report.

from screening import Campaign, henry_coefficient
"""

from potentials.lazy import lazy_names

# Public name -> module; imported when first used, so that `sorbus --help` stays quick.
_PUBLIC = {
    "Campaign": "screening.campaign",
    "CampaignConfig": "screening.campaign_config",
    "Candidate": "screening.candidate",
    "Store": "screening.store",
    "discover": "screening.discovery",
    "distinguish": "screening.rank_uncertainty",
    "fit_calibration": "screening.experiments.calibration",
    "fit_isotherm": "screening.adsorption.isotherm_fits",
    "gcmc_uptake": "screening.adsorption.gcmc",
    "henry_coefficient": "screening.adsorption.henry",
    "iast": "screening.adsorption.iast",
    "rank": "screening.ranking",
    "read_isotherms": "screening.experiments.read",
}
__all__ = [*_PUBLIC]
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
