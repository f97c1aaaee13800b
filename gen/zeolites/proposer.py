"""The silica generator as a proposer of a campaign, with aluminium and cations where they are asked for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field

from gen.crystals.checkpoint import find_checkpoint, read_model
from gen.crystals.sampling import SamplingConfig
from gen.evaluation.reference import read_reference
from gen.proposal import Proposal
from gen.zeolites.aluminosilicates import DecorationConfig, decorate_as, named_framework
from gen.zeolites.generation import DRAWS, SYMMETRIC, SilicaSample, generate_silica
from gen.zeolites.known_nets import identify
from potentials.errors import InputError, SorbusError

CHUNK = 32  # samples generated at once


class ZeoliteSettings(SamplingConfig):
    """What the `zeolites` proposer may be told; the sampler's own settings are among them."""

    checkpoint: str = "zeolites"  # shipped weights by name, or a checkpoint folder
    steps: int = Field(default=20, ge=1)  # of the sampler
    conditions: dict[str, Any] = Field(default_factory=dict)  # num_atoms, space_group
    symmetric: float = Field(default=SYMMETRIC, ge=0, le=1)  # share of samples held to a space group
    draws: int = Field(default=DRAWS, ge=1)  # sets of silicon sites a sample is chosen from
    attempts: int = Field(default=5, ge=1)  # samples without a framework are drawn again
    framework: str = ""  # a known net (sod, FAU) or a silica structure's file, taken instead of generated frameworks
    decoration: DecorationConfig | None = None  # aluminium and cations; None: silica


class ZeoliteProposer:
    """Proposes frameworks: silica generated, bonded, relaxed by distance least squares, and decorated if so wanted.

    Raises:
        InputError: no such checkpoint or framework, or conditions it cannot meet.
    """

    name = "zeolites"

    def __init__(self, settings: ZeoliteSettings | None = None) -> None:
        self.settings = settings or ZeoliteSettings()
        self.sampling = SamplingConfig(**{name: getattr(self.settings, name) for name in SamplingConfig.model_fields})
        for key in self.settings.conditions:
            if key not in ("num_atoms", "space_group"):
                raise InputError(f"the zeolites proposer knows no condition {key!r}: give num_atoms or space_group")
        if self.settings.framework:
            if self.settings.conditions:
                raise InputError("conditions are for generated frameworks: leave them out, or settings.framework")
            if self.settings.decoration is None:
                raise InputError(
                    "settings.framework without settings.decoration would give the same silica every time: "
                    "add settings.decoration.si_al=10, say"
                )
            self.host = named_framework(self.settings.framework)
            return
        folder = find_checkpoint(self.settings.checkpoint)
        self.model, self.reference = read_model(folder), read_reference(folder)

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one `Proposal` for each index, in order."""
        if self.settings.framework:
            for index in indices:
                provenance = {
                    "proposer": self.name,
                    "seed": seed,
                    "index": index,
                    "framework": self.settings.framework,
                }
                yield self._decorated(Proposal(index, self.host, provenance), seed)
            return
        for start in range(0, len(indices), CHUNK):
            for sample in generate_silica(
                self.model,
                self.reference,
                indices[start : start + CHUNK],
                seed,
                self.settings.conditions,
                self.sampling,
                symmetric=self.settings.symmetric,
                draws=self.settings.draws,
                attempts=self.settings.attempts,
            ):
                yield self._decorated(self._silica(sample, seed), seed)

    def _silica(self, sample: SilicaSample, seed: int) -> Proposal:
        provenance = {
            "proposer": self.name,
            "model_sha256": self.model.sha256,
            "seed": seed,
            "index": sample.index,
            "conditions": self.settings.conditions,
            "sampling": self.sampling.model_dump(mode="json"),
            "space_group_held": None if sample.sites is None else sample.sites.space_group,
            "draws": self.settings.draws,
            "attempts": sample.attempts,
        }
        if sample.framework is None:
            return Proposal(sample.index, None, provenance, failure=sample.fault)
        key, names = identify(sample.framework)
        provenance |= {"net_key": key, "net_names": list(names), "strain_ev_silicon": sample.strain}
        return Proposal(sample.index, sample.framework.to_structure(), provenance)

    def _decorated(self, proposal: Proposal, seed: int) -> Proposal:
        """With aluminium and cations, drawn from (seed, index); a framework that cannot have them is a failure."""
        wanted = self.settings.decoration
        if wanted is None or proposal.structure is None:
            return proposal
        own = int(np.random.SeedSequence([seed, proposal.index]).generate_state(1)[0])
        provenance = {**proposal.provenance, "decoration": wanted.model_dump(mode="json")}
        try:
            made, supercell = decorate_as(proposal.structure, wanted, own)
        except SorbusError as error:
            return Proposal(proposal.index, None, provenance, failure=str(error))
        provenance |= {
            "supercell": list(supercell),
            "aluminium": made.aluminium,
            "si_al": made.silicon_per_aluminium,
            "cations": made.cations,
        }
        return Proposal(proposal.index, made.structure, provenance)
