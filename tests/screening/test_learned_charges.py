"""Learned charges: the shipped model, precedence and fallbacks, the data it is trained on, damaged files."""

import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from pymatgen.core import Lattice, Structure

import screening.adsorption.learned_charges as learned
from benchmarks import learned_charges as benchmark
from benchmarks.adsorption_structures import mfi, mg_mof_74
from potentials.atom_graph import graph_from_structure
from potentials.charge_features import chgnet_features
from potentials.charge_network import ChargeNetwork, ChargeNetworkConfig
from potentials.config import load_config
from potentials.errors import InputError
from potentials.files import data_root, sha256_file
from potentials.structure_files import read_structure
from screening.adsorption.charge_dataset import (
    FOLDS,
    PRIOR_FEATURES,
    cross_fitted_estimates,
    full_graph,
    prepare_archive,
    prepare_framework,
    read_charged_cif,
    split_of,
)
from screening.adsorption.charge_fitting import ChargeDataConfig, ChargeFitConfig, split_frameworks, train_charges
from screening.adsorption.charges import framework_charges
from screening.adsorption.environment_charges import environment_keys, estimate_from_keys, fit_table
from screening.adsorption.eqeq import eqeq_charges
from screening.adsorption.learned_charges import (
    charges_of,
    load_model,
    save_model,
    shipped_folder,
    shipped_model,
    unseen_elements,
)
from screening.bonds import bond_graph


def symbols(structure: Structure) -> list[str]:
    return [site.specie.symbol for site in structure]


def test_shipped_model_gives_mg_mof_74_sound_charges():
    mof = mg_mof_74()  # its formula was kept out of training
    charges, unseen = charges_of(mof, symbols(mof))
    assert charges.sum() == pytest.approx(0.0, abs=1e-9)
    assert unseen < 0.2
    mean = {s: charges[[x == s for x in symbols(mof)]].mean() for s in ("Mg", "H", "O")}
    assert 1.2 < mean["Mg"] < 1.9
    assert 0.0 < mean["H"] < 0.25
    assert -1.0 < mean["O"] < -0.5


def test_charges_do_not_depend_on_the_cell_chosen_or_on_the_order_of_atoms():
    mof = mg_mof_74()
    charges, _ = charges_of(mof, symbols(mof))
    double = mof * (1, 1, 2)
    doubled, _ = charges_of(double, symbols(double))
    assert doubled == pytest.approx(np.repeat(charges, 2), abs=2e-5)
    order = np.random.default_rng(0).permutation(len(mof))
    shuffled = Structure.from_sites([mof[i] for i in order])
    assert charges_of(shuffled, symbols(shuffled))[0] == pytest.approx(charges[order], abs=2e-5)


def test_symmetry_reduced_graph_gives_the_charges_of_all_atoms():
    mof = mg_mof_74()
    model = shipped_model()
    framework = read_charged_cif("x", cif_with_charges(mof))
    prepared = prepare_framework(framework, model.network.cutoff)
    assert len(prepared.first) == 9  # of 54: the asymmetric unit
    assert prepared.multiplicity.sum() == 54
    estimate = estimate_from_keys(prepared.keys, model.table)
    features = chgnet_features(graph_from_structure(framework.structure))
    whole_graph = replace(full_graph(framework.structure, model.network.cutoff, estimate), features=features)
    with torch.no_grad():
        distinct = model.network(prepared.graph(estimate, features[torch.from_numpy(prepared.first)]))
        whole = model.network(whole_graph)
    assert distinct == pytest.approx(whole[prepared.first].numpy(), abs=2e-4)


