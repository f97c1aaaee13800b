"""The Lightning side of training a potential: loss, schedules, averaged weights, batches in a reproducible order."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch_geometric.data import Batch

from potentials.atom_graph import AtomGraph, collate
from potentials.augmentation import random_orthogonal, turned
from potentials.difference_loss import difference_loss
from potentials.errors import InputError
from potentials.label_errors import LabelErrors
from potentials.loss_watch import has_risen
from potentials.neighbours import batch_neighbours
from potentials.network_potential import EnergyModel
from potentials.soap import SOAP
from potentials.training_config import PotentialTrainingConfig
from potentials.training_devices import (
    batch_mean,
    device_count,
    device_mean,
    device_rank,
    from_first,
    gathered,
    is_idle,
    share_of,
)

# a training has broken down when its loss is not finite, for so many steps so many times the mean of the first ones, or
# far above what it has been (`loss_watch`)
_BROKEN, _BROKEN_STEPS, _FIRST_STEPS = 1000.0, 10, 20
_RECOVERIES = 6  # each at half the rate of the one before
_FEW_ELEMENTS = 16  # with more, a batch holds few of them, and SOAP leaves the rows of what each has for itself alone


class PotentialModule(lightning.LightningModule):
    """One training run: the model, its averaged copy, where it stands, and the best weights so far.

    What a resumed run needs is `model`, `average`, `best`, the optimiser's moments and `progress`; the order of batches
    is a pure function of (seed, epoch), and nothing else is random once the weights are drawn.
    """

    def __init__(
        self,
        config: PotentialTrainingConfig,
        model: EnergyModel,
        training: Sequence[AtomGraph],
        validation: Sequence[AtomGraph],
    ) -> None:
        super().__init__()
        self.config, self.model = config, model
        self.train_frames, self.validation_frames = training, validation
        self.batch_size = config.train.frames_a_batch(sum(len(frame.numbers) for frame in training) / len(training))
        self.peak_rate = config.train.rate(finetuning=config.start is not None)
        self.average = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.best = {name: p.clone() for name, p in self.average.items()}
        self.progress: dict[str, Any] = {
            "epoch": 0,
            "batch": 0,  # done in this epoch
            "step": 0,
            "seconds": 0.0,
            "cpu_seconds": 0.0,  # of this process: on a shared machine the fairer clock
            "loss_sum": 0.0,  # over this epoch's batches so far
            "forces_sum": 0.0,  # mean squared errors of the forces of those batches, (eV/Å)^2
            "first_loss": 0.0,  # mean over the first steps
            "wild_steps": 0,  # on end
            "watched": {},  # recent losses, see `loss_watch`
            "broken_gradient": False,  # of the last step, which was not taken
            "recoveries": 0,
            "warm_from": 0,  # step at which the last warm-up began
            "best_score": None,
            "best_epoch": None,
            "history": [],
            "finished": False,
        }
        self._clocks = (time.monotonic(), time.process_time())
        self._errors = LabelErrors()
        self._forces_error: Tensor | None = None  # mean square of the last batch, (eV/Å)^2

    # ---- schedules -------------------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.train_frames) / self.batch_size)

    def fraction_done(self) -> float:
        """Of the whole training, 0 to 1: by steps, or by the clock where minutes are the budget."""
        train = self.config.train
        if train.max_minutes is not None:
            return min(1.0, self.progress["seconds"] / (60 * train.max_minutes))
        return min(1.0, self.progress["step"] / (train.epochs * self.steps_per_epoch))

    def learning_rate(self) -> float:
        """Linear warm-up over `warmup_steps`, then half a cosine to one hundredth; half of it after each recovery."""
        train, progress = self.config.train, self.progress
        warm = min(1.0, (progress["step"] - progress["warm_from"] + 1) / max(train.warmup_steps, 1))
        decline = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.fraction_done()))
        return self.peak_rate * 0.5 ** progress["recoveries"] * warm * decline

    def energy_weight(self) -> float:
        """Geometric from `energy` to `energy_final`: forces shape the surface first, then energies settle."""
        loss = self.config.train.loss
        return loss.energy * (loss.energy_final / loss.energy) ** self.fraction_done()

    def turns_frames(self) -> bool:
        """Whether training frames are turned at random."""
        wanted = self.config.train.random_rotations
        return self.config.network.architecture == "plain" if wanted is None else wanted

    # ---- loss ------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, output: dict[str, Tensor], idle: bool = False) -> Tensor:
        """Weighted mean penalties of energies per atom, force components, virials per atom and energies of sites.

        Means go over the batches of all devices; an `idle` device's does not count.
        """
        weights = self.config.train.loss
        sizes = torch.bincount(batch.batch, minlength=batch.num_graphs)
        energy = self._penalty((output["energy"] - batch.energy) / sizes)
        total = self.energy_weight() * batch_mean(energy, idle)
        if "forces" in batch:
            difference = output["forces"] - batch.forces
            total = total + weights.forces * batch_mean(self._penalty(difference), idle)
            self._forces_error = batch_mean(difference.detach().square(), idle)
        if "stress" in batch:
            per_atom = torch.linalg.det(batch.cell).abs() / sizes
            virial = (output["stress"] - batch.stress) * per_atom[:, None, None]
            virial = virial[batch.stress.isfinite()]  # systems without a volume have none
            total = total + weights.stress * batch_mean(self._penalty(virial), idle)
        if "site_energies" in batch:
            sites = self._penalty(output["site_energies"] - batch.site_energies)
            total = total + weights.site_energies * batch_mean(sites, idle)
        return total

    def batch_loss(self, batch: Batch, idle: bool = False) -> Tensor:
        """`loss` of the model on a batch, ready for its backward pass."""
        neighbours, stress = batch_neighbours(batch), "stress" in batch
        if self.model.long_range is not None or self.config.train.force_gradient == "exact":
            return self.loss(batch, self.model(batch, neighbours, stress=stress, differentiable=True), idle)
        return difference_loss(
            self.model, batch, neighbours, lambda output: self.loss(batch, output, idle), stress=stress
        )

    def _penalty(self, difference: Tensor) -> Tensor:
        loss = self.config.train.loss
        if loss.kind == "mse":
            return difference.square()
        delta = loss.huber_delta  # scaled so that it is the square near zero
        size = difference.abs()
        return torch.where(size < delta, size.square(), delta * (2 * size - delta))

    # ---- Lightning -------------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW or SOAP; decay only where a matrix mixes features."""
        count = len(self.model.elements)
        rows_are_elements = {id(p) for p in self.model.parameters() if p.ndim > 1 and len(p) == count > _FEW_ELEMENTS}
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        decay = self.config.train.weight_decay
        groups: list[dict[str, Any]] = [
            {"params": [p for p in decayed if id(p) not in rows_are_elements], "weight_decay": decay},
            {"params": [p for p in self.model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if rows_are_elements:
            rare = [p for p in decayed if id(p) in rows_are_elements]
            groups.append({"params": rare, "weight_decay": decay})
        if self.config.train.optimizer == "soap":
            if rows_are_elements:
                groups[-1]["rows"] = False
            return SOAP(groups, lr=self.peak_rate, betas=(0.9, 0.999))
        return torch.optim.AdamW(groups, lr=self.peak_rate, betas=(0.9, 0.999), amsgrad=False)

    def train_dataloader(self) -> DataLoader:
        """What is left of the present epoch; Lightning asks again every epoch."""
        order = EpochOrder(
            len(self.train_frames),
            self.batch_size,
            self.config.seed,
            self.progress["epoch"],
            self.progress["batch"],
            share=(device_rank(), device_count()),
        )
        return _loader(self.train_frames, batch_sampler=order)

    def val_dataloader(self) -> DataLoader:
        mine = self.validation_frames[device_rank() :: device_count()]
        return _loader(mine, batch_size=2 * self.batch_size)

    def on_fit_start(self) -> None:
        for kept in (self.average, self.best):
            kept |= {name: value.to(self.device) for name, value in kept.items()}
        self._clocks = (time.monotonic(), time.process_time())

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.learning_rate()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        frames = self._frames_in_batch()
        if self.turns_frames():
            turns = random_orthogonal(frames, self.config.seed, self.progress["step"])
            batch = turned(batch, turns[share_of(range(frames), device_rank(), device_count())])
        loss = self.batch_loss(batch, is_idle(frames))
        whole = device_mean(loss)
        if self._has_broken_down(whole):
            self._go_back(whole)
            loss = self.batch_loss(batch, is_idle(frames))
            whole = device_mean(loss)
        self.progress["loss_sum"] += whole
        if self._forces_error is not None:
            self.progress["forces_sum"] += device_mean(self._forces_error)
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Shorten gradients that are too long; with one that is not finite no step is taken."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip_val or math.inf)
        self.progress["broken_gradient"] = not bool(norm.isfinite())
        if self.progress["broken_gradient"]:
            optimizer.zero_grad(set_to_none=True)

    def _has_broken_down(self, loss: float) -> bool:
        progress, step = self.progress, self.progress["step"]
        if not math.isfinite(loss):
            return True
        if step < _FIRST_STEPS:
            progress["first_loss"] += (loss - progress["first_loss"]) / (step + 1)
        wild = step >= _FIRST_STEPS and loss > _BROKEN * progress["first_loss"]
        progress["wild_steps"] = progress["wild_steps"] + 1 if wild else 0
        if progress["broken_gradient"] or progress["wild_steps"] >= _BROKEN_STEPS:
            return True
        growth = max(1.0, self.energy_weight() / self.config.train.loss.energy)
        # at the last rate it may lie where it lies: no reason to give up, as a loss is that no rate cures
        return has_risen(progress["watched"], loss / growth) and progress["recoveries"] < _RECOVERIES

    def _go_back(self, loss: float) -> None:
        """To the best weights so far, with half the rate.

        Raises:
            InputError: that was done often enough.
        """
        progress = self.progress
        if progress["recoveries"] == _RECOVERIES:
            raise InputError(
                f"the loss is {loss:.3g} at step {progress['step']}, again and at {0.5**_RECOVERIES:g} of the rate: "
                f"lower train.lr ({self.peak_rate:g}), use train.loss.kind=huber, or look for broken labels"
            )
        progress |= {"recoveries": progress["recoveries"] + 1, "warm_from": progress["step"]}
        progress |= {"wild_steps": 0, "broken_gradient": False, "watched": {}}
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.best[name])
                self.average[name].copy_(self.best[name])
        self.optimizers().optimizer.state.clear()  # type: ignore[union-attr]
        logging.getLogger(__name__).warning(
            "the loss broke down to %.3g at step %d: going on from the best weights so far at half the rate, %.2g",
            loss,
            progress["step"],
            self.peak_rate * 0.5 ** progress["recoveries"],
        )

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step = self.progress["step"] = self.progress["step"] + 1
        self.progress["batch"] += 1
        decay = min(self.config.train.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - decay)
        self._read_clocks()
        minutes = self.config.train.max_minutes
        if minutes is not None and self.progress["seconds"] > 60 * minutes:
            self.trainer.should_stop = True

    def on_validation_start(self) -> None:
        self._swap()
        self._errors = LabelErrors()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._errors.add(batch, self.model(batch, batch_neighbours(batch), stress="stress" in batch))

    def on_validation_end(self) -> None:
        """Close the epoch (before any callback's `on_train_epoch_end`): history, and the weights if best."""
        self._swap()
        self._errors = LabelErrors.merged(gathered(self._errors))
        errors = self._errors.summary()
        score = self.score(errors)
        progress = self.progress
        if progress["best_score"] is None or score < progress["best_score"]:
            progress |= {"best_score": score, "best_epoch": progress["epoch"]}
            self.best = {name: value.clone() for name, value in self.average.items()}
        self._read_clocks()
        batches = max(progress["batch"], 1)
        # of the weights as the epoch went; far below those of held-out frames: learned by heart
        of_forces = {"train_forces_rmse": 1000 * math.sqrt(progress["forces_sum"] / batches)}
        row = {
            "epoch": progress["epoch"],
            "step": progress["step"],
            "lr": self.learning_rate(),
            "train_loss": progress["loss_sum"] / batches,
            **(of_forces if "forces_rmse" in errors else {}),
            **{f"validation_{key}": value for key, value in errors.items()},
            "seconds": round(progress["seconds"], 2),
            "cpu_seconds": round(progress["cpu_seconds"], 2),
        }
        progress["history"] = [*progress["history"], row]
        progress |= {"epoch": progress["epoch"] + 1, "batch": 0, "loss_sum": 0.0, "forces_sum": 0.0}
        patience = self.config.train.patience
        if patience is not None and progress["epoch"] - 1 - progress["best_epoch"] >= patience:
            self.trainer.should_stop = True

    def score(self, errors: dict[str, float]) -> float:
        """What "best" means: the squared errors weighted as the loss weights them at the end."""
        weights = self.config.train.loss
        parts = {"energy": weights.energy_final, "forces": weights.forces, "stress": weights.stress}
        return sum(weight * (errors.get(f"{key}_rmse", 0.0) / 1000) ** 2 for key, weight in parts.items())

    def _read_clocks(self) -> None:
        clocks = (time.monotonic(), time.process_time())
        for key, before, now in zip(("seconds", "cpu_seconds"), self._clocks, clocks, strict=True):
            self.progress[key] += now - before
        self.progress["seconds"] = from_first(self.progress["seconds"], self.device)
        self._clocks = clocks

    def _frames_in_batch(self) -> int:
        """Frames of the present batch on all devices."""
        size = self.batch_size
        return min(size, len(self.train_frames) - size * self.progress["batch"])

    def _swap(self) -> None:
        """Exchange the weights with their average."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                kept = parameter.detach().clone()
                parameter.copy_(self.average[name])
                self.average[name] = kept


class EpochOrder(Sampler[list[int]]):
    """Batches of one epoch from `first_batch` on; the order is a pure function of (seed, epoch).

    `share` is (rank, count) of the devices each batch is shared out to.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, epoch: int, first_batch: int = 0, share: tuple[int, int] = (0, 1)
    ) -> None:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(count, generator=generator).tolist()
        batches = [order[i : i + batch_size] for i in range(0, count, batch_size)][first_batch:]
        self.batches = [share_of(batch, *share) for batch in batches]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _loader(frames: Sequence[AtomGraph], **options: Any) -> DataLoader:
    gather: Callable[[list[AtomGraph]], Batch] = collate
    return DataLoader(list(frames), collate_fn=gather, num_workers=0, **options)  # type: ignore[arg-type]
