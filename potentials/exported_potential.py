"""Exported and compiled potentials behind the `Potential` protocol."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor
from torch_geometric.data import Batch

from potentials.errors import InputError
from potentials.export_program import MIN_ATOMS, MIN_SLOTS
from potentials.files import sha256_file
from potentials.neighbours import Neighbours, VerletList, neighbour_list
from potentials.potential import PotentialOutput

EXPORT_VERSION = 1
PROGRAM, COMPILED, DESCRIPTION = "program.pt2", "compiled.pt2", "export.json"


@dataclass
class TensorPotential:
    """A program on plain tensors (`potentials.export_program.TensorModel`) as a `Potential`.

    Args:
        program: from positions, species, neighbours, shifts, owned to energies, forces, virials.
        species: atomic number of each species index.
        reach: cutoff of the neighbour list, Å.
        name: short name for provenance.
        metadata: what is known of its origin.
        skin: Å beyond the cutoff up to which neighbours are kept from call to call; 0 rebuilds every time.
        device: where the program runs.
    """

    program: Callable[..., Sequence[Tensor]]
    species: Sequence[int]
    reach: float
    name: str = "sorbus-exported"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    skin: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.elements = frozenset(self.species)
        self.cutoff: float | None = self.reach
        self._verlet = VerletList(self.reach, self.skin) if self.skin > 0 else None
        self._species_of = torch.full((len(chemical_symbols),), -1, dtype=torch.int64)
        self._species_of[list(self.species)] = torch.arange(len(self.species))

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """Energy, forces and stress of a collated batch; the forces in the dtype of its positions.

        Raises:
            InputError: an element the potential never saw.
            GeometryError: a cell or position no neighbour list may see.
        """
        species = self._species_of[batch.numbers.cpu().clamp(0, len(self._species_of) - 1)]
        if bool((species < 0).any()):
            unseen = sorted({chemical_symbols[z] for z in batch.numbers.cpu()[species < 0].tolist()})
            known = ", ".join(chemical_symbols[z] for z in self.species)
            raise InputError(f"the exported potential never saw {', '.join(unseen)}: it knows {known}")
        origin, dtype = batch.positions.device, batch.positions.dtype
        neighbours = self._verlet(batch) if self._verlet else neighbour_list(batch, self.reach)
        inputs = padded_inputs(batch, species.to(origin), neighbours, 2 * self.reach)
        with torch.no_grad():
            answers = self.program(*(tensor.to(self.device) for tensor in inputs))
        energies, forces, virials = (answer[: len(species)].to(origin) for answer in answers)
        energy = energies.new_zeros(batch.num_graphs).index_add(0, batch.batch, energies)
        output = PotentialOutput(energy=energy, forces=forces.to(dtype))
        if stress:
            virial = virials.new_zeros(batch.num_graphs, 3, 3).index_add(0, batch.batch, virials)
            output["stress"] = stress_from_virial(virial, batch).to(dtype)
        return output


def padded_inputs(
    batch: Batch, species: Tensor, neighbours: Neighbours, empty_length: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`positions, species, neighbours, shifts, owned` as a program wants them; atoms without neighbours are welcome.

    A lone atom gets a second one that does not count, since programs are made for two atoms and more.
    """
    positions = batch.positions.detach().double()
    centre, neighbour = neighbours.edge_index
    offsets = torch.einsum("ei,eij->ej", neighbours.shifts.double(), batch.cell.double()[neighbours.edge_batch])
    owned = torch.ones_like(positions[:, 0])
    missing = max(0, MIN_ATOMS - len(positions))
    if missing:
        positions = torch.cat([positions, positions.new_zeros(missing, 3)])
        species = torch.cat([species, species[-1:].expand(missing)])
        owned = torch.cat([owned, owned.new_zeros(missing)])
    n_atoms = len(positions)
    degree = torch.bincount(centre, minlength=n_atoms)
    width = max(MIN_SLOTS, int(degree.max()))
    order = torch.argsort(centre, stable=True)
    first = torch.cumsum(degree, 0) - degree
    rank = torch.empty_like(centre)
    rank[order] = torch.arange(len(centre), device=centre.device) - first[centre[order]]
    matrix = torch.arange(n_atoms, device=centre.device)[:, None].repeat(1, width)
    matrix[centre, rank] = neighbour
    shifts = positions.new_tensor([0.0, 0.0, empty_length]).repeat(n_atoms, width, 1)
    shifts[centre, rank] = offsets
    return positions, species, matrix, shifts, owned