def test_elements_fall_back_and_say_so(monkeypatch):
    model = replace(shipped_model(), elements=shipped_model().elements - {"Ca"})
    monkeypatch.setattr(learned, "shipped_model", lambda: model)
    rock = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.8), ["Ca", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert unseen_elements(symbols(rock)) == ["Ca"]
    # an element never seen is treated like its kin, here in a solid far from any framework
    charges, method = framework_charges(rock, symbols(rock), "learned", None)
    assert method.startswith("learned (")
    assert "Ca never seen and taken like kin" in method
    assert charges.sum() == pytest.approx(0.0, abs=1e-9)
    assert charges[0] > 0.2
    # of Po CHGNet knows nothing either
    rock.replace_species({"Ca": "Po"})
    _, method = framework_charges(rock, symbols(rock), "learned", None)
    assert method == "EQeq (no reference charges for Po)"


def test_learned_is_a_method_of_framework_charges():
    silica = mfi()
    charges, method = framework_charges(silica, symbols(silica), "learned", None)
    assert method.startswith("learned (")
    assert charges[[s == "Si" for s in symbols(silica)]].mean() > 0.8


def cif_with_charges(structure: Structure, seed: int = 0) -> str:
    """A P1 CIF with charges by element, neutral."""
    by_element = {"Mg": 1.4, "Zn": 1.2, "O": -0.8, "C": 0.3, "H": 0.1, "N": -0.3}
    rng = np.random.default_rng(seed)
    noise = {element: rng.normal(0, 0.02) for element in by_element}
    charges = np.array([by_element[s] + noise[s] for s in symbols(structure)])
    charges -= charges.mean()
    a, b, c = structure.lattice.abc
    al, be, ga = structure.lattice.angles
    lines = [
        "data_x", "_symmetry_space_group_name_H-M 'P 1'",
        f"_cell_length_a {a:.10f}", f"_cell_length_b {b:.10f}", f"_cell_length_c {c:.10f}",
        f"_cell_angle_alpha {al:.10f}", f"_cell_angle_beta {be:.10f}", f"_cell_angle_gamma {ga:.10f}",
        "loop_", "_atom_site_label", "_atom_site_type_symbol", "_atom_site_fract_x", "_atom_site_fract_y",
        "_atom_site_fract_z", "_atom_site_charge",
    ]  # fmt: skip
    for k, (site, charge) in enumerate(zip(structure, charges, strict=True)):
        x, y, z = site.frac_coords
        lines.append(f"{site.specie.symbol}{k} {site.specie.symbol} {x:.10f} {y:.10f} {z:.10f} {charge:.6f}")
    return "\n".join(lines) + "\n"


def small_frameworks() -> list[Structure]:
    found = []
    for k, metal in enumerate(("Mg", "Zn", "Mg", "Zn", "Mg", "Zn", "Mg", "Zn", "Mg", "Zn", "Mg", "Zn")):
        n = 1 + k // 2
        base = Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.2), [metal, "O"], [[0, 0, 0], [0.5, 0, 0]])
        cell = base * (n, 1, 1)
        for image in range(n):  # another formula each
            if image % 2 == 0:
                cell.append("C", [(image + 0.5) / n, 0.5, 0.5])
        found.append(cell)
    return found


def archive(folder) -> None:
    with tarfile.open(folder / "all.tar.xz", "w:xz") as tar:
        for k, structure in enumerate(small_frameworks()):
            path = folder / f"f{k}.cif"
            path.write_text("{'a': 1}\n" + cif_with_charges(structure, k))
            tar.add(path, arcname=f"ddec/f{k}.cif")


def test_prepared_frameworks_survive_the_cache(tmp_path):
    archive(tmp_path)
    first = prepare_archive(tmp_path / "all.tar.xz", 4.0, tmp_path / "cache", "0" * 64)
    again = prepare_archive(tmp_path / "all.tar.xz", 4.0, tmp_path / "cache", "0" * 64)
    assert len(first) == len(again) == 12
    for a, b in zip(first, again, strict=True):
        assert (a.name, a.formula) == (b.name, b.formula)
        for field in ("keys", "charges", "first", "numbers", "multiplicity", "centre", "vectors", "target"):
            assert (getattr(a, field) == getattr(b, field)).all()


