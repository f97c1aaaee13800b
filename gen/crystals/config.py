"""Configuration of crystal training: data, network, forward process, optimiser."""

from typing import Any, Literal

from pydantic import Field, model_validator

from potentials.config import Config

Source = Literal[
    "mp20_biternary_val",
    "mp20_biternary_test",
    "mpts52_val",
    "mpts52_test",
    "perov_5_val",
    "perov_5_test",
    "lemat_baseline",
    "matbench_dielectric",
]


class DataConfig(Config):
    """Which crystals are learnt, which are kept away, and where the reduced copies are cached."""

    sources: tuple[Source, ...] = ("mp20_biternary_val", "mpts52_val", "lemat_baseline", "matbench_dielectric")
    exclude_formulas_of: tuple[Source, ...] = ("mp20_biternary_test", "mpts52_test")  # every polymorph of these goes
    max_atoms: int = Field(default=20, ge=1)  # in the primitive cell
    exclude_elements: tuple[str, ...] = (
        # noble gases, and the radioactive elements that no one can make in quantity (Th and U stay)
        *("He", "Ne", "Ar", "Kr", "Xe", "Rn"),
        *("Tc", "Pm", "Po", "At", "Fr", "Ra", "Ac", "Pa", "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm"),
    )
    max_volume_per_atom: float = Field(default=120.0, gt=0)  # Å^3; beyond it lie molecules in boxes
    holdout: float = Field(default=0.05, gt=0, lt=1)  # share of reduced formulas kept for validation
    table: str | None = None  # cells prepared by another command, taken as they are; of the above max_atoms counts
    cache: str = "runs/data"
    workers: int = Field(default=2, ge=1)


# `network.size: nano` stands for these; single fields given beside it win
SIZES: dict[str, dict[str, int]] = {
    "nano": {"channels": 128, "edge_channels": 96, "layers": 4, "radial": 12},  # 0.6 million weights: CPU
    "small": {"channels": 256, "edge_channels": 192, "layers": 5, "radial": 16},  # 2.8 million: CPU overnight
    "base": {"channels": 512, "edge_channels": 384, "layers": 6, "radial": 16},  # 12 million: one GPU
}

# the same of `network.kind: equivariant`; its nano is what the kind alone stands for
EQUIVARIANT_SIZES: dict[str, dict[str, float]] = {
    "nano": {"channels": 48, "layers": 2, "radial": 10, "cutoff": 6.0},  # 0.3 million weights: CPU
    "small": {"channels": 96, "layers": 3, "radial": 12, "cutoff": 6.0},  # 1.5 million
    "base": {"channels": 192, "layers": 4, "radial": 12, "cutoff": 7.0},  # 8 million: one GPU
}
PAIRS_ONLY = ("edge_channels", "frequencies")