def stress_from_virial(virial: Tensor, batch: Batch) -> Tensor:
    """ASE's stress, -virial / volume [B, 3, 3] eV/Å^3, symmetric; 0 where a system has no volume."""
    volume = torch.linalg.det(batch.cell.double()).abs()
    periodic = batch.pbc.any(dim=1) & (volume > 1e-6)
    inverse = torch.where(periodic, 1 / volume.clamp_min(1e-6), torch.zeros_like(volume))
    return -0.5 * (virial + virial.transpose(1, 2)) * inverse[:, None, None]


def load_exported(
    folder: str | Path | None = None, *, compiled: bool | None = None, skin: float = 0.0
) -> TensorPotential:
    """A potential from a folder that `export_potential` wrote.

    Loading runs what the files hold: `compiled.pt2` is machine code, and torch reads `program.pt2` with pickle and
    sympy's evaluator. The hashes in `export.json` show damage, not intent. Take such folders from yourself or from whom
    you would take a program; between strangers exchange the checkpoint, which is data only, and export it again.

    Args:
        folder: with `export.json` and the programs.
        compiled: take the machine code (True), the portable graph (False), or the first that is there (None).
        skin: Å, see `TensorPotential`.

    Raises:
        InputError: no folder named, missing, altered or foreign files, or another device than this machine has.
    """
    if folder is None:
        raise InputError(
            "potential 'exported' needs folder: write {name: exported, folder: F}, F from `sorbus export potential`"
        )
    folder = Path(folder)
    described = read_description(folder)
    files = described["files"]
    if compiled is None:
        compiled = COMPILED in files
    name = COMPILED if compiled else PROGRAM
    if name not in files or not (folder / name).is_file():
        raise InputError(f"no {folder / name}: export again{' with compilation' if compiled else ''}")
    if sha256_file(folder / name) != files[name]:
        raise InputError(
            f"{folder / name} is not the file {DESCRIPTION} speaks of: it was damaged or replaced, export again"
        )
    device = described["device"]
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"{folder} was exported for {device}, which this machine lacks: export again with device cpu")
    program: Callable[..., Sequence[Tensor]]
    if compiled:
        program = torch._inductor.aoti_load_package(str(folder / name))
    else:
        program = torch.export.load(str(folder / name)).module()
    numbers = [atomic_numbers[symbol] for symbol in described["species"]]
    return TensorPotential(program, numbers, described["cutoff"], described["name"], described, skin, device)


def read_description(folder: Path) -> dict[str, Any]:
    """`export.json` of a folder, checked.

    Raises:
        InputError: missing, damaged, or of a format this version does not know.
    """
    path = folder / DESCRIPTION
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {path}: give a folder that `sorbus export potential` wrote") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}: the file is damaged, export again") from None
    version = described.get("export_version") if isinstance(described, dict) else None
    if version != EXPORT_VERSION:
        raise InputError(f"{path} has export version {version}, this program reads {EXPORT_VERSION}: export again")
    kinds = {"name": str, "species": list, "cutoff": int | float, "device": str, "files": dict}
    for key, kind in kinds.items():
        if not isinstance(described.get(key), kind):
            raise InputError(f"{path} lacks a proper {key!r}: the file is damaged, export again")
    if not all(symbol in atomic_numbers for symbol in described["species"]):
        raise InputError(f"{path} names species {described['species']}, not all of them elements: export again")
    return described
