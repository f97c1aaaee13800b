"""Train a potential on labelled structures: `train_potential` is `sorbus train potential`."""

import contextlib
import copy
import logging
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import lightning
import torch
from ase.data import chemical_symbols
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException

from potentials.atom_graph import AtomGraph
from potentials.bars import progress_bar
from potentials.checkpoint import WEIGHTS, save_checkpoint
from potentials.config import config_hash
from potentials.errors import InputError
from potentials.files import sha256_file
from potentials.finetuning import load_start, replay_frames, resolve_start
from potentials.kernels import use_kernels
from potentials.label_errors import errors_by_element, evaluate
from potentials.learning_curve import draw_element_errors, draw_learning_curve, draw_parity, write_metrics
from potentials.network_potential import EnergyModel, NetworkPotential
from potentials.new_model import new_model
from potentials.training_config import PotentialTrainingConfig
from potentials.training_data import free_atom_energies, lifts, load_frames
from potentials.training_devices import is_first_process
from potentials.training_loop import PotentialModule
from potentials.training_state import STATE, StateKeeper, load_state

METRICS, CURVE, PARITY, ELEMENTS = "metrics.csv", "learning_curve.png", "parity.png", "errors_by_element.png"


class Tracker(Protocol):
    """Anything that takes numbers as training goes, e.g. a wandb run."""

    def log(self, values: dict[str, float], step: int) -> None:
        """Numbers at a step."""


def train_potential(
    config: PotentialTrainingConfig, *, resume: bool = True, tracker: Tracker | None = None, progress: bool = True
) -> Path:
    """Train, and leave in `config.out` the checkpoint, `metrics.csv`, pictures, and the state to resume from.

    With `train.epochs` a training killed at any moment and run again ends bit for bit (on one machine's CPU) where the
    uninterrupted one does. With `train.max_minutes` schedules follow the clock, so it ends alike, not identically.

    Args:
        config: everything that can be set.
        resume: continue from the state in `config.out`; off, or without one, start anew.
        tracker: gets validation errors once an epoch.
        progress: show a progress bar.

    Returns:
        The folder, which `potentials.checkpoint.load_checkpoint` reads.

    Raises:
        InputError: unusable data or settings, a state of another training, or a loss that is not finite.
        KeyboardInterrupt: Ctrl-C; what was saved last, two minutes or an epoch ago, stays.
    """
    config, model, frames, held_out, remembered = prepare_training(config, progress=progress)
    out, plain = config.out, copy.deepcopy(model)
    fit_to_device(config, model)
    module = PotentialModule(config, model, frames, held_out)
    identity = _identity(config)
    state = out / STATE
    moments: dict[str, dict[str, torch.Tensor]] = {}
    if resume and state.exists():
        moments = load_state(state, module, identity)
        done = f"{module.progress['step']} steps ({module.progress['epoch']} epochs)"
        finished = f"{out} was finished after {done}, --fresh starts over"
        _say(progress, finished if module.progress["finished"] else f"resuming {out} after {done}")
    else:
        size = sum(p.numel() for p in model.parameters())
        symbols = ", ".join(chemical_symbols[z] for z in model.elements)
        _say(progress, f"{len(frames)} training and {len(held_out)} validation frames of {symbols}; {size} weights")
    if not module.progress["finished"]:
        keeper = StateKeeper(state, identity, config.train.save_minutes, moments)
        callbacks = [_Reporter(out, tracker, progress), keeper]
        trainer = _trainer(config, module, callbacks)
        try:
            with _quiet():
                trainer.fit(module)
        except SystemExit as stop:  # what Lightning makes of Ctrl-C and of SIGTERM
            _say(
                progress,
                f"stopped after {module.progress['step']} steps ({module.progress['epoch']} epochs): the same command "
                f"goes on from {state if state.exists() else 'the start'}",
            )
            if isinstance(stop, SIGTERMException):
                raise SystemExit(128 + signal.SIGTERM) from None
            raise KeyboardInterrupt from None
        module.progress["finished"] = True
        keeper.save(trainer, module)
        if not trainer.is_global_zero:
            return out
    return _finish(config, plain, module, identity, remembered, progress)


