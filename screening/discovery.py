"""From a campaign's configuration to what its owner looks at: ranking, CIFs, report."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from gen.proposers import load_proposer
from potentials.errors import InputError
from screening.baseline import FOLDER, baseline_campaign, read_comparison
from screening.campaign import Campaign
from screening.campaign_config import CampaignConfig
from screening.candidate import Snapshot
from screening.export import format_ranking, write_ranking
from screening.rank_uncertainty import Distinction, distinguish
from screening.ranking import Ranking, rank
from screening.report import write_report
from screening.resume import set_aside
from screening.store import STORE_NAME, Store
from screening.tracking import make_tracker


@dataclass(frozen=True)
class Discovery:
    """A campaign's results and where they lie."""

    folder: Path  # holds store.sqlite, ranking.csv, report.html, candidates/
    snapshot: Snapshot
    ranking: Ranking
    distinction: Distinction  # how far the first of them can be told apart

    @property
    def text(self) -> str:
        """The best candidates as a table for the terminal, and the baseline beside the proposer where there is one."""
        from screening.summary import comparison_text

        text = format_ranking(self.ranking, distinction=self.distinction)
        comparison = self.snapshot.comparison
        return text if comparison is None else f"{text}\n\n{comparison_text(comparison)}"


def discover(
    config: CampaignConfig,
    *,
    folder: str | Path | None = None,
    fresh: bool = False,
    wandb: str = "off",
    progress: bool = False,
) -> Discovery:
    """Run or resume a campaign, then rank its survivors and write the results into its folder.

    Where the configuration names a baseline, its proposals are run afterwards, in the folder `baseline` of the run, and
    the results are written once more with the comparison.

    Args:
        config: the question.
        folder: run folder; by default `config.output`, else `runs/<name>`.
        fresh: set an earlier run of this folder aside and start over.
        wandb: `off`, `offline` (needs no account) or `online`.
        progress: show a bar a stage.

    Raises:
        InputError: see `Campaign.run`; finished work stays in the store.
    """
    campaign = Campaign(config, folder)
    if fresh:
        set_aside(campaign.folder)
    tracker = make_tracker(
        wandb, project="sorbus", name=config.name, config=config.model_dump(mode="json"), folder=campaign.folder
    )
    against = baseline_campaign(config)
    if against is not None:
        load_proposer(against.proposer.name, against.proposer.settings)  # a mistake in it is told before anything runs
    try:
        campaign.run(progress=progress, tracker=tracker)
        result = write_results(read_snapshot(campaign.folder), campaign.folder)
        if against is not None:
            if progress:
                print(f"comparing with {against.proposer.name}, through {against.stages[-1].name}", file=sys.stderr)
            Campaign(against, campaign.folder / FOLDER).run(progress=progress)
            result = write_results(read_snapshot(campaign.folder), campaign.folder)
        for entry in result.ranking.entries[: config.ranking.top]:
            tracker.structure(f"candidate/{entry.place:02d}", entry.candidate.structure)
        tracker.html("report", result.folder / "report.html")
    finally:
        tracker.finish()
    return result


def read_snapshot(folder: str | Path) -> Snapshot:
    """What the store of a run folder holds now, also while its campaign runs.

    Raises:
        InputError: the folder has no store, or one that cannot be read.
    """
    path = Path(folder) / STORE_NAME
    if not path.is_file():
        raise InputError(f"no {STORE_NAME} in {folder}: name the folder of a campaign, e.g. runs/co2_flue_gas")
    with Store.open(path) as store:
        return dataclasses.replace(store.snapshot(), comparison=read_comparison(folder, store))


def write_results(snapshot: Snapshot, folder: str | Path) -> Discovery:
    """Rank the survivors of a snapshot; write `ranking.csv`, `candidates/*.cif` and `report.html`.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    ranking = rank(snapshot)
    distinction = distinguish(ranking)
    write_ranking(folder, snapshot, ranking, distinction)
    write_report(folder / "report.html", snapshot, ranking, distinction)
    return Discovery(folder, snapshot, ranking, distinction)
