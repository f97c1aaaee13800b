"""The crystal generator as a proposer of a campaign."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gen.crystals.generation import Generated, generate_crystals, symmetrize
from gen.crystals.sampling import SamplingConfig
from gen.generator import Generator
from gen.proposal import Proposal

CHUNK = 32  # structures generated at once; larger batches are hardly faster on a CPU and hold up the campaign


@dataclass
class CrystalProposer:
    """Proposes crystals from a trained generator; faulty geometries are drawn again."""

    model: str = "crystals"  # shipped name or checkpoint folder
    conditions: Mapping[str, Any] = field(default_factory=dict)
    sampling: SamplingConfig = field(default_factory=lambda: SamplingConfig())
    symmetrized: bool = False
    symprec: float = 0.1  # Å
    name: str = "crystals"

    def __post_init__(self) -> None:
        self._model = Generator.from_pretrained(self.model).model

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one `Proposal` for each index, in order."""
        for start in range(0, len(indices), CHUNK):
            yield from map(
                self._proposal,
                generate_crystals(
                    self._model,
                    indices[start : start + CHUNK],
                    seed,
                    self.conditions,
                    self.sampling,
                    resample_invalid=True,
                ),
                [seed] * CHUNK,
            )

    def _proposal(self, result: Generated, seed: int) -> Proposal:
        provenance = {
            "proposer": self.name,
            "model_sha256": self._model.sha256,
            "seed": seed,
            "index": result.index,
            "attempts": result.attempts,
            "conditions": dict(self.conditions),
            "sampling": self.sampling.model_dump(mode="json"),
        }
        if result.structure is None or result.fault is not None:
            return Proposal(result.index, None, provenance, failure=result.fault)
        structure = symmetrize(result.structure, self.symprec) if self.symmetrized else result.structure
        return Proposal(result.index, structure, provenance)
