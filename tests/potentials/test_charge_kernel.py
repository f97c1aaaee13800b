"""Charges by kinship: descriptors without a frame, neutral sums, atoms alike found again, uncertain atoms pay."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from potentials.atom_graph import collate, graph_from_structure
from potentials.charge_descriptors import FAMILIES, atom_descriptors, block_sizes, families_of
from potentials.charge_features import FEATURES, chgnet_features
from potentials.charge_kernel import ChargeKernel, ChargeKernelConfig, fit_charge_kernel
from potentials.charge_network import ChargeEnsemble, ChargeGraph, ChargeNetwork, ChargeNetworkConfig, join_graphs
from potentials.charge_training import LabelledGraph, charge_errors
from potentials.chgnet_potential import CHGNetPotential
from potentials.errors import InputError

PRIOR = 3
SMALL = ChargeKernelConfig(centres=40, dimensions=12, sample=20, steps=15)


def rock(metal: str, a: float, seed: int = 0) -> Structure:
    """A distorted oxide of 8 atoms."""
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [metal, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    salt.perturb(0.15, seed=seed)
    return salt


def graph_of(structure: Structure) -> ChargeGraph:
    import vesin

    finder = vesin.NeighborList(cutoff=5.0, full_list=True)
    i, j, vectors = finder.compute(structure.cart_coords, structure.lattice.matrix, True, "ijD")
    numbers = torch.tensor(structure.atomic_numbers)
    average = torch.where(numbers == 8, -1.0, 1.2)
    return ChargeGraph(
        numbers=numbers,
        centre=torch.from_numpy(i.astype(np.int64)),
        neighbour=torch.from_numpy(j.astype(np.int64)),
        vectors=torch.from_numpy(vectors).float(),
        multiplicity=torch.ones(len(numbers)),
        base=average - average.mean(),
        prior=torch.stack([average - average.mean(), average, torch.full_like(average, 0.5)], dim=1),
        system=torch.zeros(len(numbers), dtype=torch.int64),
        features=chgnet_features(graph_from_structure(structure)),
    )


def labelled(structure: Structure) -> LabelledGraph:
    """Charges that follow the distance to the nearest neighbour, so that there is something to learn."""
    graph = graph_of(structure)
    nearest = torch.full((len(graph.numbers),), 9.0).scatter_reduce(
        0, graph.centre, graph.vectors.norm(dim=1), "amin", include_self=True
    )
    sign = torch.where(graph.numbers == 8, -1.0, 1.0)
    charges = sign * (1.0 + 0.5 * (nearest - 2.1))
    return LabelledGraph(graph, charges - charges.mean())


def family_of_oxides() -> tuple[list[LabelledGraph], list[str]]:
    kinds = [(metal, 4.2 + 0.05 * k, k) for k in range(6) for metal in ("Mg", "Ca", "Mn")]
    return [labelled(rock(*kind)) for kind in kinds], [f"{metal}{k}" for metal, _, k in kinds]


def test_chgnet_features_end_in_the_energies_of_the_potential():
    oxide = rock("Mn", 4.4)
    features = chgnet_features(graph_from_structure(oxide))
    assert features.shape == (8, FEATURES)
    potential = CHGNetPotential()
    graph = graph_from_structure(oxide)
    energy = float(potential(collate([graph]), stress=False)["energy"][0])
    reference = float(potential.weights.reference[graph.numbers - 1].sum())
    assert float(features[:, -1].double().sum()) + reference == pytest.approx(energy, abs=1e-4)
    moments = features[:, -2]
    assert float(moments[graph.numbers == 25].min()) > 3.0  # Mn(II) is high spin
    assert float(moments[graph.numbers == 8].max()) < 0.5


def test_chgnet_features_refuse_an_element_it_does_not_know():
    with pytest.raises(InputError, match="Am"):
        chgnet_features(graph_from_structure(rock("Am", 5.0)))


def test_descriptors_know_no_frame_and_no_cell():
    oxide = rock("Mg", 4.3)
    own = atom_descriptors(graph_of(oxide))
    assert own.shape == (8, sum(block_sizes(PRIOR).values()))
    turned = Structure(
        Lattice(oxide.lattice.matrix @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]),
        oxide.species,
        oxide.frac_coords,
    )
    assert atom_descriptors(graph_of(turned)) == pytest.approx(own.numpy(), abs=2e-3)
    double = atom_descriptors(graph_of(oxide * (1, 1, 2)))
    assert double == pytest.approx(np.repeat(own.numpy(), 2, axis=0), abs=2e-3)


def test_families_part_metals_from_the_rest():
    found = families_of(torch.tensor([12, 8, 7, 6, 1, 15, 92]))
    assert [FAMILIES[k] for k in found] == ["metal", "O", "N", "C", "H", "other", "metal"]


def test_it_learns_what_the_average_misses_and_stays_neutral():
    systems, formulas = family_of_oxides()
    kernel = fit_charge_kernel(systems, formulas, SMALL)
    held_out = [labelled(rock(metal, 4.37, seed=77)) for metal in ("Mg", "Ca", "Mn")]
    base = np.mean([(s.graph.base - s.target).abs().mean() for s in held_out])
    assert charge_errors(kernel, held_out).mean_absolute < 0.5 * base
    for system in held_out:
        assert float(kernel(system.graph).sum()) == pytest.approx(0.0, abs=1e-5)
    batch = kernel(join_graphs([system.graph for system in held_out]))
    apart = torch.cat([kernel(system.graph) for system in held_out])
    assert batch == pytest.approx(apart.numpy(), abs=1e-6)
    again = fit_charge_kernel(systems, formulas, SMALL)
    assert torch.equal(again(held_out[0].graph), kernel(held_out[0].graph))


def test_an_atom_unlike_all_others_falls_back_to_its_average_and_pays_the_excess():
    systems, formulas = family_of_oxides()
    kernel = fit_charge_kernel(systems, formulas, SMALL)
    process = kernel.families[0]
    known = atom_descriptors(systems[0].graph)[families_of(systems[0].graph.numbers) == 0]
    strange = known + 50.0 * torch.sign(torch.randn(known.shape, generator=torch.Generator().manual_seed(0)))
    expected, left = process(known)
    far, more = process(strange)
    assert float(far.abs().max()) < float(expected.abs().max())
    assert float(more.min()) > float(left.max())


def test_a_family_without_atoms_keeps_the_average():
    systems, formulas = family_of_oxides()
    kernel = fit_charge_kernel(systems, formulas, SMALL)
    nitride = graph_of(rock("Mg", 4.3))
    numbers = torch.where(nitride.numbers == 8, 7, nitride.numbers)
    charges = kernel(replace(nitride, numbers=numbers))
    assert bool(torch.isfinite(charges).all())
    assert kernel.shapes[FAMILIES.index("N")] == (0, 1)


def test_an_ensemble_counts_the_kernel_with_its_share():
    systems, formulas = family_of_oxides()
    kernel = fit_charge_kernel(systems, formulas, SMALL)
    torch.manual_seed(0)
    shape = ChargeNetworkConfig(channels=4, carried=(4,), radial_hidden=4, prior_features=PRIOR)
    networks = [ChargeNetwork(shape).eval() for _ in range(2)]
    ensemble = ChargeEnsemble(networks, kernel, 0.4)
    assert ensemble.shares == pytest.approx([0.3, 0.3, 0.4])
    graph = systems[0].graph
    with torch.no_grad():
        expected = 0.3 * networks[0](graph) + 0.3 * networks[1](graph) + 0.4 * kernel(graph)
        assert ensemble(graph) == pytest.approx(expected.numpy(), abs=1e-6)
        assert len(ensemble.member_charges(graph)) == 3
        with pytest.raises(InputError, match="features of CHGNet"):
            ensemble(replace(graph, features=None))
    copied = ChargeEnsemble([ChargeNetwork(shape) for _ in range(2)], ChargeKernel(kernel.shapes, PRIOR), 0.4)
    copied.load_state_dict(ensemble.state_dict())
    assert copied.eval()(graph).detach() == pytest.approx(ensemble(graph).detach().numpy(), abs=1e-7)


def test_nothing_to_fit_is_refused():
    with pytest.raises(InputError, match="no systems"):
        fit_charge_kernel([], [], SMALL)
