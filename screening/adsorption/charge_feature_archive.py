"""CHGNet features of the frameworks of an archive, worked out once and kept, a file a framework."""

from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from potentials.atom_graph import graph_from_structure
from potentials.charge_features import CHGNET_VERSION, chgnet_features
from potentials.files import sha256_json, write_atomic
from screening.adsorption.charge_dataset import PreparedFramework, read_archive


def features_of(frameworks: Sequence[PreparedFramework], archive: Path, sha256: str, cache: Path) -> list[Tensor]:
    """Features [R, 258] of the distinct atoms of each framework, in order.

    Args:
        frameworks: prepared from `archive`.
        archive: of the CIFs.
        sha256: of the archive.
        cache: folder where features are kept; what a killed run worked out is not worked out again.

    Raises:
        InputError: an element CHGNet does not know.
    """
    folder = cache / f"features_{sha256_json([sha256, CHGNET_VERSION])[:12]}"
    wanted = {framework.name: framework for framework in frameworks}
    missing = {name for name in wanted if not _file(folder, name).is_file()}
    if missing:
        for framework in read_archive(archive, names=missing):
            features = chgnet_features(graph_from_structure(framework.structure))
            distinct = features[torch.from_numpy(wanted[framework.name].first)]
            write_atomic(_file(folder, framework.name), safetensors.torch.save({"features": distinct.contiguous()}))
    return [safetensors.torch.load_file(_file(folder, framework.name))["features"] for framework in frameworks]


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"