class Prepared(NamedTuple):
    """Everything a training starts from."""

    config: PotentialTrainingConfig  # with the network of the checkpoint it starts from, when it does
    model: EnergyModel
    frames: list[AtomGraph]  # with neighbours
    held_out: list[AtomGraph]  # with neighbours
    remembered: list[AtomGraph]  # labelled by the model before fine-tuning, never trained on; empty otherwise


def prepare_training(config: PotentialTrainingConfig, *, progress: bool = False) -> Prepared:
    """Read the data, with bars where that takes long and `progress` is on, and make, or load, the model.

    Raises:
        InputError: unusable data, or settings that contradict the data or the checkpoint to start from.
    """
    config = resolve_start(config)
    frames, held_out, unbound = load_frames(config, progress=progress)
    if config.start is None:
        return Prepared(config, new_model(config, frames, held_out, unbound), frames, held_out, [])
    model = load_start(config, config.start, frames, held_out)
    model.know_free_atoms({**model.free_atoms, **lifts(free_atom_energies(unbound), model.reference_energies)})
    replayed, remembered = replay_frames(config.start, model, frames, config.seed)
    return Prepared(config, model, [*frames, *replayed], held_out, remembered)


def fit_to_device(config: PotentialTrainingConfig, model: EnergyModel) -> None:
    """See that the device asked for is there, and put the kernels of `train.kernels` into the model.

    Raises:
        InputError: there is no GPU, the kernels' package is missing, or the network has no use for them.
    """
    if config.train.device == "gpu" and not torch.cuda.is_available():
        raise InputError("train.device is gpu and torch sees none: set train.device=cpu, or install torch for your GPU")
    if config.train.kernels != "torch" and not trains_on_gpu(config):
        raise InputError(
            f"train.kernels {config.train.kernels} run on an NVIDIA GPU, and this training would run on the CPU: "
            "leave train.kernels at torch, or install torch for your GPU"
        )
    use_kernels(model, config.train.kernels)


def trains_on_gpu(config: PotentialTrainingConfig) -> bool:
    """Whether the training will find a GPU to run on."""
    return config.train.device != "cpu" and torch.cuda.is_available()


def _identity(config: PotentialTrainingConfig) -> dict[str, Any]:
    """What must be the same for a state to be continued: everything but where it is written."""
    data = config.data
    # a folder that moved, or a longer name for the same file, is the same training; the data are told by their hash
    neutral = config.model_copy(
        update={
            "out": Path("."),
            "data": data.model_copy(update={"train": Path(), "validation": None}),
            "train": config.train.model_copy(update={"device": "auto", "devices": 1, "kernels": "torch"}),
            "start": config.start and config.start.model_copy(update={"checkpoint": Path()}),
        }
    )
    return {
        "configuration": config_hash(neutral),
        "training data": sha256_file(data.train),
        "start": sha256_file(config.start.checkpoint / WEIGHTS) if config.start else None,
        "validation data": sha256_file(data.validation) if data.validation else None,
    }


