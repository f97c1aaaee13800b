"""Widom insertions a second on a learned potential, against one at a time through ASE on the same potential.

    python benchmarks/potential_widom.py --potential network
    python benchmarks/potential_widom.py --potential chgnet

CO2 in Mg-MOF-74. `network` is the project's equivariant network in its default shape (or a `--checkpoint`); `chgnet` is
CHGNet 0.3.0. Both sides get the same insertions, none of which overlaps the host, in a box whose images do not touch;
their energies are compared. Times are seconds of one core (process time), since the machine is shared.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from pymatgen.core import Structure

from benchmarks.adsorption_structures import mg_mof_74
from benchmarks.record import record
from potentials.ase_calculator import SorbusCalculator
from potentials.potential import Potential, load_potential
from screening.adsorption.framework import supercell_repeats
from screening.adsorption.guests import Guest, guest_molecule
from screening.adsorption.potential_widom import (
    PotentialWidomSettings,
    contact_ratios,
    insertion_sites,
    interaction_energy,
)


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", choices=["network", "chgnet"], default="network")
    parser.add_argument("--checkpoint", type=Path, help="a trained network instead of seeded weights")
    parser.add_argument("-n", type=int, default=128, help="insertions, ours")
    parser.add_argument("--peer", type=int, default=6, help="of these, through ASE")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    host, guest, settings = mg_mof_74(), guest_molecule("CO2"), PotentialWidomSettings()
    sites = fitting_sites(host, guest, settings, arguments.n, arguments.seed)
    if arguments.potential == "network":
        potential = load_potential(arguments.checkpoint) if arguments.checkpoint else seeded_network(host)
        calculator: Any = SorbusCalculator(potential)
        # the molecule's images must not meet through two layers of messages on either side
        repeats = supercell_repeats(host.lattice, 2 * potential.cutoff)
        peer = "the same network through ASE, one at a time"
    else:
        from chgnet.model.dynamics import CHGNetCalculator

        potential = load_potential("chgnet-fast")
        calculator = CHGNetCalculator(use_device="cpu", check_cuda_mem=False)
        repeats = supercell_repeats(host.lattice, potential.cutoff)
        peer = "chgnet 0.4.2's own ASE calculator, one at a time"
    energy, how = interaction_energy(host, guest, potential, settings)
    energy(sites[:2])
    started = time.process_time()
    ours = energy(sites)
    rate = len(sites) / (time.process_time() - started)
    theirs, peer_rate, atoms = through_ase(host * repeats, guest, calculator, sites[: arguments.peer])
    difference = float(np.abs(theirs - ours[: len(theirs)]).max())
    print(f"{how}: {rate:.2f}/s; ASE: {peer_rate:.3f}/s in {atoms} atoms; energies differ by {difference:.1e} eV")
    what = potential.name
    if arguments.potential == "network":
        weights = arguments.checkpoint.name if arguments.checkpoint else "default shape, seeded weights"
        what = f"the equivariant network ({weights})"
    record(
        id="E4a" if arguments.potential == "network" else "E4b",
        value=rate,
        unit="insertions a second of one core",
        protocol=f"CO2 in Mg-MOF-74 on {what}, single precision, {how}, {len(sites)} insertions that do not overlap; "
        f"peer on {len(theirs)} of them, "
        f"{'x'.join(map(str, repeats))} cells; process time",
        data_sha256=None,
        seed=arguments.seed,
        peer=peer,
        peer_value=peer_rate,
        note=f"energies agree within {difference:.1e} eV",
    )


def fitting_sites(host: Structure, guest: Guest, settings: PotentialWidomSettings, count: int, seed: int) -> np.ndarray:
    """Insertions [count, m, 3] that do not overlap."""
    sites = insertion_sites(host, guest, 20 * count, seed)
    return sites[contact_ratios(host, guest, sites)[0] >= settings.overlap][:count]


def seeded_network(host: Structure) -> Potential:
    """The network in its default shape with random weights: their values do not change the time."""
    from potentials.atom_graph import collate, graph_from_structure
    from potentials.neighbours import neighbour_list
    from potentials.network import NetworkConfig
    from potentials.network_potential import EnergyModel, NetworkPotential

    torch.manual_seed(0)
    model = EnergyModel(NetworkConfig(), {1: -13.6, 6: -1029.0, 8: -2042.0, 12: -5440.0}, 1.0, True, torch.float32)
    batch = collate([graph_from_structure(host)])
    model.calibrate(batch, neighbour_list(batch, model.config.cutoff))
    return NetworkPotential(model, "network with seeded weights")


def through_ase(box: Structure, guest: Guest, calculator: Any, sites: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Interaction energies [B] eV one at a time, insertions a second of one core, atoms of the box."""
    cell = box.lattice.matrix

    def energy(numbers: np.ndarray, positions: np.ndarray, cell: Any = None) -> float:
        atoms = Atoms(numbers, positions, cell=cell, pbc=cell is not None)
        atoms.calc = calculator
        return float(atoms.get_potential_energy())

    # a molecule alone, far from its images
    apart = energy(np.array(box.atomic_numbers), box.cart_coords, cell)
    apart += energy(guest.numbers, guest.positions + 20.0, 40.0 * np.eye(3))
    numbers = np.concatenate([box.atomic_numbers, guest.numbers])
    started = time.process_time()
    found = [energy(numbers, np.concatenate([box.cart_coords, site]), cell) - apart for site in sites]
    return np.array(found), len(sites) / (time.process_time() - started), len(numbers)


if __name__ == "__main__":
    main()
