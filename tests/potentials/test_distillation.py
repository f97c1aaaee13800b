"""Training sets for distillation: reproducible, resumable, split by composition, and a student that learns from one."""

import json
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.io import read, write

from potentials.atom_graph import collate, graph_from, make_graph
from potentials.config import load_config, parse_config
from potentials.dataset import LabelConfig, read_frames
from potentials.distillation import label_structures
from potentials.distillation_config import DistillationConfig, PerturbationConfig, SubstitutionConfig
from potentials.distillation_plan import plan_tasks, task_frames
from potentials.distillation_structures import (
    contact_fault,
    is_held_out,
    random_strain,
    read_sources,
    reduced_formula,
)
from potentials.distillation_substitution import atomic_volumes, substitute
from potentials.errors import InputError
from potentials.potential import load_potential
from potentials.reference_energies import mean_site_energies
from potentials.structure_files import write_structures
from potentials.training import train_potential
from potentials.training_config import PotentialTrainingConfig

METALS = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al")


def alloys(count: int) -> list:
    """Small cells of metals effective-medium theory knows, of many compositions."""
    found = []
    for k in range(count):
        atoms = bulk("Cu", cubic=True, a=3.9)
        rng = np.random.default_rng(k)
        atoms.symbols = [METALS[i] for i in rng.integers(0, len(METALS), 4)]
        found.append(atoms)
    return found


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write(tmp_path / "pool.extxyz", alloys(24), format="extxyz")
    return tmp_path / "pool.extxyz"


def settings(pool: Path, **changes) -> DistillationConfig:
    values = {
        "out": str(pool.parent / "out"),
        "teacher": "emt",
        "structures": [str(pool)],
        "min_structures_per_element": 2,
        "held_out": 0.2,
        "part_size": 5,
        "perturbed": {"copies": 2, "rattles": [0.02, 0.1]},
        "trajectories": {"share": 0.3, "rattle": 0.2, "steps": [0, 2, 4]},
    }
    return parse_config(DistillationConfig, values | changes, "test")


def files(config: DistillationConfig) -> tuple[bytes, bytes]:
    return (config.out / "train.extxyz").read_bytes(), (config.out / "held_out.extxyz").read_bytes()


