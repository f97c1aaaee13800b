"""The training set: primitive Niggli cells, cleaned, deduplicated, split, cached, grouped by atom count."""

import collections
import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Composition, Element
from safetensors.torch import load_file, save
from torch import Tensor

from gen.crystals.config import DataConfig
from gen.crystals.prepared import PreparedCell, counts_of, read_prepared, table_sha256
from gen.crystals.sources import RawCrystal, read_formulas, read_source, source_path
from gen.crystals.symmetry import niggli_cell, primitive_cell, space_group
from potentials.files import sha256_file, sha256_json, write_atomic

logger = logging.getLogger(__name__)

CACHE_VERSION = 1
SYMPREC = 0.01  # Å, for the primitive cell and the space group of training crystals
MIN_DISTANCE = 0.6  # Å; H2 is 0.74


@dataclasses.dataclass(frozen=True)
class Crystal:
    """A primitive Niggli cell with its labels."""

    name: str
    numbers: np.ndarray  # [N] int
    frac: np.ndarray  # [N, 3] in [0, 1)
    lattice: np.ndarray  # [3, 3] Å, Niggli reduced, rows are vectors
    space_group: int
    formula: str  # reduced

    @property
    def volume_per_atom(self) -> float:
        """Å^3."""
        return abs(float(np.linalg.det(self.lattice))) / len(self.numbers)


@dataclasses.dataclass(frozen=True)
class CrystalGroup:
    """Crystals of equal atom count N, ready to be a batch without padding."""

    numbers: Tensor  # [M, N] int64 atomic numbers
    frac: Tensor  # [M, N, 3]
    lattice: Tensor  # [M, 3, 3] Å
    space_group: Tensor  # [M] int64

    def __len__(self) -> int:
        return len(self.numbers)


@dataclasses.dataclass(frozen=True)
class CrystalDataset:
    """Training and validation crystals by atom count, with the hash of what they were made from."""

    train: dict[int, CrystalGroup]
    validation: dict[int, CrystalGroup]
    sha256: str
    counts: dict[str, int]  # what was read, dropped (by reason) and kept


def reduce_crystal(crystal: RawCrystal) -> Crystal | str:
    """Primitive Niggli cell of a crystal, or the reason it cannot be used."""
    cell = (crystal.lattice, crystal.frac, crystal.numbers)
    number = space_group(cell, SYMPREC)
    primitive = primitive_cell(cell, SYMPREC)
    if number is None or primitive is None:
        return "no space group found"
    reduced = niggli_cell(primitive)
    if reduced is None:
        return "no Niggli cell found"
    lattice, frac, numbers = reduced
    symbols = [Element.from_Z(int(z)).symbol for z in numbers]
    return Crystal(
        name=crystal.name,
        numbers=np.asarray(numbers, dtype=np.int64),
        frac=frac,
        lattice=lattice,
        space_group=number,
        formula=Composition(collections.Counter(symbols)).reduced_formula,
    )


def clean(crystal: Crystal, config: DataConfig, excluded_formulas: set[str]) -> str | None:
    """Why a reduced crystal is left out, or None when it stays."""
    if len(crystal.numbers) > config.max_atoms:
        return "too many atoms"
    if crystal.formula in excluded_formulas:
        return "formula of a test split"
    if {Element.from_Z(int(z)).symbol for z in set(crystal.numbers)} & set(config.exclude_elements):
        return "excluded element"
    if crystal.volume_per_atom > config.max_volume_per_atom:
        return "too dilute"
    if minimum_distance(crystal.frac, crystal.lattice) < MIN_DISTANCE:
        return "atoms overlap"
    return None


def minimum_distance(frac: np.ndarray, lattice: np.ndarray) -> float:
    """Shortest distance in Å between two atoms or an atom and its own image, in a Niggli-reduced cell.

    Args:
        frac: [N, 3].
        lattice: [3, 3] Å.
    """
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij")).reshape(3, -1).T  # [27, 3]
    difference = frac[:, None] - frac[None]
    difference -= np.round(difference)
    distances = np.linalg.norm((difference[:, :, None] + shifts) @ lattice, axis=-1)  # [N, N, 27]
    atoms = np.arange(len(frac))
    distances[atoms, atoms, 13] = np.inf  # an atom and itself; image (0, 0, 0) is the middle of 27
    return float(distances.min())


def deduplicate(crystals: Iterable[Crystal]) -> list[Crystal]:
    """Keep the first of crystals alike in formula, N and space group whose volume per atom agrees within 1 %."""
    seen: dict[tuple[str, int, int], list[float]] = collections.defaultdict(list)
    kept = []
    for crystal in crystals:
        volumes = seen[crystal.formula, len(crystal.numbers), crystal.space_group]
        if all(abs(crystal.volume_per_atom / volume - 1) > 0.01 for volume in volumes):
            volumes.append(crystal.volume_per_atom)
            kept.append(crystal)
    return kept


def is_held_out(formula: str, share: float) -> bool:
    """Whether a reduced formula belongs to validation; a hash decides, so polymorphs stay together."""
    return int(hashlib.sha256(formula.encode()).hexdigest()[:8], 16) / 2**32 < share


