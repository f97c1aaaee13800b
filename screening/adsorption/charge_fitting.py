"""`sorbus train charges`: a charge model fitted to an archive of frameworks with known charges.

A network is trained, or networks trained before are taken; with `kernel` the charges of kindred atoms are fitted beside
them.
"""

import csv
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import pydantic
import torch
from pymatgen.core import Element

from potentials.charge_features import CHGNET_VERSION
from potentials.charge_kernel import ChargeKernel, ChargeKernelConfig, fit_charge_kernel
from potentials.charge_network import ChargeEnsemble, ChargeNetwork, ChargeNetworkConfig
from potentials.charge_training import (
    ChargeTrainConfig,
    LabelledGraph,
    best_shrinkage,
    charge_errors,
    shrink_corrections,
    train_charge_network,
)
from potentials.config import Config
from potentials.errors import InputError
from potentials.files import data_root, sha256_file, sha256_json
from potentials.guest_poses import GuestPoses
from screening.adsorption.charge_dataset import (
    PREPARED_CUTOFF,
    PRIOR_FEATURES,
    PreparedFramework,
    Split,
    archive_formulas,
    cross_fitted_estimates,
    estimates_from,
    prepare_archive,
    split_of,
)
from screening.adsorption.charge_feature_archive import features_of
from screening.adsorption.environment_charges import EnvironmentEstimate, fit_table
from screening.adsorption.guest_poses import PoseConfig
from screening.adsorption.learned_charges import DESCRIPTION, ChargeModel, load_model, save_model
from screening.adsorption.pose_archive import poses_of


class ChargeDataConfig(Config):
    """Where the charged frameworks are, and which of them are never looked at."""

    frameworks: Path = Path("sorbents/coremof_ddec/ddec_xtals_open.tar.xz")  # CIFs with _atom_site_charge
    # archives whose reduced formulas are kept out of training, validation and test
    keep_out: tuple[Path, ...] = (Path("sorbents/mpn_henry/xtals_ddec_mpnn_iqeq_open.tar.xz"),)
    # table whose column `mof` names the frameworks of `keep_out` that something is measured on; the formulas of none of
    # those are used, all others of `keep_out` are trained on; without a table all are kept out
    keep_out_only: Path | None = None
    hidden_elements: tuple[
        str, ...
    ] = ()  # frameworks that hold one of these are never trained on: how well it does then
    cache: Path = Path("runs/charges/cache")  # prepared frameworks, kept for the next run
    poses: PoseConfig | None = None  # of a guest in the pores, for train.henry_weight and train.pose_weight
    # true: train on the validation part too, for a last fit once every setting is chosen. everything: on the test part
    # and on frameworks with hidden elements as well, for a model to be used: its errors are those of a model fitted
    # alike without them. The validation figures of such trainings are of frameworks they saw, so they need
    # train.keep: last and a shrinkage
    refit: bool | Literal["everything"] = False


class ChargeFitConfig(Config):
    """`sorbus train charges`: one YAML file."""

    out: Path = Path("runs/train/charges")  # model, metrics.csv and the state to resume from
    seed: Annotated[int, pydantic.Field(ge=0)] = 0
    data: ChargeDataConfig = ChargeDataConfig()
    network: ChargeNetworkConfig = ChargeNetworkConfig(prior_features=PRIOR_FEATURES, layers=2)
    train: ChargeTrainConfig | None = ChargeTrainConfig()  # null: no new network, those of `members` alone
    kernel: ChargeKernelConfig | None = None  # charges by kinship beside the networks; null: none
    # folders of models trained on the same data; the networks of the model written are theirs and the new one
    members: tuple[Path, ...] = ()
    shrinkage: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None  # of corrections; null: by validation
    start: Path | None = None  # folder of a model whose newest network is trained on, instead of random weights