def test_training_frameworks_are_judged_by_tables_that_never_saw_them(tmp_path):
    archive(tmp_path)
    frameworks = prepare_archive(tmp_path / "all.tar.xz", 4.0, tmp_path / "cache", "0" * 64)
    fitted = fit_table((f.keys, f.charges) for f in frameworks)
    own = [estimate_from_keys(f.keys, fitted) for f in frameworks]
    crossed = cross_fitted_estimates(frameworks)
    assert FOLDS > 1
    seen = sum(float(e.count.sum()) for e in own)
    assert sum(float(e.count.sum()) for e in crossed) < seen
    errors = [
        np.mean([np.abs(e.charges - f.charges).mean() for e, f in zip(part, frameworks, strict=True)])
        for part in (own, crossed)
    ]
    assert errors[0] < errors[1]


def test_split_goes_by_formula_and_keeps_out():
    assert split_of("ZnO", {"ZnO"}) == "henry"
    assert split_of("ZnO", {"ZnO"}, {"ZnO", "MgO"}) == "henry"
    tested = next(f"C{n}" for n in range(1, 100) if split_of(f"C{n}", set()) == "test")
    assert split_of(tested, set(), {tested}) == "training"  # was kept out before, so no part of the test
    parts = [split_of(f"C{n}H{m}", set()) for n in range(1, 20) for m in range(1, 20)]
    assert 0.1 < parts.count("test") / len(parts) < 0.3
    assert parts.count("validation") > 10


def test_only_what_is_measured_on_is_kept_out(tmp_path):
    archive(tmp_path)
    (tmp_path / "henry.csv").write_text("mof,value\nf0,1.0\nf3,2.0\n")
    data = ChargeDataConfig(
        frameworks=tmp_path / "all.tar.xz",
        keep_out=(tmp_path / "all.tar.xz",),
        keep_out_only=tmp_path / "henry.csv",
        cache=tmp_path / "cache",
    )
    parts = split_frameworks(data, 4.0, "0" * 64)
    kept = {f.name for f in parts["henry"]}
    assert {"f0", "f3"} <= kept
    assert len({f.formula for f in parts["henry"]}) == 2  # others of the same two formulas stay out with them
    assert len(parts["training"]) == 12 - len(kept)  # kept out before, whatever part their formulas fall into
    everything = split_frameworks(data.model_copy(update={"keep_out_only": None}), 4.0, "0" * 64)
    assert len(everything["henry"]) == 12
    (tmp_path / "henry.csv").write_text("name\nf0\n")
    with pytest.raises(InputError, match="column mof"):
        split_frameworks(data, 4.0, "0" * 64)


