"""What an atom hears of its neighbours: sum_j Y(r_ij) x (w_ij h_j), coupled to the degrees of its output.

Plain tensor operations write the product w h of every slot to memory and read it back several times, forward and
backward. On a CPU the atoms are taken instead in portions small enough for the processor's cache, and the backward pass
makes the products again rather than keep them. Both ways give the same numbers; the plain one stays where a graph of
the derivatives is wanted (training on forces), on other devices and while a program is traced.
"""

from typing import Any

import torch
from torch import Tensor

from potentials.density import EdgeLayout, project
from potentials.spherical import couple

Blocks = tuple[tuple[int, int], ...]

# of the products w h of one portion of atoms, for each thread that works on it: half of a core's second-level cache
_PORTION_BYTES = 512 * 1024


def neighbour_density(
    harmonics: Tensor, features: Tensor, weights: Tensor, layout: EdgeLayout, coupling: Tensor | None = None
) -> Tensor:
    """The coupled density of features of one degree l', for each renumbered atom [N, R, C].

    Differentiable in its first three arguments, twice where the first derivative is taken with a graph.

    Args:
        harmonics: some or all components of Y in each slot [S, M].
        features: what each renumbered atom sends [N, 2l' + 1, C].
        weights: radial weight of each slot and channel [S, C]; or one for each degree of Y, degree after degree
            [S, L C], with the M = L^2 components of degrees 0 to L - 1.
        layout: the slots of each atom.
        coupling: Clebsch-Gordan coefficients [R, M (2l' + 1)]; None leaves the R = M (2l' + 1) products as they are.
    """
    traced = not isinstance(features.shape[0], int)
    if traced or features.device.type != "cpu":
        return plain_density(harmonics, features, weights, coupling, layout.sender, layout.blocks)
    return _Density.apply(harmonics, features, weights, coupling, layout.sender, layout.blocks)  # type: ignore[no-untyped-call, no-any-return]


def plain_density(
    harmonics: Tensor, features: Tensor, weights: Tensor, coupling: Tensor | None, sender: Tensor, blocks: Blocks
) -> Tensor:
    """`neighbour_density` from tensor operations alone, which can be traced, mapped and differentiated at will."""
    n_atoms, components, channels = features.shape
    sent = features.flatten(1).index_select(0, sender).view(-1, components, channels)
    parts = [
        project(harmonics[:, rows], (sent * weights[:, columns][:, None, :]).flatten(1), blocks)
        for rows, columns in _degrees(harmonics, weights, channels)
    ]
    pairs = _joined(parts, 1).reshape(n_atoms, -1, channels)
    return pairs if coupling is None else couple(coupling, pairs)


class _Density(torch.autograd.Function):
    """`plain_density`, portion by portion."""

    @staticmethod
    def forward(
        ctx: Any,
        harmonics: Tensor,
        features: Tensor,
        weights: Tensor,
        coupling: Tensor | None,
        sender: Tensor,
        blocks: Blocks,
    ) -> Tensor:
        ctx.save_for_backward(harmonics, features, weights, coupling, sender)
        ctx.blocks = blocks
        n_atoms, components, channels = features.shape
        flat = features.reshape(n_atoms, -1)
        size = harmonics.shape[1] * components if coupling is None else coupling.shape[0]
        out = features.new_empty(n_atoms, size, channels)
        degrees = _degrees(harmonics, weights, channels)
        for first, last, start, stop in _portions(blocks, flat):
            atoms, width = last - first, (stop - start) // (last - first)
            sent = flat.index_select(0, sender[start:stop])
            left = harmonics[start:stop].unflatten(0, (atoms, width)).transpose(1, 2)
            parts = []
            for rows, columns in degrees:
                values = sent * _repeated(weights[start:stop, columns], components)
                parts.append(torch.bmm(left[:, rows], values.view(atoms, width, components * channels)))
            pairs = _joined(parts, 1).view(atoms, -1, channels)
            if coupling is None:
                out[first:last] = pairs
            else:
                torch.bmm(coupling.expand(atoms, -1, -1), pairs, out=out[first:last])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        harmonics, features, weights, coupling, sender = ctx.saved_tensors
        found: tuple[Tensor | None, ...]
        if torch.is_grad_enabled():  # the derivative is to be differentiated again
            found = _plain_gradients(gradients[0], harmonics, features, weights, coupling, sender, ctx.blocks)
        else:
            wanted = ctx.needs_input_grad[:3]
            found = _gradients(gradients[0], harmonics, features, weights, coupling, sender, ctx.blocks, wanted)
        return *found, None, None, None


