"""CHGNet through our batched path is CHGNet: compared with the chgnet package itself."""

import contextlib
import io
from functools import cache

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from potentials.atom_graph import collate, graph_from_atoms, graph_from_structure
from potentials.chgnet_potential import CHGNetPotential
from potentials.errors import GeometryError, InputError
from potentials.neighbours import VerletList
from potentials.potential import load_potential
from potentials.structure_files import parse_cif

GPA = 160.21766208  # GPa in one eV/Å^3, the factor the chgnet package multiplies its stress with


def prototypes() -> list[Structure]:
    """Fifteen crystals of 1-56 atoms from space group, cell and asymmetric unit."""
    build = Structure.from_spacegroup
    cubic, hexagonal = Lattice.cubic, Lattice.hexagonal
    return [
        Structure(Lattice.from_parameters(2.56, 2.56, 2.56, 60, 60, 60), ["Cu"], [[0, 0, 0]]),
        build("Im-3m", cubic(2.87), ["Fe"], [[0, 0, 0]]),
        build("P6_3/mmc", hexagonal(3.21, 5.21), ["Mg"], [[1 / 3, 2 / 3, 1 / 4]]),
        build("Fd-3m", cubic(5.43), ["Si"], [[0, 0, 0]]),
        build("Fm-3m", cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        build("Pm-3m", cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        build("F-43m", cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
        build("P6_3mc", hexagonal(3.25, 5.21), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]),
        build("Fm-3m", cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
        build("P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
        build("Pm-3m", cubic(3.91), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
        build("R-3m", hexagonal(2.82, 14.05), ["Li", "Co", "O"], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.26]]),
        build("R-3c", hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]),
        build("Fd-3m:2", cubic(8.08), ["Mg", "Al", "O"], [[0.125] * 3, [0.5] * 3, [0.2624] * 3]),
        build("P3_221", hexagonal(4.91, 5.40), ["Si", "O"], [[0.470, 0, 2 / 3], [0.413, 0.267, 0.786]]),
    ]


@cache
def fifty() -> list[Structure]:
    """Fifty strained, rattled cells of the prototypes, some of them doubled."""
    rng = np.random.default_rng(11)
    found = []
    kinds = prototypes()
    for k in range(50):
        structure = kinds[k % len(kinds)].copy()
        if k >= 30 and len(structure) <= 8:
            structure.make_supercell([2, 1, 1])
        strain = rng.normal(scale=0.02, size=(3, 3))
        lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + (strain + strain.T) / 2))
        moved = Structure(lattice, structure.species, structure.frac_coords)
        found.append(
            Structure(
                lattice,
                moved.species,
                moved.cart_coords + rng.normal(scale=0.03, size=(len(moved), 3)),
                coords_are_cartesian=True,
            )
        )
    return found


@cache
def package_model():
    from chgnet.model.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):
        model = CHGNet.load(use_device="cpu", verbose=False)
    model.graph_converter.set_isolated_atom_response("ignore")
    return model


