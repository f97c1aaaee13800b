"""Structure types: found again from coordinates, held exactly, drawn by likeness, written and read."""

import collections
import gzip
import json
import math

import numpy as np
import pytest
import torch
from crystal_samples import dataset, fcc, perovskite, rock_salt, structures
from pymatgen.core import Lattice, Structure

from gen.crystals import structure_types
from gen.crystals.checkpoint import WEIGHTS, read_model
from gen.crystals.config import CrystalTrainingConfig
from gen.crystals.generation import generate_crystals
from gen.crystals.prediction import predict_structures
from gen.crystals.sampling import SamplingConfig
from gen.crystals.structure_types import (
    FILE,
    KnownTypes,
    StructureType,
    collect_types,
    find_type,
    read_types,
    type_frame,
    unlikeness,
    write_types,
)
from gen.crystals.symmetry import niggli_cell, primitive_cell, space_group
from gen.crystals.training import train_crystals
from potentials.config import parse_config
from potentials.errors import InputError

FEW = SamplingConfig(steps=6, quench_steps=2)
NA, CL, SR, TI, O = 11, 17, 38, 22, 8  # noqa: E741


def reduced(structure: Structure):
    """Niggli cell of the primitive cell: lattice, frac, numbers."""
    cell = (structure.lattice.matrix, structure.frac_coords, np.array([s.specie.Z for s in structure]))
    return niggli_cell(primitive_cell(cell, 0.01))


def rutile() -> Structure:
    """TiO2, 136, a free coordinate u = 0.305 (Wyckoff 4f)."""
    u = 0.305
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    return Structure(Lattice.tetragonal(4.594, 2.959), ["Ti"] * 2 + ["O"] * 4, sites)


def quartz() -> Structure:
    """Alpha quartz, a chiral group (154 in the setting of P3221), two free sites."""
    return Structure.from_spacegroup(
        "P3221", Lattice.hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]]
    )


@pytest.mark.parametrize(
    "structure",
    [rock_salt("Na", "Cl", 5.64), perovskite("Sr", "Ti", 3.905), fcc("Cu", 3.615), rutile(), quartz()],
    ids=["rock salt", "perovskite", "fcc", "rutile", "quartz"],
)
def test_random_coordinates_of_a_type_have_its_space_group(structure):
    """With the true cell, whatever the free coordinates: exactly the group, the stoichiometry, and its own type."""
    lattice, frac, numbers = reduced(structure)
    kind, slots = find_type(lattice, frac, numbers)
    assert kind.space_group == space_group((lattice, frac, numbers), 0.01)
    for seed in range(3):
        frame = type_frame(kind, np.random.default_rng(seed))
        named = np.array([slots[slot] for slot in frame.species])
        assert collections.Counter(named.tolist()) == collections.Counter(numbers.tolist())
        assert space_group((lattice, frame.origin.numpy(), named), 1e-3) == kind.space_group
        # the lattice of the crystal is one the constraint leaves alone
        gram = torch.from_numpy(lattice @ lattice.T).reshape(9)
        assert torch.allclose(frame.metric @ gram, gram, atol=1e-4)


def test_the_crystal_itself_is_within_its_type():
    """Rutile's only freedom is u: its own coordinates are reached from any start along the allowed directions."""
    lattice, frac, numbers = reduced(rutile())
    kind, slots = find_type(lattice, frac, numbers)
    frame = type_frame(kind, np.random.default_rng(1))
    named = np.array([slots[slot] for slot in frame.species])

    def bonds(coordinates, kinds):
        between = coordinates[kinds == O][:, None] - coordinates[kinds == TI][None]
        return np.sort(np.linalg.norm((between - np.round(between)) @ lattice, axis=-1).ravel())

    best = np.inf
    direction = (frame.spread @ torch.randn(18, generator=torch.Generator().manual_seed(0)).double()).reshape(6, 3)
    scale = direction.abs().max()
    for step in np.linspace(0, 1, 401):
        moved = (frame.origin + step * direction / scale).numpy()
        best = min(best, np.abs(bonds(moved, named) - bonds(frac, numbers)).max())
    assert best < 0.02


