"""Widom insertions a second on a learned potential, against one at a time through ASE on the same potential.

    python benchmarks/potential_widom.py --potential network
    python benchmarks/potential_widom.py --potential chgnet
    python benchmarks/potential_widom.py --potential chgnet --equal-error -n 600    # row E4c; E4d with another

CO2 in Mg-MOF-74. `network` is the project's equivariant network in its default shape (or a `--checkpoint`, a path or a
short name); `chgnet` is CHGNet 0.3.0. Both sides get the same insertions, none of which overlaps the host, on one
thread, in a box in which the molecule does not feel its images; their energies are compared. The peer is an ASE
calculator as it comes, which works out forces and stress with every energy. How fast it is in the smallest box anyone
would take (twice the cut-off, in which the molecule does feel its images through two layers of messages) is recorded
beside it.

With `--equal-error` the question is how long the same relative error of the Henry coefficient takes: ours draws
insertions by a classical force field and weighs them, the peer draws them uniformly and evaluates one at a time those
that do not overlap. The variance of either is worked out from one set of weighed insertions (the second moment of
uniform ones is the weighed mean of the squared Boltzmann factor). Times are seconds of one core (process time), since
the machine is shared.
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
from screening.adsorption.guided_insertion import uniform_insertions
from screening.adsorption.potential_widom import (
    BOLTZMANN,
    PotentialWidomSettings,
    contact_ratios,
    insertions,
    interaction_energy,
)

TEMPERATURE = 298.0  # K


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", choices=["network", "chgnet"], default="network")
    parser.add_argument("--checkpoint", help="a trained network instead of seeded weights")
    parser.add_argument("-n", type=int, default=128, help="insertions, ours")
    parser.add_argument("--peer", type=int, default=6, help="of these, through ASE")
    parser.add_argument("--equal-error", action="store_true", help="time to the same error of the Henry coefficient")
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
    if arguments.equal_error:
        least = supercell_repeats(host.lattice, potential.cutoff)
        equal_error(arguments, host, guest, settings, potential.name, energy, calculator, least, peer)
        return
    theirs, peer_rate, atoms = through_ase(host * repeats, guest, calculator, sites[: arguments.peer])
    difference = float(np.abs(theirs - ours[: len(theirs)]).max())
    print(f"{how}: {rate:.2f}/s; ASE: {peer_rate:.3f}/s in {atoms} atoms; energies differ by {difference:.1e} eV")
    what = potential.name
    note = f"energies agree within {difference:.1e} eV"
    least = supercell_repeats(host.lattice, potential.cutoff)
    if least != repeats:
        cramped, least_rate, least_atoms = through_ase(host * least, guest, calculator, sites[: arguments.peer])
        off = float(np.abs(cramped - ours[: len(cramped)]).max())
        note += (
            f"; in the least box of twice the cut-off ({least_atoms} atoms) the peer makes {least_rate:.2f}/s, "
            f"a ratio of {rate / least_rate:.1f}, with energies off by up to {off:.1e} eV"
        )
    print(note)
    if arguments.potential == "network":
        weights = Path(arguments.checkpoint).name if arguments.checkpoint else "default shape, seeded weights"
        what = f"the equivariant network ({weights})"
    record(
        id="E4a" if arguments.potential == "network" else "E4b",
        value=rate,
        unit="insertions a second of one core",
        protocol=f"CO2 in Mg-MOF-74 on {what}, single precision, {how}, {len(sites)} insertions that do not overlap; "
        f"peer on {len(theirs)} of them, "
        f"{'x'.join(map(str, repeats))} cells, one thread each; process time",
        data_sha256=None,
        seed=arguments.seed,
        peer=peer,
        peer_value=peer_rate,
        note=note,
    )


def equal_error(
    arguments: argparse.Namespace,
    host: Structure,
    guest: Guest,
    settings: PotentialWidomSettings,
    name: str,
    energy: Any,
    calculator: Any,
    repeats: Any,
    peer: str,
) -> None:
    """Rows E4c, E4d: seconds to a relative error of 5 %; ours guided and in batches, the peer uniform, one at a time.

    The peer gets the smallest box anyone would take.
    """
    settings = settings.model_copy(update={"insertions": arguments.n})
    started = time.process_time()
    drawn = insertions(host, guest, TEMPERATURE, settings, arguments.seed)
    vdw, bond = contact_ratios(host, guest, drawn.sites)
    fits = vdw >= settings.overlap
    prepared = time.process_time() - started
    energies = np.full(len(fits), np.inf)
    energies[fits] = energy(drawn.sites[fits])
    seconds = time.process_time() - started
    holes = fits & ((energies < settings.well_limit) | ((energies < 0.0) & (bond < settings.bond)))
    factor = np.where(holes, 0.0, np.exp(-energies / (BOLTZMANN * TEMPERATURE)))
    weighed = drawn.weights * factor
    widom = weighed.mean()
    ours = weighed.var(ddof=1) / widom**2 / len(fits)  # squared relative error of this run
    uniform = (drawn.weights * factor**2).mean() / widom**2 - 1.0  # of one uniform insertion
    even = uniform_insertions(host, guest, 20_000, arguments.seed)
    share = float((contact_ratios(host, guest, even.sites)[0] >= settings.overlap).mean())
    sample = even.sites[contact_ratios(host, guest, even.sites)[0] >= settings.overlap][: arguments.peer]
    _, peer_rate, atoms = through_ase(host * repeats, guest, calculator, sample)
    error = 0.05
    our_time = seconds * ours / error**2
    their_time = uniform / error**2 * share / peer_rate
    print(
        f"W {widom:.3g} +- {ours**0.5:.1%} in {seconds:.0f} s ({prepared:.1f} s of it to draw), "
        f"{int(fits.sum())} evaluated, {int(holes.sum())} holes; relative variance of a uniform insertion "
        f"{uniform:.1f}, {share:.1%} fit; "
        f"to 5 %: ours {our_time:.0f} s, one at a time {their_time:.0f} s"
    )
    record(
        id="E4c" if arguments.potential == "chgnet" else "E4d",
        value=our_time,
        unit="s of one core to 5 % of K_H",
        protocol=f"CO2 in Mg-MOF-74 at {TEMPERATURE:g} K on {name}: process time to a relative standard error of 5 % "
        f"of the Henry coefficient. Ours: {arguments.n} insertions {drawn.words}, {int(fits.sum())} evaluated in "
        f"batches at {fits.sum() / (seconds - prepared):.1f}/s, drawing included, scaled with the square of its error "
        f"({ours**0.5:.1%}). Peer: uniform insertions, only the {share:.1%} that do not overlap evaluated, at "
        f"{peer_rate:.2f}/s ({len(sample)} timed in {atoms} atoms), as many as their variance needs, worked out "
        "from our weighed insertions",
        data_sha256=None,
        seed=arguments.seed,
        peer=f"{peer}, uniform insertions",
        peer_value=their_time,
        note=f"W = {widom:.4g}; {int(holes.sum())} holes left out; relative variance of a uniform insertion "
        f"{uniform:.1f}, of a guided one {ours * len(fits):.1f}; their time over ours {their_time / our_time:.1f}",
    )


def fitting_sites(host: Structure, guest: Guest, settings: PotentialWidomSettings, count: int, seed: int) -> np.ndarray:
    """Insertions [count, m, 3] that do not overlap."""
    sites = uniform_insertions(host, guest, 20 * count, seed).sites
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
