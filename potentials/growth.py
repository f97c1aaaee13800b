"""A trained network with more features of degree 1 and higher or radial functions, its energies at first those it had.

What a potential sends along bonds is what it costs and what it can tell (`carried`). One that has learned all its size
can hold need not be trained anew in a larger size: new features are computed by fresh random weights, and what reads
them begins at zero, so that the first step of training starts from the trained energies and its gradient already sees
the new features (Chen, Goodfellow, Shlens, Net2Net, ICLR 2016, does the same by splitting channels).
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from potentials.network import EquivariantNetwork, Interaction, NetworkConfig
from potentials.network_potential import EnergyModel, default_dtype


def can_grow(old: NetworkConfig, new: NetworkConfig) -> bool:
    """Whether `new` is `old` with more `carried` features of degree 1 and higher, or more radial functions."""
    same = old.model_copy(update={"carried": new.carried, "radial_functions": new.radial_functions})
    if old.architecture != "density" or new != same or new.radial_functions < old.radial_functions:
        return False
    wider = all(b >= a for a, b in zip(old.carried, new.carried, strict=False))
    return old.carried[0] == new.carried[0] and len(new.carried) >= len(old.carried) and wider


def grown(model: EnergyModel, config: NetworkConfig, seed: int) -> EnergyModel:
    """The model with a network of the shape `config`; its energies, forces and stresses are the same.

    Args:
        model: a density network, trained.
        config: its shape with more `carried` features of degree 1 and higher, or more radial functions.
        seed: of the weights that make the new features.

    Raises:
        ValueError: any other change of shape.
    """
    if not isinstance(model.network, EquivariantNetwork) or not can_grow(model.config, config):
        raise ValueError(f"a network with {model.config} cannot grow to {config}")
    with torch.random.fork_rng(devices=[]), default_dtype(model.dtype):
        torch.manual_seed(seed)
        network = EquivariantNetwork(config, len(model.elements))
    with torch.no_grad():
        network.embedding.copy_(model.network.embedding)
        for old, new in zip(model.network.layers, network.layers, strict=True):
            assert isinstance(old, Interaction)
            assert isinstance(new, Interaction)
            _copy_layer(old, new, config)
    larger = copy.copy(model)  # shares what does not change
    larger._modules = dict(model._modules)
    larger.config, larger.network = config, network.to(model.factors.device)
    return larger


def _copy_layer(old: Interaction, new: Interaction, config: NetworkConfig) -> None:
    came, comes = [len(send) for send in old.send], [len(send) for send in new.send]
    went, goes = [mix.shape[1] for mix in old.mix_products], [mix.shape[1] for mix in new.mix_products]
    pairs = [size // count for size, count in zip(new.radial_sizes, comes, strict=True)]
    known = _kept(pairs, came, comes)
    for a, b in zip(old.radial.weights, new.radial.weights, strict=True):
        # more rows in the first matrix, more columns in the last: they are one where there is no hidden layer
        last = b is new.radial.weights[-1]
        _place(b, a, rows=range(len(a)), columns=known if last else None)
    for d, send in enumerate(old.send):
        _place(new.send[d], send, rows=range(came[d]), columns=range(came[d]))
    for degree in range(config.lmax + 1):
        paths = [counts[degree] for counts in new.density_counts]
        _place(new.mix_density[degree], old.mix_density[degree], rows=_kept(paths, came, comes))
    for d, count in enumerate(went):
        new.species_weights[d].copy_(old.species_weights[d])
        _place(new.mix_products[d], old.mix_products[d], columns=range(count))
    for d, keep in enumerate(old.keep):
        _place(new.keep[d], keep, rows=range(came[d]), columns=range(went[d]))
    if old.square is not None and old.cube is not None:
        for a, b in zip(old.contract, new.contract, strict=True):
            b.copy_(a)
    gates = _kept([1] * len(goes), went, goes)
    for wide, narrow in zip(new.gates.parameters(), old.gates.parameters(), strict=True):
        wide[gates] = narrow
    new.hidden.load_state_dict(old.hidden.state_dict())
    new.readout.load_state_dict(old.readout.state_dict())
    new.scales.copy_(old.scales)


def _kept(blocks: Sequence[int], old: Sequence[int], new: Sequence[int]) -> list[int]:
    """Where old features lie among new ones, each degree being `blocks` rows of its features one after the other."""
    places, start = [], 0
    for degree, (count, width) in enumerate(zip(blocks, new, strict=True)):
        narrow = old[degree] if degree < len(old) else 0
        places += [start + row * width + k for row in range(count) for k in range(narrow)]
        start += count * width
    return places


def _place(
    new: Tensor, old: Tensor, *, rows: Sequence[int] | None = None, columns: Sequence[int] | None = None
) -> None:
    """Old weights among new ones; nothing is read from new rows into old columns."""
    rows = list(range(len(new)) if rows is None else rows)
    columns = list(range(new.shape[1]) if columns is None else columns)
    new[:, columns] = 0
    new[torch.tensor(rows)[:, None], torch.tensor(columns)[None, :]] = old
