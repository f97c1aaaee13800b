"""Generate structures with any proposer and write them with their provenance."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field
from pymatgen.core import Structure
from tqdm import tqdm

from gen.proposers import load_proposer
from potentials.cif import format_cif
from potentials.config import Config
from potentials.files import write_atomic

SYMPREC = 0.01  # Å; the generator has symmetrised at a wider tolerance already


class GenerateSettings(Config):
    """What `sorbus generate` needs to know."""

    model: str = "crystals"  # a registered proposer: crystals, template, files
    count: int = Field(16, ge=1)
    seed: int = 0
    steps: int | None = Field(None, ge=1)  # network evaluations; None: the model's default
    conditions: dict[str, Any] = Field(default_factory=dict)  # chemical_system, composition, num_atoms
    settings: dict[str, Any] = Field(default_factory=dict)  # further settings of the chosen model
    out: str = "runs/generate"  # output folder


@dataclass(frozen=True)
class Batch:
    """Generated structures, and why the others failed."""

    structures: list[Structure]  # `structure.properties` holds the provenance
    failures: list[str] = field(default_factory=list)

    def write(self, folder: str | Path) -> list[Path]:
        """One CIF a structure plus `provenance.jsonl`; returns the paths written.

        Crystals are written with their symmetry, in the conventional cell; frameworks atom by atom (P1).
        """
        folder = Path(folder)
        paths = []
        records = []
        for position, structure in enumerate(self.structures):
            formula = structure.composition.reduced_formula
            name = f"{position:04d}_{formula}.cif"
            symmetric = structure.properties.get("proposer") == "crystals"
            text = structure.to(fmt="cif", symprec=SYMPREC) if symmetric else format_cif(structure)
            paths.append(write_atomic(folder / name, text))
            records.append(json.dumps({"file": name, **structure.properties}, default=str))
        paths.append(write_atomic(folder / "provenance.jsonl", "\n".join(records) + "\n"))
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
    for proposal in tqdm(proposals, total=settings.count, desc=f"generate {settings.model}", disable=not progress):
        if proposal.structure is None:
            failures.append(proposal.failure or "no reason given")
            continue
        proposal.structure.properties.update(proposal.provenance)
        structures.append(proposal.structure)
    return Batch(structures, failures)
