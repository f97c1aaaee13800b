"""The sets and rows of `benchmarks/potential_equal_time.py`: which file holds what, and which id says what of it."""

from pathlib import Path
from typing import NamedTuple

from potentials.files import data_root


class TestSet(NamedTuple):
    """A test set; read once, after training."""

    name: str
    file: str
    what: str
    first: int | None = None  # frames of the file
    last: int | None = None
    forces: bool = True  # a set without them has energies only
    along: bool = False  # whether its frames follow the breaking of a bond


class Source(NamedTuple):
    """A molecule with a training file and its tests."""

    folder: Path  # below the data root
    training: str
    what: str
    tests: tuple[TestSet, ...]
    # file of isolated atoms: then they are the reference energies, and `--apart` adds frames of atoms apart
    isolated: str | None = None
    squeezed: int = 0  # frames of the training file kept aside as a test, those whose bonds are squeezed most

    def path(self, file: str) -> Path:
        """Where a file of this set is; a folder of ours is absolute."""
        return data_root() / self.folder / file

    def test(self, name: str) -> TestSet:
        """The test set of this name."""
        return next(test for test in self.tests if test.name == name)


class Row(NamedTuple):
    """A line of the results."""

    id: str
    test: str
    quantity: str  # forces_rmse or energy_rmse
    peer: str


BOTNET = Path("potentials/botnet")
SURROGATE = Path(__file__).resolve().parent.parent / "runs/benchmarks/surrogate"  # written by `surrogate_molecules.py`
SOURCES = {
    "3bpa": Source(
        BOTNET / "dataset_3BPA",
        "train_300K.xyz.xz",
        "the 500 frames of 3BPA at 300 K",
        (
            TestSet("test_300K", "test_300K.npz", "official 300 K test, 1,669 frames"),
            # the mixed-temperature file: 167 frames at 300 K, 167 at 600 K, 166 at 1200 K
            TestSet("hot_600K", "train_mixedT.xyz.xz", "600 K frames of train_mixedT, 167", 167, 334),
            TestSet("hot_1200K", "train_mixedT.xyz.xz", "1200 K frames of train_mixedT, 166", 334),
        ),
    ),
    "squeezed": Source(
        BOTNET / "dataset_3BPA",
        "train_300K.xyz.xz",
        "380 of the 500 frames of 3BPA at 300 K",
        (TestSet("squeezed", "train_300K.xyz.xz", "120 frames of the same file with the most squeezed bonds"),),
        squeezed=120,
    ),
    "surrogate": Source(
        SURROGATE,
        "300K.xyz",
        "504 frames of 3BPA at 300 K by GFN2-xTB",
        (
            TestSet("hot_600K", "600K.xyz", "120 frames at 600 K by GFN2-xTB"),
            TestSet("hot_1200K", "1200K.xyz", "144 frames at 1200 K by GFN2-xTB"),
        ),
    ),
    "acac": Source(
        BOTNET / "dataset_acac",
        "train_300K.xyz.xz",
        "the 500 frames of AcAc at 300 K",
        (
            TestSet("test_300K", "test_MD_300K.xyz.xz", "AcAc 300 K test, 650 frames"),
            TestSet("test_600K", "test_MD_600K.xyz.xz", "AcAc 600 K test, 650 frames"),
            TestSet("dihedral", "test_dihedral.xyz.xz", "AcAc dihedral scan", forces=False),
            TestSet("H_transfer", "test_H_transfer.xyz.xz", "AcAc proton transfer", forces=False),
        ),
    ),
    "ethanol": Source(
        BOTNET / "dataset_ethanol",
        "train.xyz.xz",
        "the 1,000 training frames of ethanol, energies counted from its free atoms",
        (
            TestSet("test_MD", "test_MD.xyz.xz", "ethanol test, 1,000 frames"),
            TestSet(
                "H_removal",
                "test_H_removal.xyz.xz",
                "removal of ethanol's hydroxyl H from 0.68 to 6.6 Å, 60 frames, the rest held (UHF-PBE)",
                forces=False,
                along=True,
            ),
        ),
        isolated="isolated_atoms.xyz.xz",
    ),
}
ROWS: dict[str, list[Row]] = {
    "squeezed": [],  # to choose by, not to record
    "surrogate": [],
    "3bpa": [
        Row("B2", "test_300K", "forces_rmse", "nequip"),
        Row("B2a", "test_300K", "forces_rmse", "mace"),
        Row("B2b", "hot_1200K", "forces_rmse", "nequip"),
        Row("B2h", "hot_1200K", "forces_rmse", "mace"),
        Row("B2i", "hot_600K", "forces_rmse", "nequip"),
        Row("B2j", "hot_600K", "forces_rmse", "mace"),
    ],
    "acac": [
        Row("B3", "test_300K", "forces_rmse", "nequip"),
        Row("B3a", "test_300K", "forces_rmse", "mace"),
        Row("B3b", "test_600K", "forces_rmse", "nequip"),
        Row("B3c", "test_600K", "forces_rmse", "mace"),
        Row("B3d", "dihedral", "energy_rmse", "nequip"),
        Row("B3e", "H_transfer", "energy_rmse", "nequip"),
        Row("B3f", "dihedral", "energy_rmse", "mace"),
        Row("B3g", "H_transfer", "energy_rmse", "mace"),
    ],
    "ethanol": [
        Row("B4g", "test_MD", "forces_rmse", "nequip"),
        Row("B4h", "test_MD", "forces_rmse", "mace"),
        Row("B4i", "H_removal", "energy_rmse", "nequip"),
        Row("B4j", "H_removal", "energy_rmse", "mace"),
    ],
}
# the peers in the shapes whose speed B5 measures
SHAPES = [Row("B5i", "test_300K", "forces_rmse", "nequip"), Row("B5j", "test_300K", "forces_rmse", "mace")]
SHAPES_SAY = " The peers have the shapes whose speed B5 measures, ours too."
