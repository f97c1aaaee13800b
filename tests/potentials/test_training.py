"""Training: it learns, it resumes bit for bit, and it says what is wrong."""

import csv
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from lightning.pytorch.utilities.exceptions import SIGTERMException

from potentials import loss_watch, training_state
from potentials.atom_graph import collate
from potentials.checkpoint import load_checkpoint
from potentials.config import dump_yaml, load_config, parse_config
from potentials.dataset import LabelConfig, read_frames
from potentials.errors import InputError
from potentials.label_errors import evaluate
from potentials.training import prepare_training, train_potential
from potentials.training_config import PotentialTrainingConfig
from potentials.training_loop import EpochOrder, PotentialModule


def labelled(atoms: Atoms, calculator) -> Atoms:
    atoms.calc = calculator
    names = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        names["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **names)
    return atoms


def alloys(count: int, seed: int) -> list[Atoms]:
    """Rattled and strained Cu-Au cells, labelled by EMT."""
    frames = []
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        atoms = bulk("Cu", cubic=True, a=3.7)
        atoms.numbers[generator.random(4) < 0.4] = 79
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + generator.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += generator.normal(0, 0.1, (4, 3))
        frames.append(labelled(atoms, EMT()))
    return frames


def settings(folder: Path, **changes) -> PotentialTrainingConfig:
    values = {
        "out": str(folder / "out"),
        "data": {
            "train": str(folder / "train.xyz"),
            "validation_fraction": 0.2,
            "labels": {"stress_key": "stress"},
        },
        "network": {"cutoff": 4.0, "channels": 8, "carried": [8, 8], "lmax": 1, "radial_hidden": 16},
        "train": {"epochs": 4, "batch_size": 4, "lr": 0.01, "ema": 0.9, "warmup_steps": 5, "save_minutes": 1e-6},
    }
    for key, value in changes.items():
        if isinstance(value, dict):
            values[key] = values.get(key, {}) | value
        else:
            values[key] = value
    return parse_config(PotentialTrainingConfig, values, "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "train.xyz", alloys(30, 0), format="extxyz")
    return tmp_path


def test_learns_and_beats_the_mean_predictor_on_frames_it_never_saw(tmp_path: Path) -> None:
    write(tmp_path / "train.xyz", alloys(100, 1), format="extxyz")
    write(tmp_path / "test.xyz", alloys(30, 2), format="extxyz")
    out = train_potential(settings(tmp_path, train={"epochs": 15}), progress=False)

    rows = metrics(out)
    assert len(rows) == 15
    assert float(rows[-1]["train_loss"]) < 0.5 * float(rows[0]["train_loss"])
    assert float(rows[-1]["validation_forces_rmse"]) < 0.6 * float(rows[0]["validation_forces_rmse"])

    frames = read_frames(tmp_path / "test.xyz", LabelConfig(stress_key="stress"))
    errors = evaluate(load_checkpoint(out), frames)
    training = read_frames(tmp_path / "train.xyz", LabelConfig(stress_key="stress"))
    per_atom = torch.stack([frame.energy[0] / 4 for frame in training]).mean()
    mean_energy = 1000 * torch.stack([frame.energy[0] / 4 - per_atom for frame in frames]).square().mean().sqrt()
    no_forces = 1000 * torch.cat([frame.forces for frame in frames]).square().mean().sqrt()
    mean_stress = torch.stack([frame.stress for frame in training]).mean(0)
    mean_stress = 1000 * torch.stack([frame.stress - mean_stress for frame in frames]).square().mean().sqrt()
    assert errors["energy_rmse"] < 0.3 * mean_energy
    assert errors["forces_rmse"] < 0.4 * no_forces
    assert errors["stress_rmse"] < 0.5 * mean_stress


def test_errors_of_training_frames_stand_beside_those_of_held_out_ones(folder: Path) -> None:
    write(folder / "held_out.xyz", alloys(8, 5), format="extxyz")
    still = {"epochs": 2, "lr": 1e-12, "batch_size": 5}
    out = train_potential(settings(folder, data={"validation": str(folder / "held_out.xyz")}, train=still))
    trained = evaluate(load_checkpoint(out), read_frames(folder / "train.xyz", LabelConfig(stress_key="stress")))
    for row in metrics(out):  # of weights that stay what they were
        assert float(row["train_forces_rmse"]) == pytest.approx(trained["forces_rmse"], rel=1e-4)
        assert float(row["train_forces_rmse"]) != pytest.approx(float(row["validation_forces_rmse"]), rel=1e-3)


def test_two_frames_are_enough_to_begin(tmp_path: Path) -> None:
    write(tmp_path / "train.xyz", alloys(1, 0) * 2, format="extxyz")
    prepared = prepare_training(settings(tmp_path))
    assert (len(prepared.frames), len(prepared.held_out)) == (1, 1)


@pytest.mark.parametrize(
    ("raised", "expected"), [(SystemExit(1), KeyboardInterrupt), (SIGTERMException(), SystemExit)], ids=["INT", "TERM"]
)
def test_a_stopped_training_says_how_to_go_on(folder: Path, monkeypatch, capsys, raised, expected) -> None:
    """Lightning answers Ctrl-C by leaving the program, without a word."""

    def stopped(trainer, module) -> None:
        module.progress |= {"step": 7, "epoch": 1}
        (folder / "out").mkdir()
        (folder / "out" / "state.safetensors").touch()
        raise raised

    monkeypatch.setattr("lightning.Trainer.fit", stopped)
    with pytest.raises(expected) as stop:
        train_potential(settings(folder))
    said = capsys.readouterr().err
    assert "stopped after 7 steps (1 epochs): the same command goes on from" in said
    assert "state.safetensors" in said
    if expected is SystemExit:
        assert stop.value.code == 143


class Notes:
    """A tracker that only remembers."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict[str, float], int]] = []

    def log(self, values: dict[str, float], step: int) -> None:
        self.rows.append((values, step))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PotentialTrainingConfig, Notes]:
    """One small training that several tests look at."""
    folder, notes = tmp_path_factory.mktemp("trained"), Notes()
    write(folder / "train.xyz", alloys(30, 0), format="extxyz")
    config = settings(folder, name="cu-au")
    return train_potential(config, tracker=notes, progress=False), config, notes


def test_checkpoint_says_what_made_it(trained: tuple[Path, PotentialTrainingConfig, Notes]) -> None:
    out, _, _ = trained
    description = json.loads((out / "model.json").read_text())
    training = description["training"]
    assert description["name"] == load_checkpoint(out).name == "cu-au"
    assert description["elements"] == ["Cu", "Au"]
    assert training["frames"] == {"training": 24, "validation": 6}
    assert len(training["data_sha256"]) == 64
    assert training["epochs"] == 4
    assert training["steps"] == 24
    assert training["seed"] == 0
    assert training["wall_seconds"] > 0
    best = float(metrics(out)[training["best_epoch"]]["validation_forces_rmse"])
    assert training["validation_errors"]["forces_rmse"] == pytest.approx(best, rel=1e-3)


def test_tracker_gets_numbers_once_an_epoch(trained: tuple[Path, PotentialTrainingConfig, Notes]) -> None:
    _, _, notes = trained
    assert [step for _, step in notes.rows] == [6, 12, 18, 24]
    assert all(np.isfinite(list(values.values())).all() for values, _ in notes.rows)
    assert "validation_forces_rmse" in notes.rows[0][0]


def test_pictures(trained: tuple[Path, PotentialTrainingConfig, Notes]) -> None:
    pytest.importorskip("matplotlib")
    for name in ("learning_curve.png", "parity.png"):
        assert (trained[0] / name).read_bytes().startswith(b"\x89PNG")


def test_finished_training_is_not_done_again(trained: tuple[Path, PotentialTrainingConfig, Notes]) -> None:
    out, config, _ = trained
    weights, facts = (out / "model.safetensors").read_bytes(), json.loads((out / "model.json").read_text())["training"]
    train_potential(config, progress=False)
    assert (out / "model.safetensors").read_bytes() == weights
    assert json.loads((out / "model.json").read_text())["training"]["wall_seconds"] == facts["wall_seconds"]
    with pytest.raises(InputError, match=r"state of another training \(configuration differ"):
        train_potential(config.model_copy(update={"seed": 1}), progress=False)


def test_a_damaged_state_is_named(trained: tuple[Path, PotentialTrainingConfig, Notes], tmp_path: Path) -> None:
    out, config, _ = trained
    (tmp_path / "state.safetensors").write_bytes((out / "state.safetensors").read_bytes()[:-50])
    with pytest.raises(InputError, match="no readable training state"):
        train_potential(config.model_copy(update={"out": tmp_path}), progress=False)


def metrics(out: Path) -> list[dict[str, str]]:
    with open(out / "metrics.csv") as stream:
        return list(csv.DictReader(stream))


class Killed(Exception):
    pass


def kill_after(monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    """The process dies right after its n-th state reached the disk."""
    real, count = training_state.save_state, [0]

    def dying(*arguments, **options) -> None:
        real(*arguments, **options)
        count[0] += 1
        if count[0] == saves:
            raise Killed

    monkeypatch.setattr(training_state, "save_state", dying)


@pytest.mark.parametrize(
    ("saves", "optimizer"),
    [(2, "adamw"), (9, "adamw"), (25, "adamw"), (9, "soap")],
    ids=["first step", "mid-epoch", "near the end", "mid-epoch, soap"],
)
def test_killed_and_resumed_equals_uninterrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, saves: int, optimizer: str
) -> None:
    whole = train_potential(settings(folder, out=str(folder / "whole"), train={"optimizer": optimizer}), progress=False)
    broken = settings(folder, out=str(folder / "broken"), train={"optimizer": optimizer})
    with monkeypatch.context() as patch:
        kill_after(patch, saves)
        with pytest.raises(Killed):
            train_potential(broken, progress=False)
    resumed = train_potential(broken, progress=False)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    for first, second in zip(metrics(whole), metrics(resumed), strict=True):
        for clock in ("seconds", "cpu_seconds"):
            first.pop(clock), second.pop(clock)
        assert first == second


@pytest.mark.slow
def test_kill_9_and_resume(folder: Path) -> None:
    """The same with a real signal at a moment nobody chose."""
    whole = train_potential(settings(folder, out=str(folder / "whole")), progress=False)
    config = settings(folder, out=str(folder / "broken"))
    (folder / "config.yaml").write_text(dump_yaml(config))
    program = (
        "import sys; from potentials.config import load_config; from potentials.training import train_potential; "
        "from potentials.training_config import PotentialTrainingConfig; "
        "train_potential(load_config(PotentialTrainingConfig, sys.argv[1]), progress=False)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(folder / "config.yaml")])
    state = folder / "broken" / "state.safetensors"
    deadline = time.monotonic() + 300
    while not state.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (folder / "broken" / "model.json").exists(), "it ended before it was killed"
    resumed = train_potential(config, progress=False)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_minutes_as_budget(folder: Path) -> None:
    config = settings(folder, train={"max_minutes": 0.02})
    start = time.monotonic()
    out = train_potential(config, progress=False)
    assert time.monotonic() - start < 60
    facts = json.loads((out / "model.json").read_text())["training"]
    assert facts["wall_seconds"] >= 1.2
    assert float(metrics(out)[-1]["lr"]) == pytest.approx(0.0001, rel=0.2)


def test_molecules_with_core_repulsion_and_isolated_atoms(tmp_path: Path) -> None:
    """Mixed periodicity, ZBL, double precision, energies and forces only."""
    frames = []
    for number in range(16):
        atoms = molecule("CH3CH2OH") if number % 2 else bulk("C", "diamond", a=3.57)
        atoms.rattle(0.05, seed=number)
        frames.append(labelled(atoms, LennardJones(sigma=1.1, epsilon=0.3, rc=3.0)))
    frames += [labelled(Atoms(symbol), LennardJones()) for symbol in "HCO"]
    write(tmp_path / "train.xyz", frames, format="extxyz", columns=["symbols", "positions", "forces"])
    config = settings(tmp_path, zbl=True, precision="float64", data={"labels": {}}, train={"epochs": 2})
    potential = load_checkpoint(train_potential(config, progress=False))
    assert potential.model.repulsion is not None
    assert set(potential.model.reference_energies) == {1, 6, 8}
    diamond = [frame.get_potential_energy() / len(frame) for frame in frames if frame.pbc.all()]
    # what atoms have where they are bound, not the nothing they have alone
    assert min(diamond) <= potential.model.reference_energies[6] <= max(diamond)
    output = potential(collate(read_frames(tmp_path / "train.xyz", LabelConfig())))
    assert all(value.isfinite().all() for value in output.values())


def test_reference_energies_can_be_given(folder: Path) -> None:
    given = settings(folder, reference_energies={"Cu": -1.5, "Au": -2.5}, train={"epochs": 1})
    out = train_potential(given, progress=False)
    assert load_checkpoint(out).model.reference_energies == {29: -1.5, 79: -2.5}
    with pytest.raises(InputError, match="reference_energies lack Au"):
        train_potential(settings(folder, reference_energies={"Cu": -1.5}), resume=False, progress=False)


def test_validation_elements_must_be_trained(folder: Path) -> None:
    silver = bulk("Ag", cubic=True)
    silver.rattle(0.05, seed=0)
    write(folder / "validation.xyz", labelled(silver, EMT()), format="extxyz")
    config = settings(folder, data={"validation": str(folder / "validation.xyz")})
    with pytest.raises(InputError, match="validation frames hold Ag"):
        train_potential(config, progress=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="torch sees none"):
        train_potential(settings(folder, train={"device": "gpu"}), progress=False)


def test_divergence_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"the loss is \S+ at step \d+, again .* lower train.lr"):
        train_potential(settings(folder, train={"lr": 1e25, "warmup_steps": 0, "epochs": 20}), progress=False)


def test_a_training_that_breaks_down_goes_on_from_its_best_weights(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step throws the weights out in the third epoch, as an unstable optimiser does."""
    true_step, steps = PotentialModule.on_train_batch_end, []

    def on_train_batch_end(module: PotentialModule, *arguments: object) -> None:
        true_step(module, *arguments)
        steps.append(module.learning_rate())
        if len(steps) == 2 * module.steps_per_epoch + 3:
            with torch.no_grad():
                for parameter in module.model.parameters():
                    parameter.mul_(1e30)

    monkeypatch.setattr(PotentialModule, "on_train_batch_end", on_train_batch_end)
    with caplog.at_level(logging.WARNING):
        out = train_potential(settings(folder, train={"epochs": 6, "warmup_steps": 2}), progress=False)
    assert "going on from the best weights so far at half the rate" in caplog.text
    assert max(steps[-8:]) < 0.6 * max(steps)
    rows = (out / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("validation_forces_rmse")
    errors = [float(row.split(",")[column]) for row in rows[1:]]
    assert len(errors) == 6
    assert np.isfinite(errors).all()
    assert errors[-1] < errors[1]


def test_a_training_that_leaves_its_minimum_goes_back(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thrown out to where it began, which is finite and no larger than at first."""
    monkeypatch.setattr(loss_watch, "_RISEN", 3.0)  # so short a training has no thirty to lose
    true_step, steps = PotentialModule.on_train_batch_end, []

    def on_train_batch_end(module: PotentialModule, *arguments: object) -> None:
        true_step(module, *arguments)
        steps.append(module.progress["recoveries"])
        if len(steps) == 90:
            with torch.no_grad():
                for parameter in module.model.parameters():
                    parameter.normal_()

    monkeypatch.setattr(PotentialModule, "on_train_batch_end", on_train_batch_end)
    with caplog.at_level(logging.WARNING):
        out = train_potential(settings(folder, train={"epochs": 25}), progress=False)
    assert caplog.text.count("going on from the best weights so far at half the rate") == 1
    assert steps[89] == 0
    assert steps[-1] == 1
    errors = [float(row["validation_forces_rmse"]) for row in metrics(out)]
    assert errors[-1] < 1.2 * min(errors)


def test_shipped_configurations_are_valid_and_show_the_defaults() -> None:
    folder = Path(__file__).parents[2] / "configs" / "train"
    shown = load_config(PotentialTrainingConfig, folder / "potential.yaml")
    assert shown == PotentialTrainingConfig.model_validate({"data": {"train": shown.data.train}})
    load_config(PotentialTrainingConfig, folder / "potential_3bpa.yaml")
    with pytest.raises(InputError, match="did you mean 'ema'"):
        load_config(PotentialTrainingConfig, folder / "potential.yaml", ["train.emma=0.9"])


def test_order_of_batches_is_a_pure_function_of_seed_and_epoch() -> None:
    order = list(EpochOrder(10, 3, seed=1, epoch=2))
    assert sorted(i for batch in order for i in batch) == list(range(10))
    assert [len(batch) for batch in order] == [3, 3, 3, 1]
    assert list(EpochOrder(10, 3, seed=1, epoch=2)) == order
    assert list(EpochOrder(10, 3, seed=1, epoch=2, first_batch=2)) == order[2:]
    assert list(EpochOrder(10, 3, seed=1, epoch=3)) != order
    assert list(EpochOrder(10, 3, seed=2, epoch=2)) != order