def train_charges(
    config: ChargeFitConfig, *, resume: bool = True, log: Callable[[dict[str, float], int], None] | None = None
) -> Path:
    """Train, and leave the model (weights, description, the table of environments it builds on) in `config.out`.

    Returns:
        The folder, which `screening.adsorption.learned_charges.load_model` reads.

    Raises:
        InputError: unusable data or settings, or a state of another training.
    """
    if config.network.prior_features != PRIOR_FEATURES:
        raise InputError(
            f"network.prior_features is {config.network.prior_features}: "
            f"the table of bonding environments gives {PRIOR_FEATURES}"
        )
    train = config.train
    if train is None and not (config.members and config.kernel):
        raise InputError("train is null, so no network is trained: give members that are, and kernel ({} will do)")
    if train and config.data.refit and (train.keep != "last" or config.shrinkage is None):
        raise InputError(
            "data.refit trains on the validation frameworks, so nothing can be chosen on them: "
            "set train.keep to last and shrinkage to a number such as 0.95"
        )
    if train and config.data.poses is None and (train.henry_weight or train.pose_weight):
        raise InputError("train.henry_weight and train.pose_weight need poses of a guest: set data.poses, {} will do")
    archive = located(config.data.frameworks)
    sha256 = sha256_file(archive)
    # prepared for one cutoff, whichever network of up to that it is for: that takes minutes
    parts = split_frameworks(config.data, max(config.network.cutoff, PREPARED_CUTOFF), sha256)
    fitted_to = parts_fitted_to(config.data.refit)
    training, validation = [f for part in fitted_to for f in parts[part]], parts["validation"]
    # in use the table may know the validation part too, whether the network was fitted to it or only chosen on it
    tabulated = training if config.data.refit else training + validation
    table = fit_table((f.keys, f.charges) for f in training)
    poses: dict[str, GuestPoses | None] = {}
    if config.data.poses is not None:
        known = poses_of(tabulated, archive, sha256, config.data.poses, config.data.cache)
        poses = {f.name: own for f, own in zip(tabulated, known, strict=True)}
    features: dict[str, torch.Tensor] = {}
    if config.kernel is not None:
        worked_out = features_of(tabulated, archive, sha256, config.data.cache)
        features = {f.name: own for f, own in zip(tabulated, worked_out, strict=True)}
    labelled = labelled_graphs(training, cross_fitted_estimates(training), poses, features)
    held_out = labelled_graphs(validation, estimates_from(table, validation), poses, features)
    base = _mean_absolute([(g.graph.base - g.target, g.graph.multiplicity) for g in held_out])
    print(
        f"{len(training)} training and {len(validation)} validation frameworks; validation MAE of the environments "
        f"alone {base:.4f} e",
        flush=True,
    )
    for folder in config.members:  # others may still be in training; they are read once this one is done
        if (folder / DESCRIPTION).is_file():
            _member(folder, fitted_to, config, sha256)
    cacheless = config.data.model_copy(update={"cache": Path()})
    neutral = config.model_copy(update={"out": Path(), "data": cacheless, "start": None})
    fingerprint = sha256_json(neutral.model_dump(mode="json", exclude={"members", "kernel"}))[:16]  # of one training
    own = _trained(config, train, labelled, held_out, sha256, fingerprint, resume, log) if train else None
    joined = [_member(folder, fitted_to, config, sha256) for folder in config.members]
    networks = [cast(ChargeNetwork, one) for old in joined for one in old.network.members]
    if own is not None:
        networks = [own.network, *networks]
    kernel = None
    if config.kernel is not None:
        kernel = fit_charge_kernel(labelled, [f.formula for f in training], config.kernel, config.seed)
    kernel_weight = config.kernel.weight if config.kernel is not None else 0.0
    errors = charge_errors(ChargeEnsemble(networks, kernel, kernel_weight), held_out)
    shipped = fit_table((f.keys, f.charges) for f in tabulated)
    facts: dict[str, Any] = {
        "data": config.data.frameworks.name,
        "data_sha256": sha256,
        "frameworks": {"training": len(training), "validation": 0 if config.data.refit else len(validation)},
        "frameworks_with_poses": sum(own is not None for own in poses.values()),
        "fitted_to": list(fitted_to),
        "hidden_elements": [] if "hidden" in fitted_to else list(config.data.hidden_elements),
        "elements": sorted({int(z) for f in training for z in f.numbers}),
        "frameworks_by_element": frameworks_by_element(tabulated),
        "config_hash": fingerprint,
        "train": train.model_dump(mode="json") if train else None,
        "kernel": _kernel_facts(config.kernel, kernel, held_out),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": config.seed,
        **(own.facts if own is not None else {}),
        "validation": {
            "mean_absolute_error_e": round(errors.mean_absolute, 5),
            "newest_network_alone_e": own.alone if own is not None else None,
            "environments_alone_e": round(base, 5),
            "seen_in_training": bool(config.data.refit),
            "mean_log_henry": errors.log_henry,
            "pose_rms_kt": errors.pose_rms,
            "within_factor_1.5": errors.within,
        },
        "joined": [old.description["training"] for old in joined],
        "versions": {"torch": torch.__version__},
    }
    return save_model(config.out, networks, shipped, facts, kernel, kernel_weight)