def load_dataset(config: DataConfig) -> CrystalDataset:
    """The dataset of `config`, prepared on first use and read from the cache afterwards.

    Raises:
        InputError: a source file is missing.
    """
    if config.table is not None:
        cells = [cell for cell in read_prepared(config.table) if len(cell.numbers) <= config.max_atoms]
        return dataset_of_cells(cells)
    names = (*config.sources, *config.exclude_formulas_of)
    key = sha256_json(
        {
            "version": CACHE_VERSION,
            "files": [sha256_file(source_path(name)) for name in names],
            "config": config.model_dump(mode="json", exclude={"cache", "workers", "table"}),
        }
    )
    path = Path(config.cache) / f"crystals-{key[:16]}.safetensors"
    if not path.is_file():
        crystals, counts = prepare(config)
        _write_cache(path, crystals, counts, config.holdout)
    counts = json.loads(path.with_suffix(".json").read_text())
    tensors = load_file(path)
    digest = hashlib.sha256(b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors))).hexdigest()
    return CrystalDataset(_groups(tensors, "train"), _groups(tensors, "validation"), digest, counts)


def dataset_of_cells(cells: list[PreparedCell]) -> CrystalDataset:
    """A data set of cells that are taken as they are."""
    return CrystalDataset(
        _cell_groups(cells, "train"), _cell_groups(cells, "validation"), table_sha256(cells), counts_of(cells)
    )


def prepare(config: DataConfig) -> tuple[list[Crystal], dict[str, int]]:
    """Read, reduce, clean and deduplicate every source; the counts say what went and why."""
    excluded = set().union(*(read_formulas(source) for source in config.exclude_formulas_of))
    counts: collections.Counter[str] = collections.Counter()
    kept: list[Crystal] = []
    with ProcessPoolExecutor(config.workers) as pool:
        for source in config.sources:
            raw = list(read_source(source))
            counts[f"read {source}"] = len(raw)
            readable = [crystal for crystal in raw if isinstance(crystal, RawCrystal)]
            counts["unreadable"] += len(raw) - len(readable)
            # a conventional cell holds at most four primitive ones
            small = [crystal for crystal in readable if len(crystal.numbers) <= 4 * config.max_atoms]
            counts["too many atoms"] += len(readable) - len(small)
            for reduced in pool.map(reduce_crystal, small, chunksize=64):
                reason = reduced if isinstance(reduced, str) else clean(reduced, config, excluded)
                if reason:
                    counts[reason] += 1
                elif isinstance(reduced, Crystal):
                    kept.append(reduced)
            logger.info("%s: %d crystals read, %d kept so far", source, len(raw), len(kept))
    unique = deduplicate(kept)
    counts["duplicate"] = len(kept) - len(unique)
    counts["kept"] = len(unique)
    return unique, dict(counts)


def _write_cache(path: Path, crystals: list[Crystal], counts: dict[str, int], holdout: float) -> None:
    members: dict[tuple[str, int], list[Crystal]] = collections.defaultdict(list)
    for crystal in crystals:
        split = "validation" if is_held_out(crystal.formula, holdout) else "train"
        members[split, len(crystal.numbers)].append(crystal)
    tensors = {}
    for (split, count), group in members.items():
        tensors[f"{split}.{count}.numbers"] = torch.from_numpy(np.stack([c.numbers for c in group]))
        tensors[f"{split}.{count}.frac"] = torch.from_numpy(np.stack([c.frac for c in group])).float()
        tensors[f"{split}.{count}.lattice"] = torch.from_numpy(np.stack([c.lattice for c in group])).float()
        tensors[f"{split}.{count}.space_group"] = torch.tensor([c.space_group for c in group])
        counts[split] = counts.get(split, 0) + len(group)
    write_atomic(path.with_suffix(".json"), json.dumps(counts, indent=1))
    write_atomic(path, save(tensors))


def _cell_groups(cells: Iterable[PreparedCell], split: str) -> dict[int, CrystalGroup]:
    members: dict[int, list[PreparedCell]] = collections.defaultdict(list)
    for cell in cells:
        if cell.split == split:
            members[len(cell.numbers)].append(cell)
    return {
        n: CrystalGroup(
            torch.from_numpy(np.stack([cell.numbers for cell in group])),
            torch.from_numpy(np.stack([cell.frac for cell in group])).float(),
            torch.from_numpy(np.stack([cell.lattice for cell in group])).float(),
            torch.tensor([cell.space_group for cell in group]),
        )
        for n, group in sorted(members.items())
    }


def _groups(tensors: dict[str, Tensor], split: str) -> dict[int, CrystalGroup]:
    sizes = sorted({int(name.split(".")[1]) for name in tensors if name.startswith(f"{split}.")})
    fields = [field.name for field in dataclasses.fields(CrystalGroup)]
    return {n: CrystalGroup(**{field: tensors[f"{split}.{n}.{field}"] for field in fields}) for n in sizes}
