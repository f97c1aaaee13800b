"""Fine-tuning moves to new labels, keeps what replay holds, and says what does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from potentials.checkpoint import load_checkpoint
from potentials.config import parse_config
from potentials.dataset import LabelConfig, read_frames
from potentials.errors import InputError
from potentials.label_errors import evaluate
from potentials.training import train_potential
from potentials.training_config import PotentialTrainingConfig
from potentials.training_plan import plan_training

OFFSETS = {29: 100.0, 79: -40.0}  # eV an atom: "another code"


def frames(count: int, seed: int, gold: float, strain: float, *, offset: bool = False) -> list[Atoms]:
    """Rattled Cu-Au cells labelled by EMT, its forces scaled by 0.8 and energies shifted for the other code."""
    result = []
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        atoms = bulk("Cu", cubic=True, a=3.7 + strain)
        atoms.numbers[generator.random(4) < gold] = 79
        atoms.positions += generator.normal(0, 0.1, (4, 3))
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        if offset:
            energy, forces = 0.8 * energy + sum(OFFSETS[z] for z in atoms.numbers), 0.8 * forces
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        result.append(atoms)
    return result


def settings(folder: Path, out: str, data: str, **changes) -> PotentialTrainingConfig:
    values = {
        "out": str(folder / out),
        "data": {"train": str(folder / data), "validation_fraction": 0.2},
        "train": {"epochs": 12, "batch_size": 4, "lr": 0.01, "ema": 0.9, "warmup_steps": 5},
    } | changes
    return parse_config(PotentialTrainingConfig, values, "test")


NETWORK = {"cutoff": 4.0, "channels": 8, "carried": [8, 8], "lmax": 1, "radial_hidden": 16}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write(folder / "old.xyz", frames(50, 0, 0.4, 0.0), format="extxyz")
    write(folder / "new.xyz", frames(24, 1, 0.4, -0.15, offset=True), format="extxyz")
    train_potential(settings(folder, "base", "old.xyz", network=NETWORK), progress=False)
    return folder


def finetuned(folder: Path, out: str, **start) -> Path:
    config = settings(folder, out, "new.xyz", start={"checkpoint": str(folder / "base"), **start})
    return train_potential(config, progress=False)


def test_adapts_to_another_code_and_replay_slows_forgetting(base: Path) -> None:
    plain = finetuned(base, "plain")
    replayed = finetuned(base, "replayed", replay=str(base / "old.xyz"), replay_share=0.6)
    new = read_frames(base / "new.xyz", LabelConfig())
    start = evaluate(load_checkpoint(base / "base"), new)
    after = evaluate(load_checkpoint(plain), new)
    assert start["energy_rmse"] > 10_000  # 100 eV an atom apart before the shift
    assert after["energy_rmse"] < 100
    assert after["forces_rmse"] < 0.6 * start["forces_rmse"]

    told = json.loads((replayed / "model.json").read_text())["training"]
    assert told["start"]["name"] == "base"
    assert told["frames"]["training"] == 19 + 28  # three fifths are replayed
    assert json.loads((plain / "model.json").read_text())["training"]["forgetting"] is None
    # forces on the old structures, as the base model had them: nearer with replay than without
    old = read_frames(base / "old.xyz", LabelConfig())
    kept = evaluate(load_checkpoint(replayed), old)["forces_mae"]
    assert kept < evaluate(load_checkpoint(plain), old)["forces_mae"]
    assert set(told["errors_by_element"]) == {"Cu", "Au"}


def test_what_contradicts_the_checkpoint_is_refused(base: Path) -> None:
    start = {"checkpoint": str(base / "base")}
    with pytest.raises(InputError, match="network differs"):
        train_potential(settings(base, "x", "new.xyz", start=start, network={**NETWORK, "channels": 16}))
    with pytest.raises(InputError, match="reference_energies cannot be given"):
        train_potential(settings(base, "x", "new.xyz", start=start, reference_energies={"Cu": 1.0, "Au": 1.0}))
    silver = frames(10, 3, 0.0, 0.0)
    for atoms in silver:
        atoms.numbers[:] = 47
    write(base / "silver.xyz", silver, format="extxyz")
    with pytest.raises(InputError, match=r"hold Ag, which start\.checkpoint .* never saw"):
        train_potential(settings(base, "x", "silver.xyz", start=start))
    with pytest.raises(InputError, match=r"no .*nowhere/model\.json"):
        train_potential(settings(base, "x", "new.xyz", start={"checkpoint": str(base / "nowhere")}))


def test_a_network_grows_when_fine_tuned(base: Path) -> None:
    start = {"checkpoint": str(base / "base")}
    wide = {**NETWORK, "carried": [8, 12]}
    config = settings(base, "grown", "old.xyz", start=start, network=wide)
    grown = load_checkpoint(train_potential(config, progress=False))
    assert grown.model.config.carried == (8, 12)
    old = read_frames(base / "old.xyz", LabelConfig())
    before = evaluate(load_checkpoint(base / "base"), old)["forces_rmse"]
    assert evaluate(grown, old)["forces_rmse"] < before
    with pytest.raises(InputError, match=r"larger or more numbers in network\.carried"):
        train_potential(settings(base, "x", "old.xyz", start=start, network={**NETWORK, "carried": [8, 4]}))


def test_a_plan_costs_nothing_and_counts_right(base: Path) -> None:
    plan = plan_training(settings(base, "planned", "old.xyz", network=NETWORK))
    assert (plan.frames, plan.validation_frames, plan.elements, plan.steps_per_epoch) == (40, 10, 2, 10)
    assert plan.hours == pytest.approx(12 * plan.seconds_per_epoch / 3600)
    assert 0.05 < plan.memory_gib < 20
    assert "40 training and 10 validation frames" in plan.text
    assert not (base / "planned").exists()


def test_training_ends_early_when_nothing_improves(base: Path) -> None:
    train = {"epochs": 60, "batch_size": 4, "lr": 1e-12, "ema": 0.0, "patience": 2}
    config = settings(base, "early", "new.xyz", start={"checkpoint": str(base / "plain")}, train=train)
    rows = train_potential(config, progress=False).joinpath("metrics.csv").read_text().splitlines()
    assert 4 <= len(rows) < 61
