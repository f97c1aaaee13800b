"""The silica generator as a proposer of a campaign."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from gen.crystals.checkpoint import find_checkpoint, read_model
from gen.crystals.sampling import SamplingConfig
from gen.evaluation.reference import read_reference
from gen.proposal import Proposal
from gen.zeolites.generation import SYMMETRIC, generate_silica
from gen.zeolites.known_nets import identify
from potentials.errors import InputError

CHUNK = 32  # samples generated at once


class ZeoliteSettings(SamplingConfig):
    """What the `zeolites` proposer may be told; the sampler's own settings are among them."""

    checkpoint: str = "zeolites"  # shipped weights by name, or a checkpoint folder
    conditions: dict[str, Any] = Field(default_factory=dict)  # num_atoms, space_group
    symmetric: float = Field(default=SYMMETRIC, ge=0, le=1)  # share of samples generated in a space group


class ZeoliteProposer:
    """Proposes silica frameworks: generated, bonded, relaxed by distance least squares.

    Raises:
        InputError: no such checkpoint, or conditions it cannot meet.
    """

    name = "zeolites"

    def __init__(self, settings: ZeoliteSettings | None = None) -> None:
        self.settings = settings or ZeoliteSettings()
        self.sampling = SamplingConfig(**{name: getattr(self.settings, name) for name in SamplingConfig.model_fields})
        for key in self.settings.conditions:
            if key not in ("num_atoms", "space_group"):
                raise InputError(f"the zeolites proposer knows no condition {key!r}: give num_atoms or space_group")
        folder = find_checkpoint(self.settings.checkpoint)
        self.model, self.reference = read_model(folder), read_reference(folder)

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one `Proposal` for each index, in order."""
        for start in range(0, len(indices), CHUNK):
            for sample in generate_silica(
                self.model,
                self.reference,
                indices[start : start + CHUNK],
                seed,
                self.settings.conditions,
                self.sampling,
                symmetric=self.settings.symmetric,
            ):
                provenance = {
                    "proposer": self.name,
                    "model_sha256": self.model.sha256,
                    "seed": seed,
                    "index": sample.index,
                    "conditions": self.settings.conditions,
                    "sampling": self.sampling.model_dump(mode="json"),
                    "space_group_asked": sample.space_group,
                }
                if sample.framework is None:
                    yield Proposal(sample.index, None, provenance, failure=sample.fault)
                    continue
                key, names = identify(sample.framework)
                provenance |= {"net_key": key, "net_names": list(names), "strain_ev_silicon": sample.strain}
                yield Proposal(sample.index, sample.framework.to_structure(), provenance)