def test_train_charges_end_to_end(tmp_path, monkeypatch):
    archive(tmp_path)
    import screening.adsorption.charge_fitting as fitting

    # the split by hash needs more formulas than a test can hold
    monkeypatch.setattr(fitting, "split_of", lambda formula, *_: "validation" if "Zn" in formula else "training")
    config = ChargeFitConfig(
        out=tmp_path / "model",
        data={
            "frameworks": tmp_path / "all.tar.xz",
            "keep_out": [],
            "cache": tmp_path / "cache",
        },
        network={"cutoff": 4.0, "channels": 4, "carried": [4], "radial_hidden": 4, "prior_features": PRIOR_FEATURES},
        train={"epochs": 2, "atoms": 4, "warmup_steps": 2},
    )
    folder = train_charges(config)
    model = load_model(folder)
    assert model.elements == {"Mg", "O", "C"}
    oxide = small_frameworks()[0]
    charges, _ = charges_of(oxide, symbols(oxide), model)
    assert charges.sum() == pytest.approx(0.0, abs=1e-9)
    description = json.loads((folder / "model.json").read_text())
    assert description["training"]["data_sha256"]
    assert description["training"]["hidden_elements"] == []
    assert str(tmp_path) not in json.dumps(description["training"]["data"])

    joined = train_charges(config.model_copy(update={"out": tmp_path / "joined", "seed": 7, "members": (folder,)}))
    alone = train_charges(config.model_copy(update={"out": tmp_path / "alone", "seed": 7}))
    both = load_model(joined)
    assert both.description["members"] == 2
    single = [charges_of(oxide, symbols(oxide), load_model(one))[0] for one in (folder, alone)]
    assert np.abs(single[0] - single[1]).max() > 1e-4
    assert charges_of(oxide, symbols(oxide), both)[0] == pytest.approx(np.mean(single, axis=0), abs=1e-6)

    onward = config.model_copy(update={"out": tmp_path / "onward", "seed": 8, "start": folder})
    train_charges(onward.model_copy(update={"train": config.train.model_copy(update={"epochs": 1, "lr": 1e-9})}))
    description = json.loads((tmp_path / "onward" / "model.json").read_text())
    assert description["training"]["started_from"]["seed"] == 0
    went_on = load_model(tmp_path / "onward").network.members[0]
    for name, value in model.network.members[0].named_parameters():
        if "readout" not in name:  # its last layer is scaled by a factor chosen on the validation part
            assert went_on.state_dict()[name] == pytest.approx(value.numpy(), abs=1e-5)

    wider = config.model_copy(
        update={"network": config.network.model_copy(update={"channels": 8}), "out": tmp_path / "wider"}
    )
    with pytest.raises(InputError, match="another shape"):
        train_charges(wider.model_copy(update={"start": folder}))
    several = load_model(train_charges(wider.model_copy(update={"members": (folder,)})))
    assert [shape.channels for shape in several.network.shapes] == [8, 4]
    assert charges_of(oxide, symbols(oxide), several)[0].sum() == pytest.approx(0.0, abs=1e-9)


def test_charges_by_kinship_are_fitted_beside_networks_trained_before(tmp_path, monkeypatch):
    archive(tmp_path)
    import screening.adsorption.charge_fitting as fitting

    monkeypatch.setattr(fitting, "split_of", lambda formula, *_: "validation" if "Zn" in formula else "training")
    data = {"frameworks": tmp_path / "all.tar.xz", "keep_out": [], "cache": tmp_path / "cache"}
    shape = {"cutoff": 4.0, "channels": 4, "carried": [4], "radial_hidden": 4, "prior_features": PRIOR_FEATURES}
    config = ChargeFitConfig(
        out=tmp_path / "network", data=data, network=shape, train={"epochs": 1, "atoms": 4, "warmup_steps": 2}
    )
    networks = load_model(train_charges(config))
    kernel = {"weight": 0.25, "centres": 20, "dimensions": 8, "sample": 10, "steps": 3}
    both = ChargeFitConfig(
        out=tmp_path / "both", data=data, network=shape, train=None, kernel=kernel, members=(tmp_path / "network",)
    )
    model = load_model(train_charges(both))
    assert model.network.shares == pytest.approx([0.75, 0.25])
    assert model.description["training"]["kernel"]["features"] == "CHGNet 0.3.0"
    oxide = small_frameworks()[2]
    members = learned.member_charges(oxide, symbols(oxide), model)
    alone, _ = charges_of(oxide, symbols(oxide), networks)
    assert members[0] == pytest.approx(alone, abs=1e-6)
    assert np.abs(members[1] - members[0]).max() > 1e-4
    charges, _ = charges_of(oxide, symbols(oxide), model)
    assert charges == pytest.approx(0.75 * members[0] + 0.25 * members[1], abs=1e-9)
    assert list((tmp_path / "cache").glob("features_*/f0.safetensors"))

    with pytest.raises(InputError, match="no network is trained"):
        train_charges(both.model_copy(update={"members": ()}))
    description = json.loads((tmp_path / "both" / "model.json").read_text())
    for broken in (
        {"weight": 0.25},
        {"weight": 2.0, "shapes": description["kernel"]["shapes"]},
        {"weight": 0.25, "shapes": [[3, 2]]},
    ):
        (tmp_path / "both" / "model.json").write_text(json.dumps(description | {"kernel": broken}))
        with pytest.raises(InputError, match="charges by kinship"):
            load_model(tmp_path / "both")


