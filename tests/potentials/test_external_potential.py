"""A potential in another interpreter gives what it gives here, and its death is told."""

import gc
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from ase.build import bulk, molecule

from potentials.atom_graph import collate, graph_from_atoms
from potentials.errors import InputError, SorbusError
from potentials.external_potential import ExternalPotential
from potentials.potential import load_potential
from potentials.relaxation import relax

EMT = {"python": sys.executable, "model": "ase.calculators.emt:EMT"}


def systems():
    copper = bulk("Cu", "fcc", 3.7, cubic=True)
    copper.rattle(0.1, seed=1)
    return [copper, bulk("Al", "fcc", 4.0), molecule("O2")]


def batch_of(*atoms):
    return collate([graph_from_atoms(a) for a in atoms])


def test_equals_the_same_calculator_here() -> None:
    batch = batch_of(*systems())
    there, here = ExternalPotential(**EMT)(batch), load_potential("emt")(batch)
    for key in ("energy", "forces", "stress"):
        torch.testing.assert_close(there[key], here[key], rtol=0, atol=0)


def test_stress_is_left_out_when_not_asked_for() -> None:
    assert "stress" not in ExternalPotential(**EMT)(batch_of(*systems()), stress=False)


def test_loads_from_a_mapping_and_relaxes() -> None:
    potential = load_potential({"name": "external", **EMT})
    (relaxed,) = relax([systems()[0]], potential, fmax=0.01)
    (expected,) = relax([systems()[0]], load_potential("emt"), fmax=0.01)
    assert relaxed.converged
    assert relaxed.energy == pytest.approx(expected.energy, abs=1e-9)


def test_an_error_of_the_model_is_passed_on_and_the_child_lives_on() -> None:
    potential = ExternalPotential(**EMT)
    with pytest.raises(InputError, match=r"ase\.calculators\.emt:EMT failed at 1 systems: NotImplementedError: No EMT"):
        potential(batch_of(molecule("SiH4")))
    assert torch.isfinite(potential(batch_of(*systems()))["energy"]).all()


def test_packages_may_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chatty.py").write_text(
        "from ase.calculators.emt import EMT\n"
        "class Chatty(EMT):\n"
        "    def calculate(self, *a, **k):\n"
        "        print('step', flush=True)\n"
        "        super().calculate(*a, **k)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    potential = ExternalPotential(python=sys.executable, model="chatty:Chatty")
    batch = batch_of(*systems())
    torch.testing.assert_close(potential(batch)["energy"], load_potential("emt")(batch)["energy"])


def test_death_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dying.py").write_text(
        "import os, sys\n"
        "from ase.calculators.emt import EMT\n"
        "class Dying(EMT):\n"
        "    def calculate(self, *a, **k):\n"
        "        print('out of memory on the card', file=sys.stderr, flush=True)\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    potential = ExternalPotential(python=sys.executable, model="dying:Dying", name="dying")
    with pytest.raises(SorbusError, match=r"process of dying died at 3 systems \(killed by signal 9\): out of memory"):
        potential(batch_of(*systems()))


def test_what_cannot_start_is_told() -> None:
    with pytest.raises(InputError, match="no interpreter at nowhere/bin/python"):
        load_potential("external", python="nowhere/bin/python", model="mace")
    with pytest.raises(InputError, match="external model 'mase' is unknown"):
        load_potential("external", python=sys.executable, model="mase")
    with pytest.raises(InputError, match="ModuleNotFoundError: No module named 'nonesuch'"):
        load_potential("external", python=sys.executable, model="nonesuch:Calculator")
    with pytest.raises(InputError, match=r"no weights at missing\.model"):
        load_potential("external", python=sys.executable, model="mace", weights="missing.model")
    with pytest.raises(InputError, match="needs 'model'"):
        load_potential("external", python=sys.executable)
    with pytest.raises(InputError, match="has no name"):
        load_potential({"python": sys.executable})


def test_the_child_ends_with_the_object() -> None:
    potential = ExternalPotential(**EMT)
    pid = potential._child.pid
    del potential
    gc.collect()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the child outlived its potential")


def test_elements_are_those_the_model_says_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "knowing.py").write_text(
        "from types import SimpleNamespace\n"
        "from ase.calculators.emt import EMT\n"
        "class Knowing(EMT):\n"
        "    z_table = SimpleNamespace(zs=[13, 29])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    potential = ExternalPotential(python=sys.executable, model="knowing:Knowing")
    assert potential.elements == {13, 29}
    known, unknown = relax([bulk("Cu"), bulk("Ag")], potential)
    assert known.converged
    assert "does not know Ag" in str(unknown.failure)
    assert ExternalPotential(**EMT).elements == set(range(1, 119))
    assert ExternalPotential(**EMT, elements=[29]).elements == {29}


def test_missing_weights_and_packages_say_what_to_do() -> None:
    with pytest.raises(InputError, match="mace comes without weights: add weights"):
        ExternalPotential(python=sys.executable, model="mace")
    with pytest.raises(InputError, match=r"No module named 'nowhere'; install it there: .* -m pip install"):
        ExternalPotential(python=sys.executable, model="nowhere:Calculator")