def test_labels_are_the_teachers_and_compositions_are_kept_apart(pool: Path):
    config = settings(pool)
    summary = label_structures(config)
    train, held_out = (read(config.out / name, index=":") for name in ("train.extxyz", "held_out.extxyz"))
    assert {reduced_formula(a.numbers) for a in train}.isdisjoint({reduced_formula(a.numbers) for a in held_out})
    assert summary["frames"]["training"]["all"] == len(train)
    assert {a.info["kind"] for a in train} == {"crystal", "rattled", "trajectory"}
    frames = read_frames(config.out / "train.extxyz", LabelConfig(stress_key="stress"))
    teacher = load_potential("emt")
    for frame in frames[:: len(frames) // 6]:
        output = teacher(collate([frame]))
        torch.testing.assert_close(output["energy"], frame.energy, atol=1e-4, rtol=0)
        torch.testing.assert_close(output["forces"].double(), frame.forces, atol=1e-3, rtol=0)
        torch.testing.assert_close(output["stress"].double(), frame.stress, atol=1e-4, rtol=0)


def test_atoms_energies_are_labels_where_the_teacher_has_them(pool: Path, monkeypatch):
    config = settings(pool, validation=0.2)
    assert label_structures(config)["site_energies"]
    frames = read_frames(config.out / "train.extxyz", LabelConfig(site_energies_key="site_energies"))
    for frame in frames:
        assert frame.site_energies.shape == frame.numbers.shape
        assert float(frame.site_energies.sum()) == pytest.approx(float(frame.energy), abs=1e-4)
    assert float(frames[0].site_energies.std()) > 1e-3  # not the energy shared out evenly

    emt = load_potential("emt")

    class Vague:
        name, elements, cutoff = "vague", emt.elements, None

        def __call__(self, batch, *, stress=True):
            output = emt(batch, stress=stress)
            output["site_energies"] = output["site_energies"] + 0.01  # of another energy
            return output

    import potentials.distillation as module

    monkeypatch.setattr(module, "load_potential", lambda *a, **k: Vague())
    assert not label_structures(settings(pool, out=str(pool.parent / "vague")))["site_energies"]
    with pytest.raises(InputError, match=r"no site_energies under the key 'site_energies'.*set data.labels"):
        read_frames(pool.parent / "vague" / "train.extxyz", LabelConfig(site_energies_key="site_energies"))


def test_validation_is_of_other_compositions_too(pool: Path):
    config = settings(pool, validation=0.3, substituted={"count": 40})
    summary = label_structures(config)
    names = ("train.extxyz", "validation.extxyz", "held_out.extxyz")
    sets = [{a.info["formula"] for a in read(config.out / name, index=":")} for name in names]
    assert all(sets)
    assert sum(map(len, sets)) == len(set().union(*sets))
    # what is held out does not depend on it
    plain = settings(pool, out=str(pool.parent / "plain"))
    label_structures(plain)
    assert (plain.out / "held_out.extxyz").read_bytes() == (config.out / "held_out.extxyz").read_bytes()
    assert summary["frames"]["training"]["substituted"] > 20
    assert "substituted" not in summary["frames"]["validation"] | summary["frames"]["held_out"]


def test_substituted_crystals_may_be_brought_near_a_minimum(pool: Path, tmp_path: Path):
    rough = {"count": 60, "rattles": [0.0, 0.05]}
    near = {**rough, "relaxed_by": "emt", "relaxed": 0.5, "relaxed_steps": 30}
    one = settings(pool, substituted=near)
    other = settings(pool, substituted=near, part_size=7, out=str(tmp_path / "b"))
    label_structures(one)
    label_structures(other)
    found, same = (list(read(c.out / "train.extxyz", index=":")) for c in (one, other))
    key = lambda a: (a.info["kind"], a.info["formula"], round(a.get_potential_energy(), 2))  # noqa: E731
    assert sorted(map(key, found)) == sorted(map(key, same))
    substituted = [a for a in found if a.info["kind"] == "substituted"]
    at_rest = [a for a in substituted if a.info["step"] == 30 and a.info["rattle"] == 0]
    rattled = [a for a in substituted if a.info["step"] == 30 and a.info["rattle"] > 0]
    as_made = [a for a in substituted if a.info["step"] == 0]
    assert min(len(at_rest), len(rattled), len(as_made)) > 5
    size = lambda group: np.mean([np.abs(a.get_stress()).max() for a in group])  # noqa: E731
    assert size(at_rest) < 0.2 * size(as_made)  # this teacher's own minima
    assert np.mean([np.abs(a.get_forces()).max() for a in rattled]) > 0.05
    # what relaxes them may fail on some: they are taken as they were made
    label_structures(settings(pool, substituted={**near, "relaxed_by": "lj"}, out=str(tmp_path / "lj")))


def test_substituted_crystals_have_other_elements_and_their_volumes():
    graphs = [graph_from(bulk(symbol, cubic=True)) for symbol in METALS]
    volumes = atomic_volumes(graphs)
    for graph in graphs:
        assert volumes[int(graph.numbers[0])] == pytest.approx(abs(float(torch.linalg.det(graph.cell))) / 4)
    ordered = bulk("Cu", cubic=True, a=3.7)
    ordered.symbols = ["Cu", "Pd", "Cu", "Pd"]
    found = set()
    for seed in range(40):
        new = substitute(graph_from(ordered), volumes, SubstitutionConfig(reach=7), np.random.default_rng(seed))
        numbers = new.numbers.tolist()
        assert numbers[0] == numbers[2] != numbers[1] == numbers[3]
        assert numbers[:2] != [29, 46]
        assert set(numbers) <= set(volumes)
        expected = ordered.get_volume() * sum(volumes[z] for z in numbers) / sum(volumes[z] for z in ordered.numbers)
        assert abs(float(torch.linalg.det(new.cell))) == pytest.approx(expected)
        found.add(tuple(numbers[:2]))
    assert len(found) > 5
    assert 13 not in {z for pair in found for z in pair}  # aluminium is far from both on Mendeleev's scale


def test_a_killed_run_ends_with_the_same_files(pool: Path, tmp_path: Path, monkeypatch):
    whole = settings(pool, out=str(tmp_path / "whole"))
    label_structures(whole)
    broken = settings(pool, out=str(tmp_path / "broken"))
    import potentials.distillation as module

    calls, label_part = [], module._label_part

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return label_part(*arguments)

    monkeypatch.setattr(module, "_label_part", dies)
    with pytest.raises(KeyboardInterrupt):
        label_structures(broken)
    before = len(calls)
    monkeypatch.setattr(module, "_label_part", label_part)
    summary = label_structures(broken)
    assert before == 3
    assert files(broken) == files(whole)
    assert summary["structures"]["labelled"] == summary["structures"]["planned"]


def test_frames_do_not_depend_on_batches_or_parts(pool: Path, tmp_path: Path):
    one = settings(pool, out=str(tmp_path / "one"))
    other = settings(pool, out=str(tmp_path / "other"), part_size=24, max_atoms_per_batch=4)
    label_structures(one)
    label_structures(other)
    first, second = (read(c.out / "train.extxyz", index=":") for c in (one, other))
    key = lambda a: (a.info["kind"], a.info["formula"], a.info["rattle"], a.info["step"], round(a.get_volume(), 3))  # noqa: E731
    for a, b in zip(sorted(first, key=key), sorted(second, key=key), strict=True):
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-4)
        assert a.get_potential_energy() == pytest.approx(b.get_potential_energy(), abs=1e-3)


