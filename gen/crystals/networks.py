"""The kinds of score network, by the names they have in a configuration."""

from collections.abc import Sequence

from gen.crystals.config import NetworkConfig
from gen.crystals.equivariant_network import EquivariantCrystalNetwork
from gen.crystals.network import CrystalNetwork
from gen.crystals.properties import PropertySpec

AnyCrystalNetwork = CrystalNetwork | EquivariantCrystalNetwork


def make_network(config: NetworkConfig, species: int, properties: Sequence[PropertySpec] = ()) -> AnyCrystalNetwork:
    """A network with random weights for `species` elements."""
    kinds = {"pairs": CrystalNetwork, "equivariant": EquivariantCrystalNetwork}
    return kinds[config.kind](config, species, properties)