class NetworkConfig(Config):
    """Size of the network, by name (`size: nano`, `small`, `base`) or by its fields; 1.1 million weights by default."""

    # pairs: all pairs of a cell (`gen.crystals.network`); equivariant: neighbours, through the potentials' interaction
    # layers (`gen.crystals.equivariant_network`)
    kind: Literal["pairs", "equivariant"] = "pairs"
    channels: int = Field(default=160, ge=8)
    layers: int = Field(default=5, ge=1)
    edge_channels: int = Field(default=128, ge=8)  # width of the pair messages
    frequencies: int = Field(default=8, ge=1)  # Fourier frequencies of a fractional difference, per axis
    radial: int = Field(default=16, ge=4)  # Gaussians over the distances to periodic images
    cutoff: float = Field(default=8.0, gt=0)  # Å, of those Gaussians
    lattice_outputs: Literal[6, 9] = 6  # 9 for the process that runs on the raw lattice

    @model_validator(mode="before")
    @classmethod
    def _named_size(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        equivariant = values.get("kind") == "equivariant"
        if "size" not in values and not equivariant:
            return values
        name = values.get("size", "nano")
        if not isinstance(name, str) or name not in SIZES:
            raise ValueError(f"network size {name!r} is unknown: use one of {', '.join(SIZES)}")
        size = EQUIVARIANT_SIZES[name] if equivariant else SIZES[name]
        return {**size, **{key: value for key, value in values.items() if key != "size"}}

    @model_validator(mode="after")
    def _kind_knows_its_fields(self) -> "NetworkConfig":
        if self.kind == "equivariant":
            given = [key for key in PAIRS_ONLY if getattr(self, key) != type(self).model_fields[key].default]
            if given:
                raise ValueError(f"network.kind = equivariant has no {', '.join(given)}: leave them out")
            if self.lattice_outputs != 6:
                raise ValueError("network.kind = equivariant needs network.lattice_outputs = 6")
            if self.channels % 2:
                raise ValueError(f"network.kind = equivariant needs an even network.channels, not {self.channels}")
        return self


class ProcessConfig(Config):
    """The three forward processes; geometry (lattice and coordinates) and species carry independent times.

    `process: flow` is short for `process: {kind: flow}`.
    """

    # of lattice and coordinates; "diffcsp" and "diffcsp_denovo" are a published process, baselines and not to be used
    kind: Literal["diffusion", "flow", "diffcsp", "diffcsp_denovo"] = "diffusion"
    sigma_min: float = Field(default=0.005, gt=0)  # fractional, times N^(-1/3): one length in Å at one density
    sigma_max: float = Field(default=0.5, gt=0)  # fractional; uniform on the torus to 2 exp(-2 pi^2 sigma^2) = 1.4 %
    beta_min: float = Field(default=0.1, gt=0)
    beta_max: float = Field(default=20.0, gt=0)
    lattice_power: float = Field(default=3.0, gt=0)  # of time: settles the cell before the coordinates
    known_species: float = Field(default=0.35, ge=0, le=1)  # share of samples that learn structure prediction
    no_geometry: float = Field(default=0.3, ge=0, le=1)  # share whose geometry is pure noise: a model of compositions

    @model_validator(mode="before")
    @classmethod
    def _named_kind(cls, values: Any) -> Any:
        return {"kind": values} if isinstance(values, str) else values


class TrainConfig(Config):
    """Optimiser and run length; minutes, where given, replace epochs, and the learning rate follows the clock."""

    seed: int = 1
    epochs: int = Field(default=80, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)  # of training, over all resumptions
    batch_size: int = Field(default=64, ge=1)  # structures an update, in groups of equal atom count
    groups: int = Field(default=2, ge=1)  # equal-count groups an update
    lr: float = Field(default=1e-3, gt=0)
    lr_final: float = Field(default=1e-5, gt=0)
    warmup_steps: int = Field(default=300, ge=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    clip_norm: float = Field(default=3.0, gt=0)
    ema: float = Field(default=0.999, gt=0, lt=1)
    weight_coordinates: float = Field(default=2.0, ge=0)
    weight_lattice: float = Field(default=1.0, ge=0)
    weight_species: float = Field(default=1.0, ge=0)
    checkpoint_seconds: float = Field(default=180.0, gt=0)
    log_every: int = Field(default=50, ge=1)
    validate_every: int = Field(default=1000, ge=1)  # updates
    threads: int = Field(default=1, ge=1)
    device: str = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16 pays on processors and cards made for it


class CrystalTrainingConfig(Config):
    """`sorbus train crystals`."""

    out: str = "runs/train/crystals"  # checkpoints, metrics.jsonl and the finished model
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    process: ProcessConfig = ProcessConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _lattice_fits(self) -> "CrystalTrainingConfig":
        wanted = 9 if self.process.kind in ("diffcsp", "diffcsp_denovo") else 6
        if self.network.lattice_outputs != wanted:
            raise ValueError(f"process {self.process.kind} needs network.lattice_outputs = {wanted}")
        return self
