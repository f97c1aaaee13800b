"""LMDBs of ASE rows, read without the LMDB library.

`databases/gold.aselmdb` was written by LMDB 0.9 through ase-db-backends 0.11: 14 frames of rattled gold labelled by
EMT (`gold` makes them), the sixth of 32 atoms so that its row overflows a page, the third deleted again.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from potentials.ase_database import read_ase_lmdb
from potentials.dataset import LabelConfig, read_frames
from potentials.errors import InputError
from potentials.lmdb_file import read_lmdb

GOLD = Path(__file__).parent / "databases" / "gold.aselmdb"


def gold(number: int) -> Atoms:
    atoms = bulk("Au", cubic=True) * ((2, 2, 2) if number == 5 else (1, 1, 1))
    atoms.rattle(0.1, seed=number)
    atoms.calc = EMT()
    return atoms


def changed(folder: Path, *changes: tuple[int, bytes], size: int | None = None) -> Path:
    """The database with some bytes written over, or cut off."""
    data = bytearray(GOLD.read_bytes())
    for place, value in changes:
        data[place : place + len(value)] = value
    path = folder / "data.aselmdb"
    path.write_bytes(data[:size])
    return path


def place_of(key: bytes) -> int:
    """Where the value of a key begins; older copies of it may lie on freed pages."""
    data, value = GOLD.read_bytes(), dict(read_lmdb(GOLD))[key]
    places = [place for place in range(len(data)) if data.startswith(value, place)]
    for place in places:
        broken = bytearray(data)
        broken[place] ^= 0xFF
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(broken)
            if dict(read_lmdb(Path(file.name)))[key] != value:
                return place
    raise AssertionError(places)


def test_keys_come_in_order_and_values_whole() -> None:
    pairs = dict(read_lmdb(GOLD))
    assert list(pairs) == sorted(pairs)
    assert {key for key in pairs if key.isdigit()} == {str(n).encode() for n in (1, 2, *range(4, 15))}
    assert max(len(value) for value in pairs.values()) > 2048  # in overflow pages


def test_frames_and_labels_are_those_written() -> None:
    labels = LabelConfig(stress_key="stress")
    frames = read_frames(GOLD, labels)
    numbers = [n for n in range(14) if n != 2]
    assert len(frames) == len(numbers)
    for frame, number in zip(frames, numbers, strict=True):
        atoms = gold(number)
        np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-9)
        assert frame.energy.item() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-9)
        np.testing.assert_allclose(frame.stress[0], atoms.get_stress(voigt=False), atol=1e-9)
    name, atoms = read_ase_lmdb(GOLD)[3]
    assert (name, atoms.info["note"], atoms.info["seed"]) == ("row 5", "frame 4", 4)


def test_labels_may_lie_in_the_data_of_a_row() -> None:
    frames = read_frames(GOLD, LabelConfig(forces_key="REF_forces"))
    torch.testing.assert_close(frames[0].forces, torch.as_tensor(gold(0).get_forces()))


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 4: the record is a pickle"):
        read_frames(changed(tmp_path, (place_of(b"4"), b"\x80")), LabelConfig())


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 7: no ASE row"):
        read_frames(changed(tmp_path, (place_of(b"7") + 20, bytes(50))), LabelConfig())


@pytest.mark.parametrize("size", [100, 5000, 20000, 40000])
def test_truncation_is_named(tmp_path: Path, size: int) -> None:
    with pytest.raises(InputError, match=r"truncated|no LMDB file|is damaged"):
        read_frames(changed(tmp_path, size=size), LabelConfig())


def test_pages_written_over_are_named(tmp_path: Path) -> None:
    pages = range(2 * 4096, GOLD.stat().st_size, 4096)
    path = changed(tmp_path, *((page, b"\xff" * 64) for page in pages))
    with pytest.raises(InputError, match="damaged"):
        read_frames(path, LabelConfig())


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 1000])
def test_other_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.aselmdb"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"no LMDB file|cannot be read"):
        read_frames(path, LabelConfig())


def test_the_later_transaction_counts(tmp_path: Path) -> None:
    """Where the newest tree's transaction is made out to be the oldest, the one before it is read."""
    transaction = 16 + 24 + 2 * 48 + 8  # bytes from the start of a meta page
    data = GOLD.read_bytes()
    first, second = (int.from_bytes(data[start + transaction :][:8], "little") for start in (0, 4096))
    newer = 0 if first > second else 4096
    before = changed(tmp_path, (newer + transaction, bytes(8)))
    assert dict(read_lmdb(GOLD)).keys() - dict(read_lmdb(before)).keys() == {b"deleted_ids"}  # written last
