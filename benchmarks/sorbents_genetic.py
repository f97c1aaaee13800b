"""A genetic algorithm over recipes, the peer of the learned generator where a property is wanted.

Genes are the net, a block a node class and a linker an edge class. Each generation keeps the best of parents and
children (mu + lambda); parents are chosen by tournaments; a child is a crossover of two, or a mutation, or both. A
recipe that breaks the limits of the random assembler (fit, atoms, neutrality, joints) is drawn again before anything is
built, and a framework that fails a test costs no evaluation of the property, as it costs none to the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gen.sorbents.catalog import Catalog, Net
from gen.sorbents.recipe import Recipe, RecipeSampler, atom_count, joinable, recipe_imbalance, recipe_metals

POPULATION = 20
CHILDREN = 10  # a generation
TOURNAMENT = 3
CROSSED = 0.7  # of children have two parents
TRIES = 200  # at a child within the limits, before a random recipe takes its place


@dataclass(frozen=True)
class Member:
    """An evaluated recipe."""

    recipe: Recipe
    fitness: float


def evolve(
    sampler: RecipeSampler, fitness: Callable[[Recipe], float | None], evaluations: int, seed: int
) -> tuple[list[Member], list[Member]]:
    """Spend a budget of evaluations.

    Args:
        sampler: draws the first population and holds the limits.
        fitness: larger is better; None for a framework that cannot be evaluated (not built, or a test failed), which
            does not count against the budget.
        evaluations: of the property.
        seed: of every random number.

    Returns:
        The last population, best first, and everything evaluated in the order it was.
    """
    rng = np.random.default_rng([seed, 20261121])
    history: list[Member] = []
    seen: set[str] = set()
    population: list[Member] = []

    def fill(wanted: int, make: Callable[[], Recipe | None]) -> list[Member]:
        members: list[Member] = []
        while len(members) < wanted and len(history) < evaluations:
            recipe = make()
            if recipe is None or recipe.key in seen:
                continue
            seen.add(recipe.key)
            value = fitness(recipe)
            if value is not None:
                members.append(Member(recipe, value))
                history.append(members[-1])
        return members

    population = fill(POPULATION, lambda: sampler.draw(rng))
    while len(history) < evaluations:
        parents = list(population)
        children = fill(CHILDREN, lambda parents=parents: _child(parents, sampler, rng))  # type: ignore[misc]
        population = sorted([*population, *children], key=lambda member: -member.fitness)[:POPULATION]
    return sorted(population, key=lambda member: -member.fitness), history


def _child(population: list[Member], sampler: RecipeSampler, rng: np.random.Generator) -> Recipe | None:
    for _ in range(TRIES):
        recipe = _pick(population, rng).recipe
        crossed = rng.random() < CROSSED
        if crossed:
            recipe = _cross(recipe, _pick(population, rng).recipe, sampler.catalog, rng)
        if not crossed or rng.random() < 0.5:
            recipe = _mutate(recipe, sampler, rng)
        if within_limits(recipe, sampler):
            return recipe
    return sampler.draw(rng)


def _pick(population: list[Member], rng: np.random.Generator) -> Member:
    drawn = rng.choice(len(population), size=min(TOURNAMENT, len(population)), replace=False)
    return max((population[k] for k in drawn), key=lambda member: member.fitness)


def _cross(first: Recipe, second: Recipe, catalog: Catalog, rng: np.random.Generator) -> Recipe:
    """The net of one, each block from either where the other's fits."""
    net = catalog.nets[first.net]
    nodes = list(first.nodes)
    for k, slot in enumerate(net.nodes):
        fitting = [name for name in second.nodes if name in slot.fits]
        if fitting and rng.random() < 0.5:
            nodes[k] = fitting[rng.integers(len(fitting))]
    edges = [second.edges[rng.integers(len(second.edges))] if rng.random() < 0.5 else own for own in first.edges]
    return Recipe(first.net, tuple(nodes), tuple(edges))


def _mutate(recipe: Recipe, sampler: RecipeSampler, rng: np.random.Generator) -> Recipe:
    """Another net, another block in a node class, or another linker in an edge class."""
    catalog, kind = sampler.catalog, rng.integers(3)
    if kind == 0:
        return _moved(recipe, sampler.nets[rng.integers(len(sampler.nets))], catalog, rng)
    net = catalog.nets[recipe.net]
    if kind == 1:
        nodes = list(recipe.nodes)
        k = int(rng.integers(len(nodes)))
        options = sorted(net.nodes[k].fits)
        nodes[k] = options[rng.integers(len(options))]
        return Recipe(recipe.net, tuple(nodes), recipe.edges)
    edges = list(recipe.edges)
    linkers = [None, *sorted(block.name for block in catalog.blocks.values() if block.connections == 2)]
    edges[int(rng.integers(len(edges)))] = linkers[rng.integers(len(linkers))]
    return Recipe(recipe.net, recipe.nodes, tuple(edges))


def _moved(recipe: Recipe, name: str, catalog: Catalog, rng: np.random.Generator) -> Recipe:
    """The blocks of a recipe on another net, others where none fits."""
    net: Net = catalog.nets[name]
    nodes = []
    for slot in net.nodes:
        options = [block for block in recipe.nodes if block in slot.fits] or sorted(slot.fits)
        nodes.append(options[rng.integers(len(options))])
    edges = [recipe.edges[rng.integers(len(recipe.edges))] for _ in net.edges]
    return Recipe(name, tuple(nodes), tuple(edges))


def within_limits(recipe: Recipe, sampler: RecipeSampler) -> bool:
    """Whether the random assembler could have drawn a recipe."""
    catalog, choice = sampler.catalog, sampler.choice
    if recipe.net not in sampler.nets or atom_count(recipe, catalog) > choice.max_atoms:
        return False
    metals = recipe_metals(recipe, catalog)
    if choice.metals and not set(metals) <= choice.metals:
        return False
    net = catalog.nets[recipe.net]
    blocks = {slot.tag: catalog.blocks[name] for slot, name in zip(net.nodes, recipe.nodes, strict=True)}
    metallic = any(block.metals for block in blocks.values())
    if not (choice.mofs if metallic else choice.cofs):
        return False
    for edge, linker in zip(net.edges, recipe.edges, strict=True):
        ends = [blocks[tag] for tag in edge.ends]
        if linker is None:
            if all(block.metals for block in ends) or not joinable(*ends):
                return False
        elif not all(joinable(catalog.blocks[linker], end) for end in ends):
            return False
    fits = all(
        slot.fits.get(name, np.inf) < choice.rmsd_limit for slot, name in zip(net.nodes, recipe.nodes, strict=True)
    )
    return fits and not (choice.neutral and recipe_imbalance(recipe, catalog))