def test_a_model_to_be_used_may_be_fitted_to_every_part(tmp_path, monkeypatch):
    archive(tmp_path)
    import screening.adsorption.charge_fitting as fitting

    formulas = {f.name: f.formula for f in prepare_archive(tmp_path / "all.tar.xz", 5.0, tmp_path / "cache", "0" * 64)}
    parts = ("validation", "test", "training", "henry")
    names = sorted(set(formulas.values()))
    monkeypatch.setattr(fitting, "split_of", lambda formula, *_: parts[names.index(formula) % 4])
    shape = {"cutoff": 4.0, "channels": 4, "carried": [4], "radial_hidden": 4, "prior_features": PRIOR_FEATURES}
    config = ChargeFitConfig(
        out=tmp_path / "model",
        data={
            "frameworks": tmp_path / "all.tar.xz",
            "keep_out": [],
            "cache": tmp_path / "cache",
            "refit": "everything",
            "hidden_elements": ["Zn"],
        },
        network=shape,
        train={"epochs": 1, "atoms": 4, "warmup_steps": 2, "keep": "last"},
        shrinkage=0.95,
    )
    model = load_model(train_charges(config))
    facts = model.description["training"]
    assert facts["fitted_to"] == ["training", "validation", "test", "hidden"]
    assert facts["hidden_elements"] == []
    used = [f for f in formulas.values() if parts[names.index(f) % 4] != "henry"]
    assert facts["frameworks"] == {"training": len(used), "validation": 0}
    assert model.frameworks_by_element["O"] == len(used)
    assert model.frameworks_by_element["Zn"] == sum("Zn" in f for f in used)
    with pytest.raises(InputError, match="fitted to the test part too"):
        benchmark.errors(tmp_path / "model")
    apart = config.model_copy(update={"out": tmp_path / "apart", "members": (tmp_path / "model",)})
    apart = apart.model_copy(update={"data": config.data.model_copy(update={"refit": True})})
    with pytest.raises(InputError, match="another hidden elements"):
        train_charges(apart)


def test_poses_are_kept_and_trained_on(tmp_path, monkeypatch):
    """Oxide frameworks blown up until CO2 fits between their atoms."""
    import screening.adsorption.charge_fitting as fitting
    from screening.adsorption import pose_archive

    monkeypatch.setattr(fitting, "split_of", lambda formula, *_: "validation" if "Zn" in formula else "training")
    with tarfile.open(tmp_path / "all.tar.xz", "w:xz") as tar:
        for k, structure in enumerate(small_frameworks()[:4]):
            roomy = Structure(structure.lattice.scale(8.0 * structure.volume), structure.species, structure.frac_coords)
            path = tmp_path / f"f{k}.cif"
            path.write_text(cif_with_charges(roomy, k))
            tar.add(path, arcname=f"ddec/f{k}.cif")
    config = ChargeFitConfig(
        out=tmp_path / "model",
        data={
            "frameworks": tmp_path / "all.tar.xz",
            "keep_out": [],
            "cache": tmp_path / "cache",
            "poses": {"kept": 16},
        },
        network={"cutoff": 5.0, "channels": 4, "carried": [4], "radial_hidden": 4, "prior_features": PRIOR_FEATURES},
        train={"epochs": 1, "atoms": 4, "warmup_steps": 2, "henry_weight": 0.1, "pose_weight": 0.01},
    )
    folder = train_charges(config)
    facts = json.loads((folder / "model.json").read_text())["training"]
    assert facts["frameworks_with_poses"] == 4
    assert facts["validation"]["mean_log_henry"] > 0
    assert not facts["validation"]["seen_in_training"]

    def drawn_again(*_):
        raise AssertionError("poses that are kept were drawn again")

    monkeypatch.setattr(pose_archive, "draw_poses", drawn_again)
    last = {"train": config.train.model_copy(update={"keep": "last"}), "shrinkage": 0.9}
    refit = config.model_copy(
        update={"out": tmp_path / "refit", "data": config.data.model_copy(update={"refit": True})}
    )
    facts = json.loads((train_charges(refit.model_copy(update=last)) / "model.json").read_text())["training"]
    assert facts["frameworks"] == {"training": 4, "validation": 0}
    assert facts["shrinkage"] == 0.9
    with pytest.raises(InputError, match="nothing can be chosen"):
        train_charges(refit)
    bare = config.model_copy(update={"data": config.data.model_copy(update={"poses": None})})
    with pytest.raises(InputError, match="need poses"):
        train_charges(bare)


