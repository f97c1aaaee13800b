"""A campaign's proposer beside a baseline: a second, unranked campaign through the same first stages, compared.

The baseline has a store of its own in the folder `baseline` of the run, so that it is resumed as any campaign is, and
nothing of it can enter the ranking. It gets as many proposals as the campaign itself.
"""

from pathlib import Path

from screening.campaign_config import (
    BaselineConfig,
    CampaignConfig,
    ObjectiveConfig,
    ProposerConfig,
    RankingConfig,
)
from screening.candidate import ComparedSet, Comparison
from screening.store import PROPOSED, STORE_NAME, Store

FOLDER = "baseline"  # below the run folder
BUILT = "built"


def baseline_campaign(config: CampaignConfig) -> CampaignConfig | None:
    """The campaign that runs a baseline's proposals through the first stages; `None` where there is no baseline."""
    baseline = config.baseline
    if baseline is None:
        return None
    names = [stage.name for stage in config.stages]
    stages = config.stages[: names.index(baseline.through) + 1]
    return CampaignConfig(
        name=f"{config.name}.{FOLDER}",
        question=f"What does {baseline.name} propose on the same budget? ({config.question})",
        seed=config.seed,
        proposer=ProposerConfig(
            name=baseline.name,
            count=config.proposer.count,
            settings=baseline.settings,
            batch=baseline.batch,
            deadline_s=baseline.deadline_s,
        ),
        # every candidate that reaches the last stage is compared, however many the campaign itself keeps
        stages=(*stages[:-1], stages[-1].model_copy(update={"keep": None})),
        ranking=RankingConfig(objectives=(ObjectiveConfig(property=baseline.by, direction=baseline.order),)),
        workers=config.workers,
        max_attempts=config.max_attempts,
    )


def read_comparison(folder: str | Path, store: Store) -> Comparison | None:
    """The comparison as far as it has got.

    Args:
        folder: run folder of the campaign.
        store: its store, open.

    Returns:
        `None` where the campaign has no baseline, or the baseline has not begun.

    Raises:
        InputError: the baseline's store cannot be read.
    """
    config = store.meta("config")
    path = Path(folder) / FOLDER / STORE_NAME
    if not config.get("baseline") or not path.is_file():
        return None
    baseline = BaselineConfig(**config["baseline"])
    names = [stage["name"] for stage in config["stages"]]
    stages = names[: names.index(baseline.through) + 1]
    with Store.open(path) as other:
        finished = all(baseline.through in each.closed_stages() for each in (store, other))
        own, unit = _compared(store, config["proposer"]["name"], stages, baseline.by)
        against, other_unit = _compared(other, other.meta("config")["proposer"]["name"], stages, baseline.by)
    return Comparison(baseline.through, baseline.by, unit or other_unit, baseline.order, own, against, finished)


def _compared(store: Store, proposer: str, stages: list[str], name: str) -> tuple[ComparedSet, str]:
    """Counts after each stage; the last stage's `keep` is no loss here, since it drops what was measured."""
    lost = store.losses()
    proposed = len(store.proposed())
    gone = sum(lost.get((PROPOSED, state), 0) for state in ("rejected", "unbuilt", "failed"))
    left = {BUILT: proposed - gone}
    for stage in stages:
        states = ("rejected", "failed") if stage == stages[-1] else ("rejected", "failed", "not selected")
        gone += sum(lost.get((stage, state), 0) for state in states)
        left[stage] = proposed - gone
    measured = store.stage_values(stages[-1], name)
    values = tuple(sorted(value for value, _ in measured.values() if value is not None))
    unit = next((unit for _, unit in measured.values()), "")
    return ComparedSet(proposer, proposed, left, values), unit