def _trainer(
    config: PotentialTrainingConfig, module: PotentialModule, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    devices = config.train.devices
    if devices > module.batch_size:
        raise InputError(
            f"train.devices is {devices} and train.batch_size {module.batch_size}: each device needs a frame"
        )
    if devices > 1 and config.train.device != "cpu" and 0 < torch.cuda.device_count() < devices:
        raise InputError(f"train.devices is {devices} and torch sees {torch.cuda.device_count()} GPUs: lower it")
    minutes = config.train.max_minutes is not None
    with _quiet():
        return lightning.Trainer(
            accelerator=config.train.device,
            devices=devices,
            # all buffers are constants, and what a batch leaves unused (an element, a stress) differs between devices
            strategy=DDPStrategy(find_unused_parameters=True, broadcast_buffers=False) if devices > 1 else "auto",
            use_distributed_sampler=False,  # `EpochOrder` shares batches out
            max_epochs=-1 if minutes else config.train.epochs - module.progress["epoch"],
            gradient_clip_val=config.train.gradient_clip,
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            inference_mode=False,  # forces are gradients, in validation too
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=callbacks,
        )


def _finish(
    config: PotentialTrainingConfig,
    model: EnergyModel,
    module: PotentialModule,
    identity: dict[str, Any],
    remembered: Sequence[AtomGraph],
    progress: bool,
) -> Path:
    """The best averaged weights as a checkpoint, with what they were made from and how good they are.

    `model` has the shape of the one trained, and the products of any device; `remembered` are structures as the model
    labelled them before fine-tuning, errors on which tell what it forgot.
    """
    weights = {**module.model.state_dict(), **module.best}
    model.load_state_dict({name: value.cpu() for name, value in weights.items()})
    potential = NetworkPotential(model, config.name)
    errors = evaluate(potential, module.validation_frames)
    forgotten = evaluate(potential, remembered) if remembered else {}
    training = {
        "data": config.data.train.name,
        "data_sha256": identity["training data"],
        "validation_data_sha256": identity["validation data"],
        "frames": {"training": len(module.train_frames), "validation": len(module.validation_frames)},
        "config_hash": config_hash(config),
        "config": config.model_dump(mode="json", exclude={"out", "data", "network"}),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "batch_size": module.batch_size,
        "lr": module.peak_rate,
        "seed": config.seed,
        "epochs": module.progress["epoch"],
        "best_epoch": module.progress["best_epoch"],
        "steps": module.progress["step"],
        "wall_seconds": round(module.progress["seconds"], 1),
        "cpu_seconds": round(module.progress["cpu_seconds"], 1),
        "validation_errors": {key: round(value, 4) for key, value in errors.items()},
        "start": config.start and {"name": config.start.checkpoint.name, "weights_sha256": identity["start"]},
        "forgetting": {key: round(value, 4) for key, value in forgotten.items()} if remembered else None,
        "errors_by_element": errors_by_element(potential, module.validation_frames),
        "versions": {"torch": torch.__version__, "lightning": lightning.__version__},
    }
    save_checkpoint(config.out, model, name=config.name, training=training)
    write_metrics(config.out / METRICS, module.progress["history"])
    draw_learning_curve(config.out / CURVE, module.progress["history"])
    draw_parity(config.out / PARITY, potential, module.validation_frames)
    draw_element_errors(config.out / ELEMENTS, training["errors_by_element"])
    _say(progress, f"validation RMSE: {_in_words(errors)}; wrote {config.out}")
    if forgotten:
        _say(progress, f"away from the model of before on {len(remembered)} of its structures: {_in_words(forgotten)}")
    return config.out


def _in_words(errors: Mapping[str, float]) -> str:
    units = {"energy": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³"}
    told = {key: errors[f"{key}_rmse"] for key in units if f"{key}_rmse" in errors}
    return ", ".join(f"{key} {value:.3g} {units[key]}" for key, value in told.items())


class _Reporter(lightning.Callback):
    """Progress bar, `metrics.csv`, and the tracker; before the state is saved, so that all of them agree with it."""

    def __init__(self, out: Path, tracker: Tracker | None, progress: bool) -> None:
        self.out, self.tracker, self.progress = out, tracker, progress
        self.bar: Any = None

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, PotentialModule)
        form = "{desc} {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"
        self.bar = progress_bar(
            total=1.0,
            initial=module.fraction_done(),
            desc="training",
            bar_format=form,
            progress=self.progress and trainer.is_global_zero,
        )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(module, PotentialModule)
        self._advance(module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, PotentialModule)
        if not trainer.is_global_zero:
            return
        row = module.progress["history"][-1]
        write_metrics(self.out / METRICS, module.progress["history"])
        shown = {"E": f"{row['validation_energy_rmse']:.3g} meV/atom"}
        if "validation_forces_rmse" in row:
            shown["F"] = f"{row['validation_forces_rmse']:.3g} meV/Å"
        self.bar.set_postfix(epoch=row["epoch"] + 1, **shown, refresh=False)
        if self.tracker is not None:
            self.tracker.log({key: float(v) for key, v in row.items() if key != "step"}, row["step"])

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException
    ) -> None:
        if self.bar is not None:
            self.bar.close()  # what went wrong gets a line of its own

    def teardown(self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str) -> None:
        if self.bar is not None:
            self.bar.close()

    def _advance(self, module: PotentialModule) -> None:
        self.bar.update(module.fraction_done() - self.bar.n)


def _say(progress: bool, text: str) -> None:
    if progress and is_first_process():
        print(text, file=sys.stderr)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice on workers, loggers and accelerators is not for the user of this command."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (UserWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category, module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
