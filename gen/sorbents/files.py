"""The `files` proposer: structures a user brings, one proposal a CIF file of a folder."""

import warnings
from collections.abc import Iterator
from pathlib import Path

from pymatgen.core import Structure

from gen.proposal import Proposal
from potentials.config import Config
from potentials.errors import InputError
from potentials.files import sha256_file


class FilesSettings(Config):
    """Where the structures are."""

    folder: Path  # searched for *.cif, not in subfolders
    max_atoms: int = 1000  # a larger structure is reported as a failure


class FilesProposer:
    """Proposal `i` is the i-th CIF file of a folder, by name; a file that cannot be read is a failure.

    Raises:
        InputError: no such folder, or no CIF file in it.
    """

    name = "files"

    def __init__(self, settings: FilesSettings) -> None:
        self.settings = settings
        if not settings.folder.is_dir():
            raise InputError(f"folder: {settings.folder} is not a folder: give one that holds CIF files")
        self.paths = sorted(path for path in settings.folder.iterdir() if path.suffix.lower() == ".cif")
        if not self.paths:
            raise InputError(f"folder: {settings.folder} holds no .cif file: put one structure a file there")

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one proposal for each index; indices beyond the last file are failures. `seed` is not used."""
        for index in indices:
            yield self._proposal(index, seed)

    def _proposal(self, index: int, seed: int) -> Proposal:
        provenance = {"proposer": self.name, "seed": seed, "index": index}
        if index >= len(self.paths):
            return Proposal(index, None, provenance, f"{self.settings.folder} holds {len(self.paths)} CIF files only")
        path = self.paths[index]
        provenance |= {"file": path.name, "sha256": sha256_file(path)}
        structure, fault = read_structure(path)
        if structure is None:
            return Proposal(index, None, provenance, f"{path.name}: {fault}")
        if len(structure) > self.settings.max_atoms:
            return Proposal(
                index,
                None,
                provenance,
                f"{path.name}: {len(structure)} atoms exceed max_atoms = {self.settings.max_atoms}",
            )
        return Proposal(index, structure, provenance)


def read_structure(path: Path) -> tuple[Structure | None, str]:
    """The structure in a CIF file, oxidation states and site labels removed, or None and the reason.

    Partial occupancies are a reason: no simulation can use them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen remarks on rounding it does; what matters raises
            structure = Structure.from_file(path)
    except Exception as error:  # pymatgen's CIF parser lets any exception through
        return None, f"cannot be read as CIF ({' '.join(str(error).split())[:200]})"
    if not structure.is_ordered:
        return None, "has partially occupied sites, which cannot be simulated: order them first"
    plain = Structure(structure.lattice, [site.specie.symbol for site in structure], structure.frac_coords)
    return plain, ""
