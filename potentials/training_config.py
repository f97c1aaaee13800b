"""Everything that can be set about training a potential, typed."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic

from potentials.config import Config
from potentials.dataset import LabelConfig
from potentials.long_range import LongRangeConfig
from potentials.network import NetworkConfig

Positive = Annotated[float, pydantic.Field(gt=0)]
Fraction = Annotated[float, pydantic.Field(gt=0, lt=1)]


class DataConfig(Config):
    """Where the labelled structures are."""

    train: Path  # extended XYZ (plain, .gz, .xz) or ASE database (.db, .aselmdb)
    validation: Path | None = None  # another file; without one a part of `train` is held out
    validation_fraction: Fraction = 0.1  # of `train`, chosen by `seed`
    labels: LabelConfig = LabelConfig()


class FinetuneConfig(Config):
    """What to start from, and how not to forget it."""

    checkpoint: Path  # folder of a trained potential; its network, elements and weights are taken over
    # Structures (a file or folder: CIF, POSCAR, extended XYZ) the old model labels itself, mixed into training
    replay: Path | None = None
    replay_share: Fraction = 0.3  # of the training frames


class LossConfig(Config):
    """Weights of mean squared (or Huber) errors in eV/atom, eV/Å and, for virials, eV/atom."""

    energy: Positive = 1.0  # at the start
    energy_final: Positive = 100.0  # at the end; geometric in between
    forces: Positive = 1.0
    stress: Positive = 1.0
    # of atoms' energies, eV, where `data.labels.site_energies_key` names them; out of hashes where left alone
    site_energies: Positive = pydantic.Field(default=1.0, exclude_if=lambda weight: weight == 1.0)
    kind: Literal["huber", "mse"] = "huber"
    huber_delta: Positive = 1.0  # errors beyond it (eV/atom, eV/Å) count linearly


_RATE = 0.01
_FINETUNING = 0.1  # of it: weights that are good already are to be moved, not lost
_ATOMS_A_BATCH, _LARGEST_BATCH = 100, 16


class TrainConfig(Config):
    """How long and how fast."""

    epochs: Annotated[int, pydantic.Field(ge=1)] = 200
    max_minutes: Positive | None = None  # a budget instead of `epochs`: schedules then follow the clock
    patience: Annotated[int, pydantic.Field(ge=1)] | None = None  # epochs without improvement before it ends early
    batch_size: Annotated[int, pydantic.Field(ge=1)] | None = None  # frames; null: of about 100 atoms, 16 at most
    optimizer: Literal["adamw", "soap"] = "soap"  # soap: fewer steps, a little dearer each (`potentials.soap`)
    lr: Positive | None = None  # highest rate; null: 0.01, a tenth of that when fine-tuning
    warmup_steps: Annotated[int, pydantic.Field(ge=0)] = 100
    weight_decay: Annotated[float, pydantic.Field(ge=0)] = 0.0
    gradient_clip: Positive = 10.0  # norm
    # turn each frame of a batch at random (rotations and reflections); by default where the network is not equivariant
    random_rotations: bool | None = None
    ema: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.999  # of the weights that are validated and saved
    loss: LossConfig = LossConfig()
    # how a loss on forces is differentiated: by differences of energies (to 1e-4 of the gradient, a fifth to a third
    # faster, half the memory), or exactly, twice; with long-range charges always exactly
    force_gradient: Literal["differences", "exact"] = "differences"
    save_minutes: Positive = 2.0  # between states a killed run resumes from
    device: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Annotated[int, pydantic.Field(ge=1)] = 1  # GPUs, or processes on a CPU, that share each batch
    # what computes the network's products: torch, or on an NVIDIA GPU the fused kernels of `potentials.kernels`
    kernels: Literal["torch", "cuequivariance"] = "torch"

    def rate(self, finetuning: bool = False) -> float:
        """The highest learning rate: the one given, or 0.01; twice that learns faster for minutes, then breaks down."""
        if self.lr is not None:
            return self.lr
        return _RATE * (_FINETUNING if finetuning else 1.0)

    def frames_a_batch(self, atoms: float) -> int:
        """Frames of a batch: as many as given, or as fit, for frames of so many atoms on average."""
        return self.batch_size or min(_LARGEST_BATCH, max(1, round(_ATOMS_A_BATCH / atoms)))


class PotentialTrainingConfig(Config):
    """`sorbus train potential`: one YAML file."""

    name: str = "potential"  # the trained potential's short name
    out: Path = Path("runs/potential")  # folder for checkpoint, curves and state
    seed: Annotated[int, pydantic.Field(ge=0)] = 0
    data: DataConfig
    network: NetworkConfig = NetworkConfig()
    precision: Literal["float32", "float64"] = "float32"
    zbl: bool = False  # screened nuclear repulsion inside bond lengths
    # smooth energies of pairs, fitted to the labels beforehand, that the network learns what is missing from
    # (`potentials.pair_baseline`); null: for molecules, where there are forces and few elements
    pair_baseline: bool | None = None
    long_range: LongRangeConfig | None = None  # latent charges and their electrostatic energy; {} for the defaults
    # eV by symbol, e.g. isolated atoms: {H: -13.6}; without them they are fitted to the data
    reference_energies: dict[str, float] | None = None
    start: FinetuneConfig | None = None  # fine-tune a trained potential instead of training a new one
    train: TrainConfig = TrainConfig()
