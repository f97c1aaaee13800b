"""What a training would take, from a few of its own steps: `sorbus train potential --plan`."""

import resource
import sys
import time
from dataclasses import dataclass

import torch

from potentials.atom_graph import collate
from potentials.training import fit_to_device, prepare_training, trains_on_gpu
from potentials.training_config import PotentialTrainingConfig
from potentials.training_loop import EpochOrder, PotentialModule

_STEPS = 4  # timed, after one to warm up


@dataclass(frozen=True)
class TrainingPlan:
    """Estimates from steps that were run and thrown away."""

    frames: int
    validation_frames: int
    weights: int
    elements: int
    steps_per_epoch: int
    seconds_per_step: float  # median
    seconds_per_epoch: float  # with the validation
    hours: float  # the whole training
    memory_gib: float  # peak of this process so far, or of the card

    @property
    def text(self) -> str:
        """A few lines to read before starting."""
        whole = f"{self.hours:.2g} h" if self.hours >= 1 else f"{60 * self.hours:.2g} min"
        return "\n".join(
            [
                f"{self.frames} training and {self.validation_frames} validation frames, {self.elements} elements, "
                f"{self.weights} weights",
                f"{1000 * self.seconds_per_step:.0f} ms a step, {self.steps_per_epoch} steps an epoch, "
                f"{self.seconds_per_epoch:.3g} s an epoch with validation",
                f"the whole training: about {whole}, {self.memory_gib:.2g} GiB of memory",
            ]
        )


def plan_training(config: PotentialTrainingConfig) -> TrainingPlan:
    """Run a few steps on the largest and ordinary batches and scale up; writes nothing.

    Raises:
        InputError: as `train_potential` would, before it has cost anything.
    """
    config, model, frames, held_out, _ = prepare_training(config)
    fit_to_device(config, model)
    gpu = trains_on_gpu(config)
    device = torch.device("cuda" if gpu else "cpu")
    module = PotentialModule(config, model, frames, held_out).to(device)
    optimizer = module.configure_optimizers()
    order = EpochOrder(len(frames), module.batch_size, config.seed, 0).batches
    # memory peaks where the atoms are most; that batch warms up
    largest = max(order, key=lambda batch: sum(len(frames[i].numbers) for i in batch))
    seconds = []
    for rows in [largest, *order[:_STEPS]]:
        batch = collate([frames[i] for i in rows]).to(device)
        start = time.perf_counter()
        loss = module.batch_loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    step = sorted(seconds[1:] or seconds)[len(seconds[1:]) // 2]
    # a validation frame costs about a third of a training frame: no second backward pass
    epoch = step * (module.steps_per_epoch + len(held_out) / module.batch_size / 3)
    minutes = config.train.max_minutes
    hours = minutes / 60 if minutes is not None else epoch * config.train.epochs / 3600
    if gpu:
        memory = torch.cuda.max_memory_allocated() / 2**30
    else:
        # Linux counts KiB, macOS bytes
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return TrainingPlan(
        frames=len(frames),
        validation_frames=len(held_out),
        weights=sum(p.numel() for p in model.parameters()),
        elements=len(model.elements),
        steps_per_epoch=module.steps_per_epoch,
        seconds_per_step=step,
        seconds_per_epoch=epoch,
        hours=hours,
        memory_gib=memory,
    )
