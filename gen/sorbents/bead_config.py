"""Configuration of the learned sorbent generator's training."""

from typing import Literal

from pydantic import Field, model_validator

from gen.crystals.config import NetworkConfig, ProcessConfig, TrainConfig
from potentials.config import Config

LENGTH = 3.0  # Å; distances between beads divided by it look to the network like distances between atoms

Label = Literal["void_fraction", "pld_angstrom", "log10_co2_henry", "co2_heat", "density_g_cm3"]
LABELS: tuple[Label, ...] = ("void_fraction", "pld_angstrom", "log10_co2_henry", "co2_heat", "density_g_cm3")


class BeadDataConfig(Config):
    """Which frameworks are learnt."""

    path: str | tuple[str, ...] = (
        "runs/dataset/mofs.jsonl.gz"  # of `sorbus dataset mofs`; of several, first come counts
    )
    max_beads: int = Field(default=40, ge=2)  # in the primitive cell
    max_drawn: int = Field(default=16, ge=2)  # beads of the sets of roles that are drawn; larger ones only if asked for
    labels: tuple[Label, ...] = LABELS  # learnt as conditions, as far as rows carry them


class BeadTrainConfig(TrainConfig):
    """Optimiser and run length."""

    drop: float = Field(default=0.2, gt=0, lt=1)  # share of frameworks shown without any property, for guidance
    hide_net: float = Field(default=0.15, ge=0, le=1)  # share shown without the graph of their net
    jitter: float = Field(default=0.0, ge=0)  # noise on fingerprints, in their standard deviations over the library
    validate_every: int = Field(default=500, ge=1)  # updates
    checkpoint_seconds: float = Field(default=120.0, gt=0)


class BeadTrainingConfig(Config):
    """`sorbus train sorbents`."""

    out: str = "runs/train/sorbents"  # checkpoints, metrics.jsonl and the finished model
    base: str = ""  # a checkpoint of the same network and vocabulary to start from; none: random weights
    data: BeadDataConfig = BeadDataConfig()
    network: NetworkConfig = NetworkConfig()
    process: ProcessConfig = ProcessConfig()
    train: BeadTrainConfig = BeadTrainConfig()

    @model_validator(mode="after")
    def _invariant_lattice(self) -> "BeadTrainingConfig":
        if self.process.kind not in ("diffusion", "flow") or self.network.lattice_outputs != 6:
            raise ValueError("beads need process.kind = diffusion or flow, and network.lattice_outputs = 6")
        if self.network.kind != "pairs":
            raise ValueError("beads have one kind of network: leave network.kind out")
        return self