def test_no_symmetry_no_type():
    lattice, frac, numbers = reduced(rutile())
    shaken = frac + 0.02 * np.random.default_rng(0).standard_normal(frac.shape)
    assert find_type(lattice, shaken, numbers) is None
    doubled = rock_salt("Na", "Cl", 5.64) * (2, 1, 1)
    cell = (doubled.lattice.matrix, doubled.frac_coords, np.array([s.specie.Z for s in doubled]))
    assert find_type(*cell) is None  # not a primitive cell


def known_types() -> KnownTypes:
    return collect_types(reduced(s) for s in structures())


def test_elements_take_the_places_of_their_like():
    """CaTiO3 from perovskites: calcium where strontium was, not where titanium was."""
    types = known_types()
    frame, numbers = types.draw([O, 20, O, TI, O], torch.Generator().manual_seed(0), 0.05)
    assert sorted(numbers) == sorted([O, 20, O, TI, O])
    lattice = 3.9 * np.eye(3)
    assert space_group((lattice, frame.origin.numpy(), np.array(numbers)), 1e-3) == 221
    place = {z: frame.origin.numpy()[numbers.index(z)] for z in (20, TI)}
    oxygens = frame.origin.numpy()[[k for k, z in enumerate(numbers) if z == O]]

    def nearest(z):
        between = oxygens - place[z]
        between -= np.round(between)
        return np.linalg.norm(between @ lattice, axis=-1).min()

    assert nearest(TI) == pytest.approx(1.95)
    assert nearest(20) == pytest.approx(1.95 * np.sqrt(2))


def test_likeness_is_chemical():
    same, potassium, copper, chlorine = unlikeness(np.array([NA]), np.array([NA, 19, 29, CL]))
    assert same == 0
    assert potassium < copper < chlorine
    bromine, sulfur = unlikeness(np.array([CL]), np.array([35, 16]))
    assert bromine < sulfur


def test_unknown_stoichiometry_has_no_type():
    assert known_types().draw([NA, NA, CL], torch.Generator().manual_seed(0), 0.05) is None


def test_types_come_back_from_disk(tmp_path):
    assert read_types(tmp_path) is None
    path = write_types(tmp_path, dataset())
    first = path.read_bytes()
    found = read_types(tmp_path)
    assert {kind.space_group for kind in found.types} == {221, 225}
    assert sum(len(entries) for entries in found.crystals.values()) == len(structures())
    write_types(tmp_path, dataset())
    assert path.read_bytes() == first
    one, other = (t.draw([NA, CL], torch.Generator().manual_seed(1), 0.05) for t in (found, found))
    assert torch.equal(one[0].origin, other[0].origin)
    (tmp_path / FILE).write_bytes(gzip.compress(b'{"types": [[225, [[0, 0]]]]}'))
    with pytest.raises(InputError, match="copy the checkpoint folder again"):
        read_types(tmp_path)


def test_types_of_the_same_data_are_found_once(tmp_path, monkeypatch):
    first = write_types(tmp_path / "first", dataset(), cache=tmp_path / "cache").read_bytes()

    def never(*_):
        raise AssertionError("looked for again")

    monkeypatch.setattr(structure_types, "find_type", never)
    assert write_types(tmp_path / "second", dataset(), cache=tmp_path / "cache").read_bytes() == first
    with pytest.raises(AssertionError, match="looked for again"):
        write_types(tmp_path / "third", dataset())


