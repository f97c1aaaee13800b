"""Properties a generator can be steered by: what each is, and how its value becomes a vector."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

SPACE_GROUP = "space_group"
SPACE_GROUPS = 230
OCTAVES = 5  # Fourier frequencies of a standardised value: 1, 2, 4, 8, 16 radians a standard deviation
CLIP = 4.0  # standard deviations; asking for more asks for the extreme


@dataclass(frozen=True)
class PropertySpec:
    """A property as the network learnt it."""

    name: str
    kind: Literal["scalar", "category"]  # category: a space group number, 1 to 230
    mean: float  # of the training values, in their own unit
    std: float
    low: float  # smallest and largest value seen
    high: float
    count: int  # training crystals that carry it

    def to_json(self) -> dict[str, Any]:
        """Plain numbers for the checkpoint."""
        return asdict(self)


def fit_specs(names: Sequence[str], values: Tensor) -> tuple[PropertySpec, ...]:
    """Specs of properties from training values [M, P], NaN where a crystal has none."""
    specs = []
    for name, column in zip(names, values.double().unbind(1), strict=True):
        known = column[~column.isnan()]
        category = name == SPACE_GROUP
        specs.append(
            PropertySpec(
                name=name,
                kind="category" if category else "scalar",
                mean=0.0 if category else float(known.mean()),
                std=1.0 if category else max(float(known.std(correction=0)), 1e-6),
                low=float(known.min()),
                high=float(known.max()),
                count=len(known),
            )
        )
    return tuple(specs)


class Conditioning(nn.Module):
    """Property embeddings, and one zero-initialised linear adapter a layer.

    After Zeni et al. 2025 (MatterGen, SI D.1): a fresh adapter adds nothing, so that the conditioned network starts
    as the one it was made from; a property that is not given embeds as the zero vector, and since no adapter has a
    bias, a network asked for nothing stays exactly that network as long as only the adapters are trained.
    """

    def __init__(self, properties: Sequence[PropertySpec], channels: int, places: int) -> None:
        super().__init__()
        self.properties = tuple(properties)
        self.encoders = nn.ModuleList(
            nn.Embedding(SPACE_GROUPS + 1, channels)
            if spec.kind == "category"
            else nn.Sequential(nn.Linear(1 + 2 * OCTAVES, channels), nn.SiLU(), nn.Linear(channels, channels))
            for spec in self.properties
        )
        adapters = [nn.Linear(channels, channels, bias=False) for _ in range(places)]
        for adapter in adapters:
            nn.init.zeros_(adapter.weight)
        self.adapters = nn.ModuleList(adapters)

    def forward(self, values: Tensor) -> Tensor:
        """[B, P] property values in their own units, NaN where not given, to one vector [B, channels] each."""
        total: Tensor | None = None
        for spec, encoder, column in zip(self.properties, self.encoders, values.unbind(1), strict=True):
            known = ~column.isnan()
            plain = torch.where(known, column, spec.mean)
            if spec.kind == "category":
                encoded = encoder(plain.round().long().clamp(0, SPACE_GROUPS))
            else:
                encoded = encoder(waves(((plain - spec.mean) / spec.std).clamp(-CLIP, CLIP)))
            encoded = encoded * known.unsqueeze(-1)
            total = encoded if total is None else total + encoded
        assert total is not None  # a conditioning without properties is never built
        return functional.silu(total)  # zero stays zero


def layer_shifts(conditioning: Conditioning | None, values: Tensor | None, places: int) -> list[Tensor | float]:
    """What property values add to the crystal's vector at each of a network's `places`, [B, channels] each."""
    if conditioning is None or values is None:
        return [0.0] * places
    asked = conditioning(values)
    return [adapter(asked) for adapter in conditioning.adapters]


def waves(value: Tensor) -> Tensor:
    """[B] standardised values to [B, 1 + 2 OCTAVES]: the value, and sines and cosines of it."""
    frequencies = 2.0 ** torch.arange(OCTAVES, dtype=value.dtype, device=value.device)
    phase = value.unsqueeze(-1) * frequencies / math.sqrt(2)
    return torch.cat([value.unsqueeze(-1), torch.sin(phase), torch.cos(phase)], dim=-1)


def drop(values: Tensor, all_share: float, uniform: Tensor) -> Tensor:
    """Hide property values [B, P] for classifier-free guidance, whole rows and random subsets alike.

    A row is hidden altogether with probability `all_share` (Ho & Salimans 2022); of the others, a number of properties
    uniform in 1 to P stays, drawn at random, so that every subset a user may name is met in training.

    Args:
        uniform: [B, P + 2] draws from U(0, 1).
    """
    count = values.shape[1]
    kept = 1 + (uniform[:, 1] * count).long().clamp_max(count - 1)  # [B]
    rank = uniform[:, 2:].argsort(1).argsort(1)  # [B, P]
    hidden = (rank >= kept.unsqueeze(1)) | (uniform[:, :1] < all_share)
    return values.masked_fill(hidden, math.nan)