def test_parts_of_another_configuration_are_refused(pool: Path):
    label_structures(settings(pool))
    with pytest.raises(InputError, match="another configuration"):
        label_structures(settings(pool, seed=4))
    label_structures(settings(pool, seed=4), resume=False)


def test_bad_structures_cost_only_themselves(pool: Path, tmp_path: Path):
    extra = alloys(3)
    extra[0].positions[1] = extra[0].positions[0] + 0.1  # atoms inside each other
    extra[1].numbers[0] = 92  # no effective-medium theory of uranium
    extra[2] *= (3, 2, 1)  # too large
    write(pool, alloys(24) + extra, format="extxyz")
    text = pool.read_text().splitlines()
    (tmp_path / "cut.extxyz").write_text("\n".join(text[:-3]) + "\n")
    tasks, dropped = plan_tasks(settings(tmp_path / "cut.extxyz"))
    assert len(tasks) >= 20
    assert dropped["unreadable"] == 2  # one inside the gate, one truncated
    assert dropped["an element the teacher does not know"] == 1


def test_a_teacher_that_fails_on_a_frame_loses_that_frame(pool: Path, monkeypatch):
    emt = load_potential("emt")

    class Moody:
        name, elements, cutoff = "moody", emt.elements, None

        def __call__(self, batch, *, stress=True):
            if bool((batch.numbers == 79).any()):
                raise RuntimeError("I do not like 79 gold")
            return emt(batch, stress=stress)

    import potentials.distillation as module

    monkeypatch.setattr(module, "load_potential", lambda *a, **k: Moody())
    summary = label_structures(settings(pool, trajectories={"share": 0.0}))
    assert "Au" not in summary["elements"]
    assert summary["dropped"]["the teacher failed: I do not like # gold"] > 0


