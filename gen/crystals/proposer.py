"""The crystal generator as a proposer of a campaign."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from gen.crystals.generation import Generated, generate_crystals, make_task, symmetrize
from gen.crystals.sampling import SamplingConfig
from gen.generator import Generator
from gen.proposal import Proposal

CHUNK = 32  # structures generated at once; larger batches are hardly faster on a CPU and hold up the campaign


class CrystalSettings(SamplingConfig):
    """What the `crystals` proposer may be told; the sampler's own settings are among them."""

    checkpoint: str = "crystals"  # shipped weights by name, or a checkpoint folder
    conditions: dict[str, Any] = Field(default_factory=dict)  # as `gen.crystals.conditions` describes
    symmetrize: bool = True  # impose the symmetry spglib finds, and give the primitive cell
    symprec: float = Field(default=0.1, gt=0)  # Å


class CrystalProposer:
    """Proposes crystals of a trained generator; a faulty geometry is drawn again, up to ten times.

    Raises:
        InputError: no such checkpoint, or conditions it cannot meet.
    """

    name = "crystals"

    def __init__(self, settings: CrystalSettings | None = None) -> None:
        self.settings = settings or CrystalSettings()
        self.sampling = SamplingConfig(**{name: getattr(self.settings, name) for name in SamplingConfig.model_fields})
        self.model = Generator.from_pretrained(self.settings.checkpoint).model
        # refuse now what would otherwise fail at the first proposal
        make_task(self.model, self.settings.conditions, self.sampling)

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one `Proposal` for each index, in order."""
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            for result in generate_crystals(
                self.model, chunk, seed, self.settings.conditions, self.sampling, resample_invalid=True
            ):
                yield self._proposal(result, seed)

    def _proposal(self, result: Generated, seed: int) -> Proposal:
        provenance = {
            "proposer": self.name,
            "model_sha256": self.model.sha256,
            "seed": seed,
            "index": result.index,
            "attempts": result.attempts,
            "conditions": self.settings.conditions,
            "sampling": self.sampling.model_dump(mode="json"),
        }
        if result.structure is None or result.fault is not None:
            return Proposal(result.index, None, provenance, failure=result.fault)
        if not self.settings.symmetrize:
            return Proposal(result.index, result.structure, provenance)
        structure = symmetrize(result.structure, self.settings.symprec)
        provenance["space_group"] = structure.properties["space_group"]
        provenance["symprec"] = self.settings.symprec
        return Proposal(result.index, structure, provenance)
