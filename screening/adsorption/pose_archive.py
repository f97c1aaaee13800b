"""Guest poses of the frameworks of an archive, worked out once and kept, a file a framework."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from pymatgen.core import Structure

from potentials.errors import InputError
from potentials.files import sha256_json, write_atomic
from potentials.guest_poses import GuestPoses
from screening.adsorption.charge_dataset import PreparedFramework, distinct_atoms, read_archive
from screening.adsorption.guest_poses import VERSION, PoseConfig, PoseHost, draw_poses


def poses_of(
    frameworks: Sequence[PreparedFramework], archive: Path, sha256: str, config: PoseConfig, cache: Path
) -> list[GuestPoses | None]:
    """Poses of each framework, in order; None where the guest does not fit or an element has no parameters.

    Args:
        frameworks: prepared from `archive`.
        archive: of the CIFs.
        sha256: of the archive.
        config: guest and number of poses.
        cache: folder where poses are kept; what a killed run worked out is not worked out again.
    """
    folder = cache / f"poses_{sha256_json([sha256, VERSION, config.model_dump(mode='json')])[:12]}"
    wanted = {framework.name: framework for framework in frameworks}
    missing = {name for name in wanted if not _file(folder, name).is_file()}
    if missing:
        for framework in read_archive(archive, names=missing):
            poses = _drawn(wanted[framework.name], framework.structure, framework.elements, config)
            count = len(wanted[framework.name].first)
            tensors = {
                "operator": poses.operator if poses else torch.zeros(0, count),
                "log_share": poses.log_share if poses else torch.zeros(0),
            }
            write_atomic(_file(folder, framework.name), safetensors.torch.save(tensors))
    return [_load(_file(folder, framework.name)) for framework in frameworks]


def _drawn(
    prepared: PreparedFramework, structure: Structure, elements: tuple[str, ...], config: PoseConfig
) -> GuestPoses | None:
    first, inverse, _ = distinct_atoms(structure)
    if not np.array_equal(first, prepared.first):
        raise InputError(f"{prepared.name}: other distinct atoms than when it was prepared: delete data.cache")
    host = PoseHost(
        np.array(structure.lattice.matrix), np.array(structure.frac_coords), elements, inverse, prepared.target
    )
    seed = int(hashlib.sha256(prepared.name.encode()).hexdigest()[:8], 16)
    try:
        return draw_poses(host, config, seed)
    except InputError:  # an element without parameters
        return None


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _load(path: Path) -> GuestPoses | None:
    tensors = safetensors.torch.load_file(path)
    return GuestPoses(tensors["operator"], tensors["log_share"]) if len(tensors["log_share"]) else None