def package(structures: list[Structure]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies per atom, forces, stresses in eV/Å^3, from the chgnet package, one structure at a time."""
    answers = [package_model().predict_structure(structure, task="efs") for structure in structures]
    return (
        np.array([answer["e"] for answer in answers]),
        np.concatenate([answer["f"] for answer in answers]),
        np.array([answer["s"] for answer in answers]) / GPA,
    )


def ours(structures: list[Structure], name: str = "chgnet", **options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    batch = collate([graph_from_structure(structure) for structure in structures])
    output = load_potential(name, **options)(batch)
    counts = np.array([len(structure) for structure in structures])
    return output["energy"].numpy() / counts, output["forces"].numpy(), output["stress"].numpy()


@cache
def fifty_by_the_package() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return package(fifty())


def test_equals_the_package_on_fifty_structures_in_one_batch() -> None:
    structures = fifty()
    counts = np.array([len(structure) for structure in structures])
    assert len(set(counts)) > 8
    energy, forces, stress = ours(structures)
    expected_energy, expected_forces, expected_stress = fifty_by_the_package()
    assert np.abs(expected_forces).max() > 0.5  # the comparison is of something
    np.testing.assert_allclose(energy * counts, expected_energy * counts, rtol=0, atol=1e-5)
    np.testing.assert_allclose(forces, expected_forces, rtol=0, atol=1e-5)
    np.testing.assert_allclose(stress, expected_stress, rtol=0, atol=1e-5)


def test_fast_layout_differs_from_the_package_by_rounding_only() -> None:
    """Single precision: the package's own forces change by 4e-5 eV/Å when atoms are listed in another order."""
    energy, forces, stress = ours(fifty(), "chgnet-fast")
    expected_energy, expected_forces, expected_stress = fifty_by_the_package()
    np.testing.assert_allclose(energy, expected_energy, rtol=0, atol=2e-6)
    np.testing.assert_allclose(forces, expected_forces, rtol=0, atol=6e-5)
    assert np.abs(forces - expected_forces).mean() < 5e-6
    np.testing.assert_allclose(stress, expected_stress, rtol=0, atol=1e-5)


def test_fast_layout_equals_the_package_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """With rounding out of the way the two are the same function to nine digits."""
    import chgnet.graph.converter
    import chgnet.model.model
    from chgnet.model.composition_model import AtomRef

    monkeypatch.setattr(chgnet.graph.converter, "TORCH_DTYPE", torch.float64)
    monkeypatch.setattr(chgnet.model.model, "TORCH_DTYPE", torch.float64)
    single = AtomRef._assemble_graphs  # it counts atoms in float32
    monkeypatch.setattr(AtomRef, "_assemble_graphs", lambda self, graphs: single(self, graphs).double())
    structures = fifty()[5:15]
    model = package_model()
    try:
        model.double()
        expected_energy, expected_forces, expected_stress = package(structures)
    finally:
        model.float()
    energy, forces, stress = ours(structures, "chgnet-fast", dtype="float64")
    np.testing.assert_allclose(energy, expected_energy, rtol=0, atol=2e-6)  # it averages references in float32
    np.testing.assert_allclose(forces, expected_forces, rtol=0, atol=1e-8)
    np.testing.assert_allclose(stress, expected_stress, rtol=0, atol=1e-8)


def test_equals_the_package_on_frameworks(data) -> None:
    """Real frameworks of up to 110 atoms with forces of several eV/Å.

    Fractional coordinates come back from Cartesian ones to 1e-16; where that flips the last bit of a single-precision
    number, the package's own rounding noise (4e-5 eV/Å) is drawn anew.
    """
    import tarfile

    archive = next((data / "sorbents" / "coremof_ddec").glob("ddec_xtals*.tar.xz"))
    structures = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(".cif") and 20_000 > member.size > 4_000:
                ((_, structure),) = parse_cif(tar.extractfile(member).read().decode())
                if len(structure) <= 110:
                    structures.append(structure)
            if len(structures) == 3:
                break
    expected_energy, expected_forces, expected_stress = package(structures)
    for name, tolerance in (("chgnet", 4e-5), ("chgnet-fast", 6e-5)):
        energy, forces, stress = ours(structures, name)
        np.testing.assert_allclose(energy, expected_energy, rtol=0, atol=1e-5)
        np.testing.assert_allclose(forces, expected_forces, rtol=0, atol=tolerance)
        np.testing.assert_allclose(stress, expected_stress, rtol=0, atol=1e-5)


def test_r2scan_weights_load_and_equal_the_package() -> None:
    from chgnet.model.model import CHGNet

    structure = prototypes()[4]
    with contextlib.redirect_stdout(io.StringIO()):
        expected = CHGNet.load(model_name="r2scan", use_device="cpu", verbose=False).predict_structure(
            structure, task="e"
        )
    for name in ("chgnet", "chgnet-fast"):
        energy, _, _ = ours([structure], name, version="r2scan")
        assert energy[0] == pytest.approx(float(expected["e"]), abs=2e-6)  # eV per atom


@pytest.mark.parametrize("name", ["chgnet", "chgnet-fast"])
def test_batch_equals_single(name: str) -> None:
    energy, forces, stress = ours(fifty()[3:12], name)
    alone = [ours([structure], name) for structure in fifty()[3:12]]
    np.testing.assert_allclose(energy, np.concatenate([part[0] for part in alone]), rtol=0, atol=2e-6)
    np.testing.assert_allclose(forces, np.concatenate([part[1] for part in alone]), rtol=0, atol=5e-5)
    np.testing.assert_allclose(stress, np.concatenate([part[2] for part in alone]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["chgnet", "chgnet-fast"])
def test_isolated_atoms_do_not_stop_a_batch(name: str) -> None:
    atoms = [bulk("NaCl", "rocksalt", 5.6), Atoms("He", cell=[20, 20, 20], pbc=True), Atoms("O", [[0, 0, 0]])]
    output = load_potential(name)(collate([graph_from_atoms(a) for a in atoms]))
    assert torch.isfinite(output["energy"]).all()
    assert output["forces"][2:].abs().max() == 0
    assert output["stress"][1:].abs().max() == 0
    assert output["energy"][0] < -6


@pytest.mark.parametrize("name", ["chgnet", "chgnet-fast"])
def test_unknown_elements_and_flat_cells_are_refused_with_a_sentence(name: str) -> None:
    potential = load_potential(name)
    assert len(potential.elements) == 89
    with pytest.raises(InputError, match=r"does not know Po \(system 1 of the batch\)"):
        potential(collate([graph_from_atoms(bulk("Cu")), graph_from_atoms(bulk("Po", "sc", 3.3))]))
    flat = Atoms("Cu", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 1e-4]], pbc=True)
    with pytest.raises(GeometryError, match=r"cell height 0\.0001 Å along . is below 0\.5 Å"):
        potential(collate([graph_from_atoms(flat)]))


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match=r"choose one of 0\.3\.0, r2scan"):
        CHGNetPotential("0.2.0")
    with pytest.raises(InputError, match="float16"):
        CHGNetPotential(dtype="float16")


def test_skin_reuses_lists_and_changes_nothing() -> None:
    plain, skinned = CHGNetPotential(), CHGNetPotential(skin=1.0)
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    pairs = skinned._pairs
    assert isinstance(pairs, VerletList)
    rng = np.random.default_rng(0)
    for _ in range(4):
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        batch = collate([graph_from_atoms(atoms)])
        first, second = plain(batch), skinned(batch)
        for key in first:
            torch.testing.assert_close(first[key], second[key], rtol=0, atol=2e-5)
    assert pairs.rebuilt == 1
