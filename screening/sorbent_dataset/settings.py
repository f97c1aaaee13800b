"""Settings of `sorbus dataset mofs`."""

import pydantic

from potentials.config import Config
from potentials.files import sha256_json
from screening.adsorption.henry import HenrySettings
from screening.pores import PoreSettings
from screening.validity import ValiditySettings


class DrawSettings(Config):
    """Which recipes are drawn, and how often."""

    nets: tuple[str, ...] = ()  # RCSR symbols; () for every net the library can fill
    metals: tuple[str, ...] = ()  # element symbols; () for every metal of the library
    max_atoms: int = pydantic.Field(default=100, ge=20, le=1000)  # in the primitive cell, of most rows
    max_atoms_large: int = pydantic.Field(default=150, ge=20, le=1000)  # of the share below
    large_share: float = pydantic.Field(default=0.15, ge=0, le=1)  # of draws that may be that large
    max_beads: int = pydantic.Field(default=40, ge=4)  # nodes and edges of the net in its primitive cell
    max_rmsd: float = pydantic.Field(default=0.3, gt=0, le=0.3)  # of unit directions, block against net
    max_gap: float = pydantic.Field(default=0.4, gt=0)  # Å between connection points that should coincide
    cof_share: float = pydantic.Field(default=0.1, ge=0, le=1)  # of draws without any metal
    held_share: float = pydantic.Field(default=0.05, ge=0, le=1)  # of draws with a held-out net or block
    common_share: float = pydantic.Field(default=0.5, ge=0, le=1)  # of draws from nets synthesis knows; rest uniform


class LabelSettings(Config):
    """What is measured on a row, and how well."""

    pores: PoreSettings | None = PoreSettings(surface_samples=10, volume_samples=5_000)
    henry: HenrySettings | None = HenrySettings(gases=("CO2",), error=0.1)
    henry_share: float = pydantic.Field(default=0.6, ge=0, le=1)  # of rows, chosen by their key


class SorbentDatasetSettings(Config):
    """What `sorbus dataset mofs` makes."""

    out: str = "runs/dataset/mofs.jsonl.gz"  # the merged set; its parts and summary lie beside it
    seed: int = 0
    start: int = pydantic.Field(default=0, ge=0)  # first index; what an index gives depends on it and the seed alone
    count: int = pydantic.Field(default=10_000, ge=0)  # draws, about half of which give a row
    workers: int = pydantic.Field(default=1, ge=0)  # processes; 0: in this one, where nothing ends a row that hangs
    row_limit_s: float = pydantic.Field(default=180.0, gt=0)  # then an index is given up and its worker replaced
    max_minutes: float | None = pydantic.Field(default=None, gt=0)  # then no new draw is begun; run again to go on
    draw: DrawSettings = DrawSettings()
    validity: ValiditySettings = ValiditySettings(unbalanced="reject")
    labels: LabelSettings = LabelSettings()
    max_net_share: float = pydantic.Field(default=0.06, gt=0, le=1)  # of the merged rows that have one net
    max_block_share: float = pydantic.Field(default=0.15, gt=0, le=1)  # of the merged rows that have one block


def recipe_hash(settings: SorbentDatasetSettings) -> str:
    """Hash of everything that decides what an index gives; parts of different hashes are not merged.

    The share of rows that get a Henry coefficient is left out: a row is the same row with it or without.
    """
    values = settings.model_dump(mode="json", include={"seed", "draw", "validity", "labels"})
    del values["labels"]["henry_share"]
    return sha256_json(values)[:16]