@dataclass(frozen=True)
class _Trained:
    """A new network, its corrections shrunk."""

    network: ChargeNetwork
    alone: float  # e, mean absolute error on the validation part
    facts: dict[str, Any]


def _trained(
    config: ChargeFitConfig,
    train: ChargeTrainConfig,
    labelled: Sequence[LabelledGraph],
    held_out: Sequence[LabelledGraph],
    sha256: str,
    fingerprint: str,
    resume: bool,
    log: Callable[[dict[str, float], int], None] | None,
) -> _Trained:
    start = _start(config.start, config.network, sha256) if config.start else None
    identity = {"configuration": fingerprint, "training data": sha256}
    if start is not None:
        identity["start"] = start.description["weights_sha256"]
    model, progress = train_charge_network(
        train,
        config.network,
        labelled,
        held_out,
        config.out,
        identity=identity,
        seed=config.seed,
        resume=resume,
        log=log,
        start=cast(ChargeNetwork, start.network.members[0]) if start is not None else None,
    )
    shrinkage = best_shrinkage(model, held_out) if config.shrinkage is None else config.shrinkage
    shrink_corrections(model, shrinkage)
    facts = {
        "epochs": progress["epoch"],
        "best_epoch": progress["best_epoch"],
        "steps": progress["step"],
        "shrinkage": round(shrinkage, 2),
        "wall_seconds": round(progress["seconds"]),
        "started_from": start.description["training"] if start is not None else None,
    }
    return _Trained(model, round(charge_errors(model, held_out).mean_absolute, 5), facts)


def _kernel_facts(
    config: ChargeKernelConfig | None, kernel: ChargeKernel | None, held_out: Sequence[LabelledGraph]
) -> dict[str, Any] | None:
    if config is None or kernel is None:
        return None
    alone = charge_errors(kernel, held_out)
    return config.model_dump(mode="json") | {
        "features": f"CHGNet {CHGNET_VERSION}",
        "validation_alone_e": round(alone.mean_absolute, 5),
        "validation_alone_within_factor_1.5": alone.within,
    }


def parts_fitted_to(refit: bool | Literal["everything"]) -> tuple[str, ...]:
    """The parts of the split that weights are fitted to; formulas with published Henry coefficients are in none."""
    if refit == "everything":
        return ("training", "validation", "test", "hidden")
    return ("training", "validation") if refit else ("training",)


def frameworks_by_element(frameworks: Sequence[PreparedFramework]) -> dict[str, int]:
    """How many frameworks hold each element, by symbol."""
    held = Counter(int(z) for framework in frameworks for z in np.unique(framework.numbers))
    return {Element.from_Z(z).symbol: count for z, count in sorted(held.items())}


