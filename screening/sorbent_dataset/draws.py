"""Which recipe an index gives: diverse in nets, with the held-out tenth kept apart."""

import functools
from dataclasses import replace

import numpy as np

from gen.sorbents.beads import held_out
from gen.sorbents.catalog import Catalog, Net, load_catalog
from gen.sorbents.recipe import COMMON_NETS, Choice, Recipe, RecipeSampler
from potentials.errors import InputError
from screening.sorbent_dataset.settings import DrawSettings

ATTEMPTS = 200  # at a recipe, each of a net drawn anew, before an index is given up


class Draws:
    """Recipes by index; what an index gives is a function of the seed, the index and the settings alone.

    Raises:
        InputError: no framework within the limits exists.
    """

    def __init__(self, settings: DrawSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.catalog = load_catalog()
        unknown = sorted(set(settings.nets) - set(self.catalog.nets))
        if unknown:
            raise InputError(
                f"draw.nets: {unknown[0]!r} is not among the {len(self.catalog.nets)} nets the library can fill: "
                "use RCSR symbols such as pcu, fcu, tbo"
            )
        self._seen = seen_part(self.catalog)

    def recipe(self, index: int) -> Recipe | None:
        """The recipe of an index; None when `ATTEMPTS` drew none within the limits."""
        rng = np.random.default_rng([self.seed, index])
        held, cof, large = (rng.random(3) < self._shares).tolist()
        names, weights = self._nets(held, cof, large)
        for _ in range(ATTEMPTS if names else 0):
            sampler = self._sampler(names[rng.choice(len(names), p=weights)], held, cof, large)
            recipe = sampler.draw(rng)
            if recipe is not None and is_held(recipe) == held:
                return recipe
        return None

    @property
    def _shares(self) -> np.ndarray:
        return np.array([self.settings.held_share, self.settings.cof_share, self.settings.large_share])

    def _choice(self, nets: tuple[str, ...], cof: bool, large: bool) -> Choice:
        limit = self.settings.max_atoms_large if large else self.settings.max_atoms
        return Choice(nets, frozenset(self.settings.metals), not cof, cof, limit, self.settings.max_rmsd)

    @functools.cache  # noqa: B019  lives as long as its process
    def _nets(self, held: bool, cof: bool, large: bool) -> tuple[tuple[str, ...], np.ndarray]:
        """Nets with a framework within the limits, and how likely each is."""
        catalog = self.catalog if held else self._seen
        allowed = set(self.settings.nets or catalog.nets)
        limit = self.settings.max_beads
        small = tuple(name for name, net in catalog.nets.items() if name in allowed and bead_count(net) <= limit)
        names = RecipeSampler(catalog, self._choice(small, cof, large)).nets if small else ()
        return names, net_weights(names, self.settings.common_share)

    @functools.cache  # noqa: B019
    def _sampler(self, net: str, held: bool, cof: bool, large: bool) -> RecipeSampler:
        return RecipeSampler(self.catalog if held else self._seen, self._choice((net,), cof, large))


def bead_count(net: Net) -> int:
    """Nodes and edges in the primitive cell."""
    return sum(slot.count for slot in net.nodes) + sum(slot.count for slot in net.edges)


def net_weights(names: tuple[str, ...], common_share: float) -> np.ndarray:
    """Probability of each net: square roots of how common it is for a share of draws, uniform for the rest.

    Flatter than the `template` proposer's, whose six most common nets take a third of all draws.
    """
    uniform = np.full(len(names), 1.0 / max(len(names), 1))
    common = np.sqrt([COMMON_NETS.get(name, 0.0) for name in names])
    if common.sum() == 0.0:
        return uniform
    return np.asarray(common_share * common / common.sum() + (1.0 - common_share) * uniform)


def is_held(recipe: Recipe) -> bool:
    """Whether a recipe has a net or block that training must not see."""
    return any(held_out(name) for name in (recipe.net, *recipe.nodes, *recipe.edges) if name)


def seen_part(catalog: Catalog) -> Catalog:
    """The catalog without the held-out nets and blocks."""
    blocks = {name: block for name, block in catalog.blocks.items() if not held_out(name)}
    nets = {
        name: replace(
            net,
            nodes=tuple(
                replace(slot, fits={block: rmsd for block, rmsd in slot.fits.items() if block in blocks})
                for slot in net.nodes
            ),
        )
        for name, net in catalog.nets.items()
        if not held_out(name)
    }
    return replace(catalog, blocks=blocks, nets=nets)
