"""A proposer and evaluators for campaign tests, and a driver to be killed: `python campaign_parts.py FOLDER ...`.

Every run of an evaluator leaves a line in a file, so that a test can count what was done how often.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from gen.proposal import Proposal
from potentials.config import Config, parse_config
from potentials.errors import InputError
from screening.campaign import Campaign
from screening.campaign_config import CampaignConfig
from screening.candidate import Candidate, Evaluation, Property, Snapshot
from screening.evaluators import Evaluator


class Salts:
    """Rock-salt cells of random edge; some indices come to nothing, two are identical."""

    name = "salts"

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        for index in indices:
            note_run(self.settings.get("folder"), "proposed", index)
            time.sleep(self.settings.get("seconds", 0.0))
            if index in self.settings.get("die_on", ()):
                os.kill(os.getpid(), signal.SIGKILL)
            if index in self.settings.get("unbuilt", ()):
                yield Proposal(index, None, {"proposer": self.name}, failure="the block has no partner")
                continue
            twin = self.settings.get("twins", {}).get(str(index), index)
            edge = 4.0 + np.random.default_rng([seed, twin]).random()
            primitive = edge / 2 * (1 - np.eye(3))  # face-centred cubic
            structure = Structure(Lattice(primitive), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
            yield Proposal(index, structure, {"proposer": self.name, "seed": seed, "edge_angstrom": edge})


def load_salts(name: str, settings: dict[str, Any]) -> Salts:
    if name != "salts":
        raise InputError(f"no proposer is called {name!r}: did you mean 'salts'?")
    return Salts(settings)


class ProbeSettings(Config):
    folder: str | None = None  # where runs are counted
    seconds: float = 0.0
    scale: float = 1.0
    die_on: tuple[int, ...] = ()  # indices on which the worker is killed
    die_once_on: tuple[int, ...] = ()  # the same, but only the first time
    hang_on: tuple[int, ...] = ()  # indices on which a compiled call never returns
    raise_on: tuple[int, ...] = ()
    full_disk_on: tuple[int, ...] = ()  # once
    reject_on: tuple[int, ...] = ()
    move: bool = False  # give back a strained structure
    child: bool = False  # leave a process of our own behind, as some simulation codes do
    name: str = "probe"


def evaluate_probe(candidate: Candidate, settings: ProbeSettings, seed: int) -> Evaluation:
    runs = note_run(settings.folder, settings.name, candidate.index)
    if settings.child:
        subprocess.Popen(["sleep", "300"])
    time.sleep(settings.seconds)
    if candidate.index in settings.die_on or (candidate.index in settings.die_once_on and runs == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if candidate.index in settings.hang_on:
        ctypes.PyDLL(None).pause()  # keeps the interpreter lock: no Python timeout can fire
    if candidate.index in settings.full_disk_on and runs == 1:
        Path("/dev/full").write_text("x")
    if candidate.index in settings.raise_on:
        raise ZeroDivisionError("no atoms left")
    rng = np.random.default_rng(seed)
    volume = candidate.structure.volume * settings.scale
    found = (
        Property(f"{settings.name}_volume", volume, "Å^3", method="cell"),
        Property(f"{settings.name}_noise", float(rng.normal()), "", std=1.0, note="drawn"),
        Property(f"{settings.name}_nan", float("nan"), "eV"),
    )
    moved = None
    if settings.move:
        moved = candidate.structure.copy()
        moved.scale_lattice(candidate.structure.volume * (1 + 0.1 * rng.random()))
    rejected = "volume is out of taste" if candidate.index in settings.reject_on else None
    return Evaluation(found, rejected, moved)


class TogetherSettings(Config):
    folder: str | None = None
    die: bool = False


def evaluate_together(candidates: list[Candidate], settings: TogetherSettings, seed: int) -> dict[str, Evaluation]:
    """Rank among all; the largest cell is rejected."""
    note_run(settings.folder, "together", len(candidates))
    if settings.die:
        os.kill(os.getpid(), signal.SIGKILL)
    order = sorted(candidates, key=lambda candidate: -candidate.structure.volume)
    return {
        candidate.id: Evaluation((Property("rank", float(place), ""),), "the largest of all" if place == 0 else None)
        for place, candidate in enumerate(order)
    }


EVALUATORS = (
    Evaluator("probe", "campaign_parts:evaluate_probe", "campaign_parts:ProbeSettings", "cheap"),
    Evaluator("together", "campaign_parts:evaluate_together", "campaign_parts:TogetherSettings", "cheap", batch=True),
)
LOADER = "campaign_parts:load_salts"


def note_run(folder: str | None, stage: str, index: int) -> int:
    """Append a line to the count of (stage, index); returns how many there are."""
    if folder is None:
        return 1
    with (Path(folder) / f"{stage}.{index}").open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    return run_count(folder, stage, index)


def run_count(folder: str | Path, stage: str, index: int) -> int:
    path = Path(folder) / f"{stage}.{index}"
    return len(path.read_text().splitlines()) if path.exists() else 0


def make_config(stages: list[dict[str, Any]], **values: Any) -> CampaignConfig:
    proposer = {"name": "salts", "count": 6, "settings": {}, **values.pop("proposer", {})}
    return parse_config(
        CampaignConfig,
        {
            "name": "salts",
            "question": "Which salt is the largest?",
            "seed": 7,
            "workers": 2,
            "ranking": {"objectives": [{"property": "probe_volume"}]},
            **values,
            "proposer": proposer,
            "stages": stages,
        },
        "test",
    )


def make_campaign(config: CampaignConfig, folder: str | Path, **values: Any) -> Campaign:
    return Campaign(config, folder, evaluators=EVALUATORS, proposer_loader=LOADER, **values)


def table(snapshot: Snapshot) -> list[Any]:
    """Everything that must not depend on how often a campaign was killed."""
    return [
        (
            row.index,
            row.state,
            row.stage,
            row.reason,
            dict(row.provenance),
            row.candidate and (row.candidate.id, row.candidate.structure.as_dict(), dict(row.candidate.properties)),
        )
        for row in snapshot.rows
    ]


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent)
    make_campaign(parse_config(CampaignConfig, json.loads(sys.argv[2]), "driver"), sys.argv[1]).run()
