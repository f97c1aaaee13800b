"""Labels of benchmark frameworks, by the training set's own code and settings, kept on disk."""

import json
from collections.abc import Sequence

import numpy as np

from benchmarks.sorbents_samples import FOLDER, Sample
from gen.sorbents.beads import BeadRow
from potentials.files import sha256_json
from screening.candidate import content_id
from screening.sorbent_dataset.labels import label
from screening.sorbent_dataset.settings import LabelSettings

PORES_ONLY = LabelSettings(henry=None)
ALL = LabelSettings(henry_share=1.0)


class Labels:
    """Labels by structure; `label(sample)` measures one that is not there yet."""

    def __init__(self, settings: LabelSettings = ALL, seed: int = 0) -> None:
        self.settings, self.seed = settings, seed
        identity = sha256_json({"settings": settings.model_dump(mode="json"), "seed": seed})[:10]
        self.path = FOLDER / f"labels_{identity}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        self.known: dict[str, dict[str, float]] = {}
        for line in lines:
            if line.endswith("]"):
                name, values = json.loads(line)
                self.known[name] = values

    def label(self, sample: Sample) -> dict[str, float]:
        """Labels of a framework that has passed every test; one that cannot be measured is left out."""
        assert sample.structure is not None
        name = content_id(sample.structure)
        if name not in self.known:
            self.known[name] = label(sample.structure, name, self.settings, self.seed)[0]
            with self.path.open("a") as stream:
                stream.write(json.dumps([name, self.known[name]]) + "\n")
        return self.known[name]


def trained_values(rows: Sequence[BeadRow], name: str) -> np.ndarray:
    """Values of a label in the rows a generator was trained on."""
    values = [row.labels[name] for row in rows if row.split == "train" and name in row.labels]
    return np.array(values, dtype=float)
