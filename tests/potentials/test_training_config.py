"""What a training is given when little is said: the network, the rate, the batch, the kernels."""

from pathlib import Path

import pytest
import yaml

from gen.crystals.config import NetworkConfig as CrystalNetworkConfig
from gen.crystals.equivariant_network import EquivariantCrystalNetwork
from potentials.charge_network import ChargeNetworkConfig
from potentials.config import load_config, parse_config
from potentials.errors import InputError
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel
from potentials.training import fit_to_device
from potentials.training_config import PotentialTrainingConfig, TrainConfig


def config(**train) -> PotentialTrainingConfig:
    return parse_config(PotentialTrainingConfig, {"data": {"train": "frames.xyz"}, "train": train}, "test")


def test_a_new_potential_gets_products_of_two_and_linear_radial_functions() -> None:
    shape = config().network
    assert (shape.body_order, shape.radial_hidden) == (3, 0)
    layer = EnergyModel(shape, {1: 0.0}).network.layers[0]
    assert layer.cube is None
    assert layer.square is not None


def test_networks_that_share_its_layers_keep_their_shape() -> None:
    """Weights of charge networks and crystal generators written before hold these shapes."""
    charges = ChargeNetworkConfig()
    assert (charges.body_order, charges.radial_hidden) == (4, 64)
    crystals = EquivariantCrystalNetwork(CrystalNetworkConfig(kind="equivariant", channels=8, layers=1), 3)
    widths = {parameter.shape[0] for name, parameter in crystals.named_parameters() if "radial" in name}
    assert 64 in widths
    assert crystals.layers[0].cube is None


def test_a_rate_not_given_is_lower_when_fine_tuning() -> None:
    assert TrainConfig().optimizer == "soap"
    assert TrainConfig().rate() == 0.01
    assert TrainConfig().rate(finetuning=True) == pytest.approx(0.001)
    assert TrainConfig(lr=0.005).rate(finetuning=True) == TrainConfig(lr=0.005).rate() == 0.005


@pytest.mark.parametrize(("atoms", "frames"), [(1, 16), (4, 16), (9, 11), (27, 4), (78, 1), (192, 1)])
def test_a_batch_not_given_holds_about_a_hundred_atoms(atoms: float, frames: int) -> None:
    assert TrainConfig().frames_a_batch(atoms) == frames
    assert TrainConfig(batch_size=5).frames_a_batch(atoms) == 5


def test_kernels_without_a_gpu_are_refused(monkeypatch) -> None:
    model = EnergyModel(NetworkConfig(channels=4, carried=(4,), lmax=1), {1: 0.0})
    with pytest.raises(InputError, match=r"train.kernels cuequivariance run on an NVIDIA GPU.*leave train.kernels at"):
        fit_to_device(config(kernels="cuequivariance", device="cpu"), model)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="would run on the CPU"):
        fit_to_device(config(kernels="cuequivariance"), model)
    with pytest.raises(InputError, match=r"train.device is gpu and torch sees none"):
        fit_to_device(config(device="gpu"), model)
    fit_to_device(config(), model)


def test_kernels_that_are_not_installed_are_named(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = EnergyModel(NetworkConfig(channels=4, carried=(4,), lmax=1), {1: 0.0})
    with pytest.raises(InputError, match="pip install cuequivariance-torch"):
        fit_to_device(config(kernels="cuequivariance"), model)


def test_the_commented_file_shows_every_default() -> None:
    path = Path(__file__).parents[2] / "configs/train/potential.yaml"
    assert load_config(PotentialTrainingConfig, path, ["data.train=frames.xyz"]) == config()
    shown = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert shown["train"].keys() == TrainConfig.model_fields.keys()
    assert shown["network"].keys() == NetworkConfig.model_fields.keys()
