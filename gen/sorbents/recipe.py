"""A recipe names what a framework is made of: a net, a block for each node class, a linker for each edge class."""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gen.sorbents.catalog import Block, Catalog, EdgeSlot, Net
from gen.sorbents.formal_charge import balance_fault

# Nets that most synthesised frameworks have (RCSR; O'Keeffe et al., Acc. Chem. Res. 2008, 41, 1782; Chen et al.,
# Chem. Rev. 2014, 114, 1343), with a weight for how common they are. Others are drawn too, less often.
COMMON_NETS: Mapping[str, float] = {
    "pcu": 6, "dia": 4, "fcu": 4, "nbo": 3, "tbo": 3, "acs": 3, "bcu": 3, "sod": 2, "rtl": 2, "pts": 2, "lvt": 2,
    "pto": 2, "scu": 2, "flu": 2, "the": 2, "soc": 2, "csq": 2, "ftw": 2, "spn": 2, "cds": 2, "srs": 2, "ths": 2,
    "pyr": 1, "she": 1, "bor": 1, "ctn": 1, "qtz": 1, "ssb": 1, "stp": 1, "reo": 1, "hex": 1, "sra": 1, "bnn": 1,
    "rht": 1, "ith": 1, "crb": 1, "gis": 1, "lta": 1, "rho": 1, "mtn": 1, "unc": 1, "lon": 1, "sxb": 1, "ssa": 1,
    "apo": 1, "ant": 1, "ana": 1, "eta": 1, "etb": 1, "kgd": 1, "pth": 1, "sit": 1, "toc": 1, "txt": 1, "tsi": 1,
}  # fmt: skip
COMMON_SHARE = 0.7  # of draws that take a common net; the rest is uniform over every suitable net


@dataclass(frozen=True)
class Recipe:
    """Everything that determines an assembled framework, and cheap to compare."""

    net: str
    nodes: tuple[str, ...]  # block of each node class, in the order of the catalog
    edges: tuple[str | None, ...]  # linker of each edge class; None joins the two nodes directly

    @property
    def key(self) -> str:
        """One line that identifies the recipe, e.g. `pcu:N16:E14`."""
        return ":".join([self.net, "+".join(self.nodes), "+".join(edge or "direct" for edge in self.edges)])


@dataclass(frozen=True)
class Choice:
    """What may be drawn: limits on the parts, resolved from a proposer's settings."""

    nets: tuple[str, ...]  # () for every suitable net
    metals: frozenset[str]  # empty for every metal
    mofs: bool  # frameworks with at least one metal node
    cofs: bool  # frameworks with organic nodes alone
    max_atoms: int
    rmsd_limit: float
    neutral: bool = True  # only frameworks whose metals can balance the formal charge of the ligands


def atom_count(recipe: Recipe, catalog: Catalog) -> int:
    """Atoms in the primitive cell of the framework a recipe gives, known before it is assembled."""
    net = catalog.nets[recipe.net]
    nodes = sum(slot.count * catalog.blocks[name].atoms for slot, name in zip(net.nodes, recipe.nodes, strict=True))
    edges = sum(
        slot.count * catalog.blocks[name].atoms for slot, name in zip(net.edges, recipe.edges, strict=True) if name
    )
    return nodes + edges


def recipe_metals(recipe: Recipe, catalog: Catalog) -> tuple[str, ...]:
    """Metals of a recipe, sorted."""
    names = [*recipe.nodes, *(edge for edge in recipe.edges if edge)]
    return tuple(sorted({metal for name in names for metal in catalog.blocks[name].metals}))


def recipe_imbalance(recipe: Recipe, catalog: Catalog) -> str | None:
    """Why the framework of a recipe cannot be neutral, in one sentence; None when it can.

    Formal charges of blocks add up because blocks join by single bonds. PORMAKE's nodes come from crystal structures
    whose counterions were removed, so that many are cations with neutral ligands.
    """
    net = catalog.nets[recipe.net]
    parts = [(slot.count, catalog.blocks[name]) for slot, name in zip(net.nodes, recipe.nodes, strict=True)]
    parts += [(slot.count, catalog.blocks[name]) for slot, name in zip(net.edges, recipe.edges, strict=True) if name]
    metals: Counter[str] = Counter()
    for count, block in parts:
        for metal, atoms in block.metal_counts.items():
            metals[metal] += count * atoms
    return balance_fault(sum(count * block.charge for count, block in parts), metals)


def recipe_rmsd(recipe: Recipe, catalog: Catalog) -> float:
    """Largest RMSD (unit directions) between a node class of the net and the block in it."""
    slots = catalog.nets[recipe.net].nodes
    return max(slot.fits[name] for slot, name in zip(slots, recipe.nodes, strict=True))


