"""Generate structures with any proposer and write them with their provenance."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field
from pymatgen.core import Structure

from gen.proposers import load_proposer
from potentials.bars import progress_bar
from potentials.cif import format_cif
from potentials.config import Config
from potentials.files import write_atomic
from potentials.structure_files import write_structures

SYMPREC = 0.01  # Å; the generator has symmetrised at a wider tolerance already


class GenerateSettings(Config):
    """What `sorbus generate` needs to know."""

    model: str = "crystals"  # a registered proposer: crystals, sorbents, template, files
    count: int = Field(16, ge=1)
    seed: int = 0
    steps: int | None = Field(None, ge=1)  # network evaluations; None: the model's default
    conditions: dict[str, Any] = Field(default_factory=dict)  # see docs/generate.md and generate_sorbents.md
    settings: dict[str, Any] = Field(default_factory=dict)  # further settings of the chosen model
    out: str = "runs/generate"  # output folder


@dataclass(frozen=True)
class Batch:
    """Generated structures, and why the others failed."""

    structures: list[Structure]  # `structure.properties` holds the provenance
    failures: list[str] = field(default_factory=list)

    def write(self, folder: str | Path) -> list[Path]:
        """Write a folder; returns the paths written.

        One CIF a structure plus `provenance.jsonl`. Crystals are written with their symmetry in the conventional cell,
        and once more as they are: primitive cells atom by atom in `primitive/`, all of them in
        `extxyz/structures.extxyz` and, with their provenance, in `json/structures.json`. Frameworks, and crystals
        around a fixed part, are written atom by atom (P1) in the cell they have; generated frameworks in extxyz and
        JSON too, and their building blocks in `beads/`, from which they can be kept in part or started from.
        """
        folder = Path(folder)
        paths, records, names = [], [], []
        crystals = [s.properties.get("proposer") == "crystals" for s in self.structures]
        for position, structure in enumerate(self.structures):
            name = f"{position:04d}_{structure.composition.reduced_formula}"
            symmetric = crystals[position] and "fixed" not in structure.properties
            text = structure.to(fmt="cif", symprec=SYMPREC) if symmetric else format_cif(structure)
            paths.append(write_atomic(folder / f"{name}.cif", text))
            record = {"file": f"{name}.cif", **structure.properties}
            beads = record.pop("beads", None)
            if beads is not None:
                paths.append(write_atomic(folder / "beads" / f"{name}.json", json.dumps(beads)))
            records.append(record)
            names.append(name)
        lines = "\n".join(json.dumps(record, default=str) for record in records)
        paths.append(write_atomic(folder / "provenance.jsonl", lines + "\n"))
        if any(crystals):
            for name, structure in zip(names, self.structures, strict=True):
                paths.append(write_atomic(folder / "primitive" / f"{name}.cif", format_cif(structure, name)))
        if any("model_sha256" in record for record in records):
            paths += _write_tables(folder, self.structures, names, records)
        return paths


def _write_tables(
    folder: Path, structures: list[Structure], names: list[str], records: list[dict[str, Any]]
) -> list[Path]:
    """The cells as generated, all in one file, in two formats."""
    paths = [write_structures(folder / "extxyz" / "structures.extxyz", structures, names)]
    entries = [
        {"name": name, "structure": Structure.from_sites(list(structure)).as_dict(), "provenance": record}
        for name, structure, record in zip(names, structures, records, strict=True)
    ]
    paths.append(write_atomic(folder / "json" / "structures.json", json.dumps(entries, default=str)))
    return paths


def generate(settings: GenerateSettings, *, progress: bool = False) -> Batch:
    """Propose `settings.count` structures.

    Raises:
        InputError: an unknown model, setting or condition, each with the nearest valid one.
    """
    options = dict(settings.settings)
    if settings.steps is not None:
        options["steps"] = settings.steps
    if settings.conditions:
        options["conditions"] = settings.conditions
    proposer = load_proposer(settings.model, options)
    structures, failures = [], []
    proposals = proposer.propose(range(settings.count), settings.seed)
    for proposal in progress_bar(proposals, total=settings.count, desc=f"generate {settings.model}", progress=progress):
        if proposal.structure is None:
            failures.append(proposal.failure or "no reason given")
            continue
        proposal.structure.properties.update(proposal.provenance)
        structures.append(proposal.structure)
    return Batch(structures, failures)