def _start(folder: Path, network: ChargeNetworkConfig, sha256: str) -> ChargeModel:
    """A model whose newest network has the shape asked for and was fitted to part of the same data."""
    model = load_model(folder)
    facts = model.description["training"]
    for name, theirs, ours in (
        ("data", facts["data_sha256"], sha256),
        ("shape", model.network.shapes[0], network),
    ):
        if theirs != ours:
            raise InputError(f"{folder} has another {name} than this training: start from another model, or from none")
    return model


def _member(folder: Path, fitted_to: Sequence[str], config: ChargeFitConfig, sha256: str) -> ChargeModel:
    """A model to average with, if it was kept from the same frameworks; its networks may have another shape."""
    model = load_model(folder)
    facts = model.description["training"]
    hidden = [] if "hidden" in fitted_to else list(config.data.hidden_elements)
    for name, theirs, ours in (
        ("data", facts["data_sha256"], sha256),
        ("hidden elements", list(facts["hidden_elements"]), hidden),
    ):
        if theirs != ours:
            raise InputError(f"{folder} was trained with another {name}: members of a model share it; leave it out")
    return model


def split_frameworks(data: ChargeDataConfig, cutoff: float, sha256: str) -> dict[Split | str, list[PreparedFramework]]:
    """Prepared frameworks by part: `training`, `validation`, `test`, `henry` and, of hidden elements, `hidden`."""
    kept_out: set[str] = set()
    released: set[str] = set()
    measured = named_in(data.keep_out_only)
    for path in map(located, data.keep_out):
        formulas = archive_formulas(path, data.cache, sha256_file(path))
        kept_out |= {formula for name, formula in formulas.items() if measured is None or name in measured}
        released |= set(formulas.values())
    parts: dict[Split | str, list[PreparedFramework]] = {
        name: [] for name in ("training", "validation", "test", "henry", "hidden")
    }
    from ase.data import atomic_numbers

    unknown = [symbol for symbol in data.hidden_elements if symbol not in atomic_numbers]
    if unknown:
        raise InputError(f"data.hidden_elements holds {unknown[0]!r}, which is no element: give symbols, e.g. [Fe, In]")
    hidden = np.array([atomic_numbers[symbol] for symbol in data.hidden_elements], dtype=np.int64)
    for framework in prepare_archive(located(data.frameworks), cutoff, data.cache, sha256):
        part: Split | str = split_of(framework.formula, kept_out, released)
        if part != "henry" and np.isin(framework.numbers, hidden).any():
            part = "hidden"
        parts[part].append(framework)
    return parts


def named_in(table: Path | None) -> set[str] | None:
    """The column `mof` of a CSV table, below the data root or as named; None without a table."""
    if table is None:
        return None
    path = located(table)
    try:
        with path.open(newline="") as stream:
            names = {row["mof"] for row in csv.DictReader(stream)}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no CSV table with a column mof ({error}): correct data.keep_out_only") from None
    return names


def labelled_graphs(
    frameworks: Sequence[PreparedFramework],
    estimates: Sequence[EnvironmentEstimate],
    poses: Mapping[str, GuestPoses | None] | None = None,
    features: Mapping[str, torch.Tensor] | None = None,
) -> list[LabelledGraph]:
    """Network inputs with the charges to learn, and by name of the framework poses of a guest and CHGNet features."""
    known, told = poses or {}, features or {}
    return [
        LabelledGraph(
            framework.graph(estimate, told.get(framework.name)),
            torch.from_numpy(framework.target).float(),
            known.get(framework.name),
        )
        for framework, estimate in zip(frameworks, estimates, strict=True)
    ]


def located(path: Path) -> Path:
    """The file as named, or below the data root."""
    return path if path.exists() else data_root() / path


def _mean_absolute(errors: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
    total = sum(float((weight * error.abs()).sum()) for error, weight in errors)
    return total / sum(float(weight.sum()) for _, weight in errors)