def test_sizes_on_disk_are_those_of_the_space_groups():
    """Indices of Wyckoff positions are on disk: shipped files hold as long as the positions keep their order."""
    payload = json.loads(gzip.decompress((WEIGHTS / "perovskites" / FILE).read_bytes()))
    assert len(payload["types"]) == len(payload["sizes"]) > 0
    for (number, sites, basis), sizes in zip(payload["types"], payload["sizes"], strict=True):
        frame = type_frame(StructureType(number, tuple(map(tuple, sites)), tuple(basis)), np.random.default_rng(0))
        assert np.bincount(frame.species.numpy()).tolist() == sizes


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Hardly trained on rock salts, perovskites and metals: enough for symmetry, seeds and batches."""
    values = {
        "out": str(tmp_path_factory.mktemp("types")),
        "network": {"channels": 16, "edge_channels": 12, "layers": 1},
        "process": {"no_geometry": 0.5},
        "train": {"epochs": 2, "batch_size": 8, "warmup_steps": 2},
    }
    return read_model(train_crystals(parse_config(CrystalTrainingConfig, values, "test"), dataset=dataset()))


def test_predictions_have_a_known_symmetry_whatever_the_batch(model):
    cells = [[NA, CL], [O, SR, O, TI, O], [12, 8], [29], [NA, NA, CL]]
    together = predict_structures(model, cells, seed=1, config=FEW)
    apart = predict_structures(model, cells, seed=1, config=FEW, batch_size=1)
    for cell, (one,), (alone,) in zip(cells, together, apart, strict=True):
        assert [site.specie.Z for site in one] == cell
        away = one.frac_coords - alone.frac_coords
        assert np.abs(away - np.round(away)).max() < 1e-3
    groups = [
        space_group((s.lattice.matrix, s.frac_coords, np.array([site.specie.Z for site in s])), 0.01)
        for (s,) in together[:4]
    ]
    assert groups == [225, 221, 225, 225]


def test_samples_have_a_known_symmetry_unless_told_otherwise(model):
    config = FEW.model_copy(update={"plausibility": 0.0})  # the same compositions, as the network draws them
    held = generate_crystals(model, range(6), 2, {"num_atoms": 2}, config)
    free = generate_crystals(model, range(6), 2, {"num_atoms": 2}, config.model_copy(update={"symmetry": "free"}))

    def group(structure):
        numbers = np.array([site.specie.Z for site in structure])
        return space_group((structure.lattice.matrix, structure.frac_coords, numbers), 0.01)

    pairs = [(a.structure, b.structure) for a, b in zip(held, free, strict=True) if len(a.structure.composition) == 2]
    assert pairs
    for one, other in pairs:
        assert one.composition == other.composition  # the type follows the species
        assert group(one) == 225
        assert group(other) != 225
    alone = generate_crystals(model, [4], 2, {"num_atoms": 2}, config)[0].structure
    away = alone.frac_coords - held[4].structure.frac_coords
    assert np.abs(away - np.round(away)).max() < 1e-3


def test_nearest_other_composition():
    known = known_types()
    assert known.nearest([NA, CL]) == pytest.approx(known.nearest([CL, NA]))
    assert 0 < known.nearest([NA, CL]) < known.nearest([NA, NA - 1])  # itself does not count
    assert known.nearest([NA, NA, CL]) == math.inf


def test_compositions_keep_to_known_ones(model):
    def unlike(plausibility):
        config = FEW.model_copy(update={"plausibility": plausibility})
        made = generate_crystals(model, range(24), 3, {"num_atoms": 5}, config)
        return [model.types.nearest(list(result.structure.atomic_numbers)) for result in made]

    free, strict = unlike(0.0), unlike(3.0)
    assert sum(map(math.isinf, strict)) < sum(map(math.isinf, free))
    alone = generate_crystals(model, [7], 3, {"num_atoms": 5}, FEW)[0].structure
    together = generate_crystals(model, range(9), 3, {"num_atoms": 5}, FEW)[7].structure
    assert alone.composition == together.composition


def test_a_composition_that_is_asked_for_is_not_drawn_again(model):
    (result,) = generate_crystals(model, [0], 1, {"composition": "Na2Cl", "num_atoms": 3}, FEW)
    assert model.types.nearest([NA, NA, CL]) == math.inf
    assert result.structure.composition.reduced_formula == "Na2Cl"