def _gradients(
    gradient: Tensor,
    harmonics: Tensor,
    features: Tensor,
    weights: Tensor,
    coupling: Tensor | None,
    sender: Tensor,
    blocks: Blocks,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Derivatives with respect to harmonics, features and weights, portion by portion."""
    n_atoms, components, channels = features.shape
    gradient = gradient.contiguous()
    flat = features.reshape(n_atoms, -1)
    of_harmonics = harmonics.new_empty(harmonics.shape) if wanted[0] else None
    of_features = torch.zeros_like(flat) if wanted[1] else None
    of_weights = weights.new_empty(weights.shape) if wanted[2] else None
    back = None if coupling is None else coupling.t()
    degrees = _degrees(harmonics, weights, channels)
    for first, last, start, stop in _portions(blocks, flat):
        if start == stop:  # atoms without neighbours
            continue
        atoms, slots, width = last - first, stop - start, (stop - start) // (last - first)
        pulled = gradient[first:last] if back is None else torch.bmm(back.expand(atoms, -1, -1), gradient[first:last])
        pulled = pulled.view(atoms, -1, components * channels)  # [n, M, (2l' + 1) C]
        left = harmonics[start:stop].unflatten(0, (atoms, width))
        chosen = sender[start:stop]
        sent = flat.index_select(0, chosen)
        to_sender = None
        for rows, columns in degrees:
            weight = _repeated(weights[start:stop, columns], components)
            pull = pulled[:, rows]
            if of_harmonics is not None:
                values = (sent * weight).view(atoms, width, components * channels)
                into = of_harmonics[start:stop, rows].unflatten(0, (atoms, width))
                torch.bmm(values, pull.transpose(1, 2), out=into)
            if of_features is None and of_weights is None:
                continue
            arriving = torch.bmm(left[:, :, rows], pull).view(slots, components * channels)
            if of_weights is not None and components == 1:
                torch.mul(sent, arriving, out=of_weights[start:stop, columns])
            elif of_weights is not None:
                products = (sent * arriving).view(slots, components, channels)
                torch.sum(products, 1, out=of_weights[start:stop, columns])
            arriving.mul_(weight)
            to_sender = arriving if to_sender is None else to_sender.add_(arriving)
        if of_features is not None and to_sender is not None:
            of_features.index_add_(0, chosen, to_sender)
    return of_harmonics, None if of_features is None else of_features.view(features.shape), of_weights


def _plain_gradients(
    gradient: Tensor,
    harmonics: Tensor,
    features: Tensor,
    weights: Tensor,
    coupling: Tensor | None,
    sender: Tensor,
    blocks: Blocks,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same from operations that autograd can follow."""
    n_atoms, components, channels = features.shape
    pulled = gradient if coupling is None else couple(coupling.t(), gradient)
    pulled = pulled.reshape(n_atoms, -1, components * channels)
    sent = features.flatten(1).index_select(0, sender).view(-1, components, channels)
    of_harmonics, of_weights, to_sender = [], [], torch.zeros_like(sent)
    for rows, columns in _degrees(harmonics, weights, channels):
        left, weight = harmonics[:, rows], weights[:, None, columns]
        values, pull = (sent * weight).flatten(1), pulled[:, rows]
        of_left, arriving, start, first = [], [], 0, 0
        for atoms, width in blocks:
            stop, last = start + atoms * width, first + atoms
            of_block = torch.bmm(values[start:stop].unflatten(0, (atoms, width)), pull[first:last].transpose(1, 2))
            of_left.append(of_block.flatten(0, 1))
            of_block = torch.bmm(left[start:stop].unflatten(0, (atoms, width)), pull[first:last])
            arriving.append(of_block.flatten(0, 1))
            start, first = stop, last
        arrived = torch.cat(arriving).view(-1, components, channels)
        of_harmonics.append(torch.cat(of_left))
        of_weights.append((arrived * sent).sum(1))
        to_sender = to_sender + arrived * weight
    of_features = torch.zeros_like(features.flatten(1)).index_add(0, sender, to_sender.flatten(1))
    return _joined(of_harmonics, 1), of_features.view(features.shape), _joined(of_weights, 1)


def _degrees(harmonics: Tensor, weights: Tensor, channels: int) -> list[tuple[slice, slice]]:
    """Components of Y and columns of the weights that belong together: all of both, or those of one degree each."""
    count = weights.shape[1] // channels
    if count == 1:
        return [(slice(0, harmonics.shape[1]), slice(0, channels))]
    return [(slice(d * d, (d + 1) ** 2), slice(d * channels, (d + 1) * channels)) for d in range(count)]


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def _repeated(weights: Tensor, components: int) -> Tensor:
    """[S, C] to [S, components * C]: a copy and a product cost less than a product that broadcasts short rows."""
    return weights if components == 1 else torch.cat([weights] * components, dim=1)


def _portions(blocks: Blocks, flat: Tensor) -> list[tuple[int, int, int, int]]:
    """Runs of atoms with the same number of slots: (first atom, last, first slot, last), ends exclusive."""
    most = max(1, _PORTION_BYTES * torch.get_num_threads() // (flat.shape[1] * flat.element_size()))  # slots
    found, slot, atom = [], 0, 0
    for atoms, width in blocks:
        step = max(1, most // max(1, width))
        for first in range(0, atoms, step):
            count = min(step, atoms - first)
            found.append((atom + first, atom + first + count, slot + first * width, slot + (first + count) * width))
        slot, atom = slot + atoms * width, atom + atoms
    return found