class RecipeSampler:
    """Draws recipes that respect a `Choice`; what a draw gives depends on the generator passed in alone."""

    def __init__(self, catalog: Catalog, choice: Choice) -> None:
        self.catalog = catalog
        self.choice = choice
        self._linkers = tuple(
            sorted(
                (block for block in catalog.blocks.values() if block.connections == 2 and self._metals_allowed(block)),
                key=lambda block: (block.atoms, block.name),
            )
        )
        names = choice.nets or tuple(catalog.nets)
        self._patterns = {name: patterns for name in names if (patterns := self._fillable(catalog.nets[name]))}
        self.nets = tuple(self._patterns)  # those at least one framework within the limits exists for
        uniform = np.full(len(self.nets), 1.0 / max(len(self.nets), 1))
        common = np.array([COMMON_NETS.get(name, 0.0) for name in self.nets])
        if common.sum() > 0:
            uniform = COMMON_SHARE * common / common.sum() + (1 - COMMON_SHARE) * uniform
        self._weights = uniform

    def draw(self, rng: np.random.Generator) -> Recipe | None:
        """One recipe, or None when the parts drawn cannot be joined within the limits, or would not be neutral."""
        recipe = self._draw(rng)
        if recipe is not None and self.choice.neutral and recipe_imbalance(recipe, self.catalog):
            return None
        return recipe

    def _draw(self, rng: np.random.Generator) -> Recipe | None:
        name = self.nets[rng.choice(len(self.nets), p=self._weights)]
        net = self.catalog.nets[name]
        patterns = self._patterns[name]
        pattern = patterns[rng.integers(len(patterns))]
        cheapest = [self._node_options(net, k, metallic)[0].atoms for k, metallic in enumerate(pattern)]
        spare = self.choice.max_atoms - sum(s.count * a for s, a in zip(net.nodes, cheapest, strict=True))
        spare -= sum(edge.count * self._cheapest_linker(net, edge, pattern) for edge in net.edges)
        nodes: list[Block] = []
        for k, metallic in enumerate(pattern):
            count = net.nodes[k].count
            limit = cheapest[k] + spare // count
            options = [block for block in self._node_options(net, k, metallic) if block.atoms <= limit]
            block = options[rng.integers(len(options))]
            spare -= count * (block.atoms - cheapest[k])
            nodes.append(block)
        tags = {slot.tag: k for k, slot in enumerate(net.nodes)}
        edges: list[str | None] = []
        for edge in net.edges:
            ends = [nodes[tags[tag]] for tag in edge.ends]
            limit = self._cheapest_linker(net, edge, pattern) + spare // edge.count
            options = [
                block for block in self._linkers if block.atoms <= limit and all(joinable(block, end) for end in ends)
            ]
            # Two metal nodes always get a linker (directly they would share an oxalate-like bridge); others are
            # joined directly half the time, as in HKUST-1.
            direct = not all(block.metals for block in ends) and joinable(*ends)
            linker = None
            if options and not (direct and rng.random() < 0.5):
                linker = options[rng.integers(len(options))]
            elif not direct:
                return None
            used = linker.atoms if linker else 0
            spare -= edge.count * (used - self._cheapest_linker(net, edge, pattern))
            edges.append(linker.name if linker else None)
        return Recipe(name, tuple(block.name for block in nodes), tuple(edges))

    def _cheapest_linker(self, net: Net, edge: EdgeSlot, pattern: tuple[bool, ...]) -> int:
        tags = {slot.tag: k for k, slot in enumerate(net.nodes)}
        return self._linkers[0].atoms if all(pattern[tags[tag]] for tag in edge.ends) else 0

    def _metals_allowed(self, block: Block) -> bool:
        return not self.choice.metals or set(block.metals) <= self.choice.metals

    @functools.cache  # noqa: B019  one sampler lives as long as its process
    def _options(self, net: str, k: int, metallic: bool) -> tuple[Block, ...]:
        fits = self.catalog.nets[net].nodes[k].fits
        blocks = [self.catalog.blocks[name] for name, rmsd in fits.items() if rmsd < self.choice.rmsd_limit]
        allowed = [block for block in blocks if bool(block.metals) == metallic and self._metals_allowed(block)]
        return tuple(sorted(allowed, key=lambda block: (block.atoms, block.name)))

    def _node_options(self, net: Net, k: int, metallic: bool) -> tuple[Block, ...]:
        """Blocks that fill node class `k`, smallest first."""
        return self._options(net.name, k, metallic)

    def _fillable(self, net: Net) -> tuple[tuple[bool, ...], ...]:
        """Which node classes are metal (True) and organic (False), for every split that some framework has."""
        found = []
        for bits in range(2 ** len(net.nodes)):
            pattern = tuple(bool(bits >> k & 1) for k in range(len(net.nodes)))
            if not (self.choice.mofs if any(pattern) else self.choice.cofs):
                continue
            options = [self._node_options(net, k, metallic) for k, metallic in enumerate(pattern)]
            if not all(options) or not self._linkers:
                continue
            smallest = sum(slot.count * choice[0].atoms for slot, choice in zip(net.nodes, options, strict=True))
            smallest += sum(edge.count * self._cheapest_linker(net, edge, pattern) for edge in net.edges)
            if smallest <= self.choice.max_atoms:
                found.append(pattern)
        return tuple(found)


def joinable(first: Block, second: Block) -> bool:
    """Whether two blocks may be bonded: at least one side of the new bond is carbon, whichever anchors meet."""
    return first.anchors == ("C",) or second.anchors == ("C",)