def test_shipped_configuration_is_valid_and_files_are_small():
    config = load_config(ChargeFitConfig, "configs/train/charges.yaml")
    assert config.network.prior_features == PRIOR_FEATURES
    assert config.network in load_model(shipped_folder()).network.shapes
    assert sum(path.stat().st_size for path in shipped_folder().iterdir()) < 8e6


def test_a_model_of_one_network_in_the_first_format_loads(tmp_path):
    first = ChargeNetwork(ChargeNetworkConfig(channels=4, carried=(4,), radial_hidden=4, prior_features=PRIOR_FEATURES))
    facts = {"elements": [8, 12], "data": "none", "data_sha256": "", "hidden_elements": []}
    folder = save_model(tmp_path / "model", [first], shipped_model().table, facts)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    bare = {name.removeprefix("members.0."): value for name, value in tensors.items()}
    assert set(bare) == set(first.state_dict())
    safetensors.torch.save_file(bare, folder / "model.safetensors")
    description = json.loads((folder / "model.json").read_text())
    del description["members"]
    description["network"] = description.pop("networks")[0]
    description |= {"format_version": 1, "weights_sha256": sha256_file(folder / "model.safetensors")}
    (folder / "model.json").write_text(json.dumps(description))
    model = load_model(folder)
    assert len(model.network.members) == 1
    for name, value in first.state_dict().items():
        assert torch.equal(model.network.members[0].state_dict()[name], value)
    (folder / "model.json").write_text(json.dumps(description | {"format_version": 5}))
    with pytest.raises(InputError, match="format version 5"):
        load_model(folder)


def test_a_damaged_model_is_refused(tmp_path):
    folder = tmp_path / "charges"
    shutil.copytree(shipped_folder(), folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match="not the file"):
        load_model(folder)
    (folder / "model.json").write_text("{}")
    with pytest.raises(InputError, match="describes no charge network"):
        load_model(folder)
    with pytest.raises(InputError, match="sorbus train charges"):
        load_model(tmp_path / "nowhere")


def test_a_cif_without_charges_is_refused():
    from pymatgen.io.cif import CifWriter

    text = str(CifWriter(small_frameworks()[0]))
    with pytest.raises(InputError, match="no _atom_site_charge"):
        read_charged_cif("bare", text)


def test_keys_of_the_table_are_those_of_the_model():
    mof = mg_mof_74()
    keys = environment_keys(symbols(mof), bond_graph(mof).pairs)
    assert shipped_model().table.find(keys[:, 0])[1].all()


def test_zirconium_is_better_taken_like_its_kin_than_equilibrated():
    """UiO-66 with the charges of kUPS's example; the training data at hand hold no Zr."""
    try:
        structure = read_structure(data_root() / "sorbents/kups/host/RUBTAK.cif")
    except InputError:
        pytest.skip("RUBTAK.cif of kUPS is not at hand: set SORBUS_DATA")
    given = np.array(structure.site_properties["charge"])
    structure.remove_site_property("charge")
    charges, method = framework_charges(structure, symbols(structure), "learned", None)
    assert "Zr never seen and taken like kin" in method
    assert np.abs(charges - given).mean() < 0.06
    assert np.abs(eqeq_charges(structure, symbols(structure)) - given).mean() > 0.1
