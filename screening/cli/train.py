"""`sorbus train crystals|sorbents|potential|charges`: train a model from a YAML configuration."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from screening.cli.arguments import add_config_options, print_config, resolve_config, verb_parser

if TYPE_CHECKING:
    from pathlib import Path

    from potentials.config import Config
    from screening.tracking import Tracker

_STRUCTURES = (".xyz", ".extxyz", ".xyz.gz", ".extxyz.gz", ".xyz.xz", ".extxyz.xz", ".db", ".aselmdb", ".lmdb")


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb and its kinds to the command line."""
    parser = verb_parser(
        verbs,
        "train",
        "Train the crystal or the sorbent generator, an interatomic potential or the charge network.",
        [
            "sorbus train crystals configs/train/crystals.yaml train.lr=5e-4",
            "sorbus train potential configs/train/potential.yaml data.train=frames.extxyz",
        ],
    )
    kinds = parser.add_subparsers(dest="kind", metavar="crystals|sorbents|potential|charges", required=True)
    for kind, summary in (
        ("crystals", "Train the crystal diffusion model."),
        ("sorbents", "Train the diffusion model of frameworks as building blocks."),
        ("potential", "Train the equivariant interatomic potential on an extxyz file."),
        ("charges", "Train the network that gives frameworks their partial charges."),
    ):
        examples = [f"sorbus train {kind} configs/train/{kind}.yaml"]
        if kind == "potential":
            examples += [
                "sorbus train potential data.train=frames.extxyz --plan",
                "sorbus train potential data.train=new.extxyz start.checkpoint=runs/potential start.replay=old/",
            ]
        sub = verb_parser(kinds, kind, summary, examples)
        add_config_options(sub, positional="a YAML file")
        sub.add_argument("--fresh", action="store_true", help="start over instead of resuming")
        sub.add_argument(
            "--wandb", choices=["off", "offline", "online"], default="off", help="log to Weights & Biases (default off)"
        )
        if kind == "potential":
            sub.add_argument("--plan", action="store_true", help="time a few steps, print what a run would take, stop")
        sub.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train with the chosen configuration; resumes when the output folder holds an unfinished run."""
    from potentials.errors import InputError
    from screening.cli.arguments import split_inputs

    paths, overrides = split_inputs(arguments)
    path = paths[0] if paths else arguments.config
    if len(paths) > 1:
        raise InputError(f"{paths[0]} and {paths[1]}: name one YAML file; data are given as data.train={paths[1]}")
    if arguments.kind == "potential" and path and path.endswith(_STRUCTURES):
        raise InputError(f"{path} is no configuration: write sorbus train potential data.train={path}")
    if arguments.kind == "potential":
        # every setting of a potential but its data has a default
        if path is None and not any(word.startswith(("data=", "data.train=")) for word in overrides):
            raise InputError("no training data: add data.train=frames.extxyz, or name a YAML file that does")
        return _train_potential(arguments, path)
    if path is None:
        raise InputError(
            f"name one configuration, e.g. sorbus train {arguments.kind} configs/train/{arguments.kind}.yaml"
        )
    if arguments.kind == "crystals":
        return _train_crystals(arguments, path)
    if arguments.kind == "sorbents":
        return _train_sorbents(arguments, path)
    return _train_charges(arguments, path)


def _train_charges(arguments: argparse.Namespace, path: str) -> int:
    from screening.adsorption.charge_fitting import ChargeFitConfig, train_charges

    config, _ = resolve_config(ChargeFitConfig, arguments, path)
    if arguments.print_config:
        return print_config(config)
    with _tracker(arguments, config, config.out) as tracker:
        folder = train_charges(config, resume=not arguments.fresh, log=tracker.log)
    print(f"model in {folder}")
    return 0


def _train_crystals(arguments: argparse.Namespace, path: str) -> int:
    from gen.crystals.training import CrystalTrainingConfig, train_crystals

    return _train_generator(arguments, path, CrystalTrainingConfig, train_crystals)


def _train_sorbents(arguments: argparse.Namespace, path: str) -> int:
    from gen.sorbents.bead_training import BeadTrainingConfig, train_sorbents

    return _train_generator(arguments, path, BeadTrainingConfig, train_sorbents)


def _train_generator(arguments: argparse.Namespace, path: str, kind: type[Any], train: "Callable[..., Path]") -> int:
    config, _ = resolve_config(kind, arguments, path)
    if arguments.print_config:
        return print_config(config)
    with _tracker(arguments, config, config.out) as tracker:
        command = " ".join([f"sorbus train {arguments.kind}", *arguments.inputs])
        folder = train(config, resume=not arguments.fresh, tracker=tracker, command=command)
    print(f"model in {folder}")
    return 0


def _train_potential(arguments: argparse.Namespace, path: str | None) -> int:
    from potentials.training import PotentialTrainingConfig, train_potential
    from potentials.training_devices import is_first_process

    config, _ = resolve_config(PotentialTrainingConfig, arguments, path)
    if arguments.print_config:
        return print_config(config)
    if arguments.plan:
        from potentials.training_plan import plan_training

        print(plan_training(config).text)
        return 0
    if not is_first_process():  # started by the first one for `train.devices`
        train_potential(config, resume=not arguments.fresh, progress=False)
        return 0
    with _tracker(arguments, config, config.out) as tracker:
        folder = train_potential(config, resume=not arguments.fresh, tracker=tracker)
        for name in ("learning_curve", "parity", "errors_by_element"):
            if (folder / f"{name}.png").is_file():  # matplotlib is an extra
                tracker.picture(name, folder / f"{name}.png")
    print(f"model in {folder}")
    return 0


@contextmanager
def _tracker(arguments: argparse.Namespace, config: "Config", folder: "str | Path") -> Iterator["Tracker"]:
    from screening.tracking import make_tracker

    name = f"train-{arguments.kind}"
    tracker = make_tracker(
        arguments.wandb, project="sorbus", name=name, config=config.model_dump(mode="json"), folder=folder
    )
    try:
        yield tracker
    finally:
        tracker.finish()