def test_generated_structures_are_followed_all_the_way(pool: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    samples = alloys(4)
    for atoms in samples:
        atoms.positions += rng.normal(0, 0.25, (4, 3))
    write(tmp_path / "samples.extxyz", samples, format="extxyz")
    config = settings(pool, generated=[str(tmp_path / "samples.extxyz")], trajectories={"share": 0.0, "steps": [0, 3]})
    summary = label_structures(config)
    frames = summary["frames"]
    assert frames["training"].get("generated", 0) + frames["held_out"].get("generated", 0) == 8
    assert "trajectory" not in frames["training"]


def test_excluded_formulas_never_appear(pool: Path, tmp_path: Path):
    write(tmp_path / "tested.extxyz", alloys(24)[:6], format="extxyz")
    tasks, dropped = plan_tasks(settings(pool, exclude_formulas_of=[str(tmp_path / "tested.extxyz")]))
    forbidden = {reduced_formula(a.numbers) for a in alloys(24)[:6]}
    assert dropped["an excluded formula"] >= 6
    assert forbidden.isdisjoint({task.source.formula for task in tasks})


def test_tables_and_archives_of_cifs(tmp_path: Path):
    folder = write_structures(tmp_path / "cifs", alloys(3), ["a", "b", "c"])
    cif = (folder / "a.cif").read_text()
    quoted = cif.replace('"', '""')
    (tmp_path / "table.csv.xz").write_bytes(lzma.compress(f'id,cif\n1,"{quoted}"\n2,"nonsense"\n'.encode()))
    good, bad = read_sources(tmp_path / "table.csv.xz")
    assert good.formula == reduced_formula(alloys(1)[0].numbers)
    assert bad.graph is None
    with tarfile.open(tmp_path / "all.tar.xz", "w:xz") as archive:
        archive.add(folder, "cifs")
    assert len(list(read_sources(tmp_path / "all.tar.xz"))) == 3
    (tmp_path / "other.csv").write_text("id,text\n1,2\n")
    with pytest.raises(InputError, match="no column 'cif' \\(it has id, text\\)"):
        list(read_sources(tmp_path / "other.csv"))
    with pytest.raises(InputError, match="check the path or set SORBUS_DATA"):
        list(read_sources(tmp_path / "absent.csv"))
    (tmp_path / "broken.tar.xz").write_bytes((tmp_path / "all.tar.xz").read_bytes()[:100])
    with pytest.raises(InputError, match="no readable archive"):
        list(read_sources(tmp_path / "broken.tar.xz"))


def test_perturbations_have_the_size_asked_for():
    rng = np.random.default_rng(0)
    config = PerturbationConfig(copies=400, rattles=(0.1,), strain=0.02, volume=0.08)
    strains = np.array([random_strain(config, rng) for _ in range(400)])
    volumes = np.linalg.det(np.eye(3) + strains)
    assert np.abs(volumes - 1).max() < 0.09  # the shape strain changes volumes in second order only
    assert np.std(volumes) == pytest.approx(0.16 / 12**0.5, rel=0.1)
    np.testing.assert_allclose(strains, strains.transpose(0, 2, 1))
    config = parse_config(DistillationConfig, {"structures": ["x"], "perturbed": config.model_dump()}, "test")
    graph = graph_from(bulk("Cu", cubic=True))
    from potentials.distillation_plan import Source, Task

    copies = task_frames(Task(0, Source("x", graph, "Cu1"), False), config)[1:]
    moved = [
        f.graph.positions - graph.positions @ torch.linalg.solve(graph.cell, f.graph.cell).double() for f in copies
    ]
    assert float(torch.stack(moved).std()) == pytest.approx(0.1, rel=0.05)


def test_contacts_scale_with_the_elements():
    close = lambda d, z: make_graph([z, z], [[0, 0, 0], [0, 0, d]], np.eye(3) * 20)  # noqa: E731
    assert contact_fault(close(0.75, 1), 0.5) is None  # H2
    assert "covalent" in contact_fault(close(0.75, 55), 0.5)
    assert "finite" in contact_fault(close(float("nan"), 1), 0.5)


def test_the_split_is_a_pure_function_of_composition():
    assert reduced_formula([8, 8, 8, 22, 56]) == reduced_formula([22, 56, 8, 8, 8] * 2) == "Ba1O3Ti1"
    shares = np.mean([is_held_out(f"X{k}", 0.1, 3) for k in range(4000)])
    assert shares == pytest.approx(0.1, abs=0.02)
    assert any(is_held_out(f"X{k}", 0.1, 3) != is_held_out(f"X{k}", 0.1, 4) for k in range(100))


def test_impossible_requests_are_one_sentence(pool: Path):
    with pytest.raises(InputError, match="ascending step numbers"):
        settings(pool, trajectories={"steps": [3, 2]})
    with pytest.raises(InputError, match="unknown potential 'chgnet-fats'"):
        label_structures(settings(pool, teacher="chgnet-fats"))
    with pytest.raises(InputError, match="no structure of 24 can be used"):
        label_structures(settings(pool, max_atoms=3))
    with pytest.raises(InputError, match="give more structures or another held_out"):
        label_structures(settings(pool, count=1, min_structures_per_element=1))


def test_a_student_learns_from_its_teacher(pool: Path):
    """End to end: label, train with stresses, and the student knows held-out compositions better than their mean."""
    config = settings(pool)
    label_structures(config)
    values = {
        "out": str(pool.parent / "student"),
        "data": {
            "train": str(config.out / "train.extxyz"),
            "validation": str(config.out / "held_out.extxyz"),
            "labels": {"stress_key": "stress", "site_energies_key": "site_energies"},
        },
        "network": {"cutoff": 4.5, "channels": 8, "carried": [8], "lmax": 1, "radial_hidden": 16},
        "train": {"epochs": 30, "batch_size": 8, "lr": 0.02, "ema": 0.9, "warmup_steps": 5},
    }
    folder = train_potential(parse_config(PotentialTrainingConfig, values, "test"), progress=False)
    errors = json.loads((folder / "model.json").read_text())["training"]["validation_errors"]
    labels = LabelConfig(stress_key="stress", site_energies_key="site_energies")
    held_out = read_frames(config.out / "held_out.extxyz", labels)
    means = mean_site_energies(read_frames(config.out / "train.extxyz", labels))
    sites = torch.cat([frame.site_energies for frame in held_out])
    spread = sites - torch.tensor([means[z] for frame in held_out for z in frame.numbers.tolist()])
    assert errors["site_energies_mae"] < 0.5 * 1e3 * float(spread.abs().mean())
    forces = 1e3 * float(torch.cat([frame.forces for frame in held_out]).abs().mean())
    assert errors["forces_mae"] < 0.7 * forces
    assert errors["stress_mae"] < 1e3 * float(torch.cat([frame.stress for frame in held_out]).abs().mean())


@pytest.mark.parametrize(("kind", "name"), [(DistillationConfig, "distill_data"), (PotentialTrainingConfig, "distill")])
def test_shipped_configurations_are_valid(kind, name: str):
    config = load_config(kind, Path(__file__).parents[2] / "configs" / "train" / f"{name}.yaml")
    assert config.seed == 1
