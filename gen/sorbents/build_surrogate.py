"""Fit the surrogate beside trained weights again: to a larger data set, or after a change of how it is fitted.

    python -m gen.sorbents.build_surrogate runs/train/sorbents [configs/train/sorbents.yaml]

Training fits one when it begins. The data are those of the folder's config.yaml unless another configuration is given;
mean absolute errors on frameworks it was not fitted to are printed.
"""

import argparse
from pathlib import Path

import numpy as np

from gen.sorbents.bead_config import LENGTH, BeadTrainingConfig
from gen.sorbents.bead_dataset import BeadDataset, BeadGroup, load_bead_dataset
from gen.sorbents.fingerprint import load_fingerprints
from gen.sorbents.surrogate import Surrogate, bead_features, fit_surrogate, write_surrogate
from potentials.config import load_config
from potentials.errors import InputError


def main() -> None:
    """Fit, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the weights")
    parser.add_argument("config", nargs="?", type=Path, help="of the training; default: config.yaml in the folder")
    arguments = parser.parse_args()
    config = load_config(BeadTrainingConfig, arguments.config or arguments.folder / "config.yaml")
    data = load_bead_dataset(config.data, load_fingerprints().names)
    surrogate = fit_surrogate(data.train, data.labels)
    if surrogate is None:
        raise InputError(f"too few training frameworks carry labels ({data.counts}): make a larger set")
    write_surrogate(arguments.folder, surrogate)
    carried = np.isfinite(np.concatenate([group.values.numpy() for group in data.train.values()])).sum(axis=0)
    print(f"fitted to {len(surrogate.rows)} frameworks; mean absolute errors, of the median in brackets")
    for name, count, *errors in zip(data.labels, carried, *surrogate_errors(surrogate, data), strict=True):
        print(
            f"  {name} ({count} carry it): "
            + ", ".join(f"{kind} {own:.4g} ({blind:.4g})" for kind, own, blind in errors)
        )


def surrogate_errors(surrogate: Surrogate, data: BeadDataset) -> list[list[tuple[str, float, float]]]:
    """For validation and held-out frameworks, of each label: (split, error, error of the training median)."""
    train = np.concatenate([group.values.numpy() for group in data.train.values()])
    middle = np.nanmedian(train, axis=0)
    found = []
    for split, groups in (("validation", data.validation), ("held", data.held)):
        if not groups:
            continue
        labels = np.concatenate([group.values.numpy() for _, group in sorted(groups.items())])
        own = surrogate(np.concatenate([_features(group) for _, group in sorted(groups.items())]))
        errors = np.nanmean(np.abs(own - labels), axis=0), np.nanmean(np.abs(middle - labels), axis=0)
        found.append([(split, float(a), float(b)) for a, b in zip(*errors, strict=True)])
    return found


def _features(group: BeadGroup) -> np.ndarray:
    blocks = np.array(load_fingerprints().names)
    frac, lattice = group.frac.double().numpy(), LENGTH * group.lattice.double().numpy()
    names = blocks[group.tokens.numpy()].tolist()
    return np.stack([bead_features(names[k], frac[k], lattice[k]) for k in range(len(group))])


if __name__ == "__main__":
    main()
