"""Widom insertion on a potential: against direct integration, local against whole box, overlaps and holes."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from potentials.ase_potential import lennard_jones
from potentials.errors import InputError
from potentials.potential import PotentialOutput
from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.guests import GUESTS, guest_molecule
from screening.adsorption.guided_insertion import draw_probabilities, guided_insertions, uniform_insertions
from screening.adsorption.potential_widom import (
    BOLTZMANN,
    KJ_PER_MOL_PER_EV,
    PotentialWidomSettings,
    _cut_out_energies,
    contact_ratios,
    henry_with_potential,
    interaction_energy,
    receptive_field,
)

EPSILON, SIGMA, CUTOFF = 0.0103, 3.4, 7.0
EVEN = PotentialWidomSettings(guide="none")


class PairPotential:
    """Truncated Lennard-Jones of every pair, batched; optionally with a hole below a distance."""

    name, elements = "pairs", frozenset(range(1, 119))

    def __init__(self, hole: float = 0.0, depth: float = -3.0) -> None:
        self.cutoff: float | None = CUTOFF
        self.hole, self.depth = hole, depth
        self.systems = 0

    def __call__(self, batch, *, stress=True):
        from potentials.neighbours import edge_vectors, neighbour_list

        near = neighbour_list(batch, CUTOFF, half=True)
        r = edge_vectors(batch, near).norm(dim=1)
        s6 = (SIGMA / r) ** 6
        energy = torch.where(r < self.hole, torch.full_like(r, self.depth), 4 * EPSILON * (s6 * s6 - s6))
        self.systems += batch.num_graphs
        total = energy.new_zeros(batch.num_graphs).index_add(0, near.edge_batch, energy)
        return PotentialOutput(energy=total, forces=torch.zeros_like(batch.positions))


def argon_lattice(a: float = 8.0) -> Structure:
    return Structure(Lattice.cubic(a), ["Ar"], [[0, 0, 0]])


def direct_sum(a: float, temperature: float, n: int = 48) -> tuple[float, float]:
    """(K_H mol/(kg Pa), heat kJ/mol) of argon in simple cubic argon by summing over a grid."""
    axis = (np.arange(n) + 0.5) / n
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3) * a
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3) * a
    r = np.linalg.norm(points[:, None] - shifts, axis=2)
    s6 = (SIGMA / np.maximum(r, 0.5)) ** 6
    energy = np.where(r < CUTOFF, 4 * EPSILON * (s6 * s6 - s6), 0.0).sum(1)
    weight = np.exp(-energy / (BOLTZMANN * temperature))
    density = argon_lattice(a).density * 1000
    heat = (BOLTZMANN * temperature - (weight * energy).sum() / weight.sum()) * KJ_PER_MOL_PER_EV
    return weight.mean() / (GAS_CONSTANT * temperature * density), heat


def test_henry_coefficient_and_heat_equal_direct_integration():
    potential = PairPotential()
    found = henry_with_potential(
        argon_lattice(),
        "Ar",
        potential,
        120.0,
        EVEN.model_copy(update={"insertions": 1500, "batch_atoms": 3000}),
        seed=1,
    )
    henry, heat = direct_sum(8.0, 120.0)
    assert found.henry_std < 0.08 * henry
    assert found.henry_coefficient == pytest.approx(henry, abs=4 * found.henry_std)
    assert found.heat == pytest.approx(heat, abs=4 * found.heat_std)
    assert found.overlaps > 0
    assert found.holes == 0
    assert found.insertions == 1500
    assert potential.systems < 1500  # overlaps were not evaluated


def test_a_guide_makes_errors_smaller_and_no_difference():
    # argon at 60 K binds in the corners of the cell; the guide's force field is another than the potential
    henry, heat = direct_sum(8.0, 60.0)
    settings = EVEN.model_copy(update={"insertions": 400, "batch_atoms": 3000})
    even = henry_with_potential(argon_lattice(), "Ar", PairPotential(), 60.0, settings, seed=1)
    guided = settings.model_copy(update={"guide": "uff-trappe"})
    found = [henry_with_potential(argon_lattice(), "Ar", PairPotential(), 60.0, guided, seed=k) for k in range(4)]
    assert all("drawn from 100 times as many by uff-trappe" in each.method for each in found)
    stds = np.array([each.henry_std for each in found])
    assert stds.mean() < 0.6 * even.henry_std
    mean = np.mean([each.henry_coefficient for each in found])
    assert mean == pytest.approx(henry, abs=4 * np.sqrt((stds**2).sum()) / 4)
    assert found[0].heat == pytest.approx(heat, abs=4 * found[0].heat_std)


def test_a_wrong_guide_still_gives_the_average_of_uniform_insertion():
    # a guide that thinks of krypton-sized repulsion draws seldom where the potential binds: error bars, not bias
    rng = np.random.default_rng(3)
    place = rng.random(200_000)
    energy = -4.0 * np.cos(2 * np.pi * place)  # kT, of the potential
    exact = np.exp(-energy).mean()
    probability = draw_probabilities(-energy)  # the guide has the sign wrong
    estimates = []
    for _ in range(30):
        chosen = rng.choice(len(place), 2000, p=probability)
        estimates.append((np.exp(-energy[chosen]) / (len(place) * probability[chosen])).mean())
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert error < 0.02 * exact
    assert np.mean(estimates) == pytest.approx(exact, abs=4 * error)


def test_what_the_guide_cannot_describe_is_inserted_uniformly():
    odd = Structure(Lattice.cubic(9.0), ["Po"], [[0, 0, 0]])
    drawn = guided_insertions(
        odd, guest_molecule("CH4"), 300.0, 40, force_field="trappe-zeo", pool=10, blocks=4, seed=0
    )
    assert "drawn uniformly, since trappe-zeo cannot guide" in drawn.words
    assert (drawn.weights == 1.0).all()


def test_cut_out_whole_box_and_ase_give_the_same_energies():
    host, guest = argon_lattice(9.0), guest_molecule("N2")
    sites = uniform_insertions(host, guest, 6, seed=3).sites
    settings = PotentialWidomSettings()
    energy, how = interaction_energy(host, guest, PairPotential(), settings)
    whole = energy(sites)
    assert "cells" in how
    assert _cut_out_energies(host, guest, PairPotential(), CUTOFF, settings, sites) == pytest.approx(whole, rel=1e-9)
    ase = lennard_jones(epsilon=EPSILON, sigma=SIGMA, cutoff=CUTOFF)
    assert receptive_field(ase) == CUTOFF
    cut = _cut_out_energies(host, guest, ase, 2 * CUTOFF, settings, sites[:2])
    assert cut == pytest.approx(interaction_energy(host, guest, ase, settings)[0](sites[:2]), rel=1e-8, abs=1e-10)


def test_a_local_potential_gets_cut_outs_where_they_are_smaller():
    guest, potential = guest_molecule("Ar"), PairPotential()
    potential.cutoff = potential.receptive_field = 3.0
    wide = Structure(Lattice.cubic(30.0), ["Ar"] * 2, [[0, 0, 0], [0.2, 0, 0]])
    assert "cut-outs of 6" in interaction_energy(wide, guest, potential, PotentialWidomSettings())[1]
    assert "cells" in interaction_energy(argon_lattice(4.0), guest, PairPotential(), PotentialWidomSettings())[1]
    assert receptive_field(PairPotential()) is None


def test_results_do_not_depend_on_the_batch():
    results = [
        henry_with_potential(
            argon_lattice(),
            "CO2",
            PairPotential(),
            300.0,
            EVEN.model_copy(update={"insertions": 60, "batch_atoms": n}),
            seed=5,
        )
        for n in (1, 5000)
    ]
    assert results[0].henry_coefficient == pytest.approx(results[1].henry_coefficient, rel=1e-10)
    assert results[0].overlaps == results[1].overlaps


def test_holes_are_found_reported_and_left_out():
    settings = EVEN.model_copy(update={"insertions": 800, "overlap": 0.3})
    sound = henry_with_potential(argon_lattice(), "Ar", PairPotential(), 200.0, settings, seed=2)
    holed = henry_with_potential(argon_lattice(), "Ar", PairPotential(hole=2.4), 200.0, settings, seed=2)
    assert holed.holes > 0
    assert holed.deepest == pytest.approx(-3.0, abs=0.2)
    assert f"{holed.holes} of" in holed.note
    assert "holes" in holed.note
    assert holed.henry_coefficient == pytest.approx(sound.henry_coefficient, rel=1e-6)
    # a shallow well within bonding distance is one too: no attraction is believed there
    shallow = henry_with_potential(argon_lattice(), "Ar", PairPotential(hole=1.9, depth=-0.5), 200.0, settings, seed=2)
    assert shallow.holes > 0


def test_no_room_is_said_and_not_an_error():
    found = henry_with_potential(
        argon_lattice(3.0), "Ar", PairPotential(), 300.0, EVEN.model_copy(update={"insertions": 50}), seed=0
    )
    assert found.henry_coefficient < 1e-50
    assert found.heat is None
    assert "does not fit" in found.note


def test_contacts_are_measured_across_the_cell():
    host, guest = argon_lattice(8.0), guest_molecule("Ar")
    sites = np.array([[[7.0, 0.0, 0.0]], [[4.0, 4.0, 4.0]], [[-25.0, 8.0, 16.0]]])
    vdw, covalent = contact_ratios(host, guest, sites)
    distances = np.array([1.0, np.sqrt(48.0), 1.0])
    assert vdw == pytest.approx(distances / 3.66, rel=0.02)  # argon, 1.83 Å
    assert (covalent / vdw).std() < 1e-12


@pytest.mark.parametrize("name", GUESTS)
def test_molecules_are_centred_and_sound(name):
    from ase.data import atomic_masses

    guest = guest_molecule(name.lower())
    assert (atomic_masses[guest.numbers] @ guest.positions) == pytest.approx(np.zeros(3), abs=1e-10)
    apart = np.linalg.norm(guest.positions[:, None] - guest.positions[None], axis=2)
    assert (apart[~np.eye(len(apart), dtype=bool)] > 0.7).all()


def test_bad_input_is_named():
    with pytest.raises(InputError, match="no atomic geometry of 'XY'"):
        henry_with_potential(argon_lattice(), "XY", PairPotential())
    with pytest.raises(InputError, match="not above 0"):
        henry_with_potential(argon_lattice(), "Ar", PairPotential(), 0.0)
    potential = PairPotential()
    potential.elements = frozenset({18})
    with pytest.raises(InputError, match="does not know C, O"):
        henry_with_potential(argon_lattice(), "CO2", potential)


def test_evaluator_names_gas_and_temperature_and_rejects_with_the_reason():
    from screening.adsorption.potential_evaluator import PotentialHenrySettings, evaluate_potential_henry
    from screening.candidate import Candidate

    settings = PotentialHenrySettings(potential="lj", gases=("Ar",), temperature=150.0, insertions=12)
    found = evaluate_potential_henry(Candidate("x", 0, argon_lattice(), {}), settings, 1)
    names = {p.name: p for p in found.properties}
    assert set(names) == {"ar_potential_henry_150K", "ar_potential_heat_150K"}
    assert names["ar_potential_henry_150K"].value > 0
    assert "Widom on lj" in names["ar_potential_henry_150K"].method
    mixed = Structure(Lattice.cubic(8.0), [{"Ar": 0.5, "Kr": 0.5}], [[0, 0, 0]])
    assert "partially occupied" in evaluate_potential_henry(Candidate("y", 0, mixed, {}), settings, 1).rejected
