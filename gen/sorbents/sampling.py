"""Sampling beads: roles first, then blocks one at a time, then positions and cell by the reverse process.

How many connections every bead has is drawn from the sets of roles that training frameworks have (as a crystal's atom
count is), then which beads are linked from the nets of those frameworks; or both follow from a net that is held. Around
parts of a framework the graph stays open. Blocks are drawn before any geometry; a set that cannot be
neutral, is too large or cannot be joined is drawn again, roles included, which costs a few network evaluations and
saves the rest. Every random number is a function of (seed, index, attempt, draw), so that no result depends on what it
shares a batch with.
"""

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from gen.crystals.batches import generator_for
from gen.crystals.inpainting import Known
from gen.crystals.process import ScoreNetwork
from gen.crystals.reverse_process import (
    Plan,
    SamplingConfig,
    Seed,
    draw_noise,
    reveal_species,
    reverse,
    with_known_noise,
)
from gen.sorbents.bead_config import LENGTH
from gen.sorbents.bead_dataset import Graph, joined_matrix
from gen.sorbents.bead_model import BeadModel
from gen.sorbents.bead_network import bound
from gen.sorbents.beads import Beads
from gen.sorbents.block_rules import Library, set_fault
from gen.sorbents.conditions import NetSlots, Roles, SorbentConditions, match_demands

SHRINK = 5.0  # frameworks' worth of the whole set's mean and spread in those of one set of roles
LEAST_SPREAD = 0.2  # of the whole set's spread, below which a set of roles is never taken to know a property


class SorbentSampling(SamplingConfig):
    """How the reverse process of beads runs; species are blocks here."""

    steps: int = Field(default=25, ge=1)  # predictor steps of cell and positions
    hold_positions: bool = True  # of a net asked for by name, as in its most symmetric form; False: its graph alone
    draw_net: bool = True  # draw the net's graph before the blocks; False leaves it to what the positions make
    # sets of beads, in the order of how well their links fit and, if values are asked for, of what they promise
    candidates: int = Field(default=16, ge=1)
    free_candidates: int = Field(default=6, ge=1)  # the same where no value is asked for
    # how many of them are assembled at most: until one has no fault, and is foretold near the values that are asked for
    assembled: int = Field(default=6, ge=1)
    draws: int = Field(default=40, ge=1)  # sets of blocks drawn for one attempt before it is given up


@dataclass(frozen=True)
class BeadTask:
    """What is asked of every framework."""

    conditions: SorbentConditions
    library: Library
    known: Known | None = None  # kept as it is; lattice in units of `LENGTH`
    start: Known | None = None  # where the reverse process starts
    start_time: float = 1.0
    block_noise: float = 0.0  # share of the start's blocks that are drawn again
    roles: Roles = ()  # of the given beads, which come first

    @property
    def given(self) -> Known | None:
        """The beads whose blocks are in place from the start."""
        return self.start or self.known


@dataclass(frozen=True)
class BlockSet:
    """Blocks of one framework to be, before it has a geometry."""

    index: int
    attempt: int
    draws: int  # sets drawn, this one included
    roles: Roles
    tokens: tuple[int, ...]
    net: NetSlots | None  # held
    joined: Tensor  # [N, N] how often two beads are linked, -1 where that is open
    fault: str | None  # of the last set drawn, when none was good


@torch.no_grad()
def draw_blocks(
    model: BeadModel,
    keys: Sequence[tuple[int, int]],
    seed: int,
    task: BeadTask,
    config: SorbentSampling,
    batch_size: int = 64,
) -> list[BlockSet]:
    """Roles and blocks for each (index, attempt)."""
    weights = role_weights(model, task.conditions, config.guidance)
    done: dict[tuple[int, int], BlockSet] = {}
    waiting = list(keys)
    for draw in range(config.draws):
        groups = collections.defaultdict(list)
        for key in waiting:
            row = _begin(seed, *key, draw, task, weights, model, config)
            groups[len(row.roles)].append(row)
        waiting = []
        for _, rows in sorted(groups.items()):
            for first in range(0, len(rows), batch_size):
                batch = rows[first : first + batch_size]
                for row, tokens in zip(batch, _reveal(model, batch, task, config), strict=True):
                    fault = _unmet(row, tokens) or set_fault(tokens, task.library, task.conditions.rules)
                    if fault is not None and draw + 1 < config.draws:
                        waiting.append((row.seed.index, row.seed.attempt))
                        continue
                    found = BlockSet(
                        row.seed.index, row.seed.attempt, draw + 1, row.roles, tokens, row.net, row.joined, fault
                    )
                    done[found.index, found.attempt] = found
        if not waiting:
            break
    return [done[key] for key in keys]


@torch.no_grad()
def draw_geometry(
    model: BeadModel, sets: Sequence[BlockSet], seed: int, task: BeadTask, config: SorbentSampling, batch_size: int = 64
) -> list[Beads]:
    """Positions and cell for each set of blocks; a number that is not finite is left to the caller to find."""
    groups = collections.defaultdict(list)
    for place, blocks in enumerate(sets):
        groups[len(blocks.roles), blocks.net.name if blocks.net else ""].append(place)
    found: dict[int, Beads] = {}
    for _, places in sorted(groups.items()):
        for first in range(0, len(places), batch_size):
            chosen = places[first : first + batch_size]
            found |= zip(chosen, _denoise(model, [sets[place] for place in chosen], seed, task, config), strict=True)
    return [found[place] for place in range(len(sets))]


def role_weights(model: BeadModel, asked: SorbentConditions, guidance: float) -> dict[Roles, float]:
    """Weights of the sets of roles: how common each is among training frameworks, times how well it suits the values.

    A set's values are taken to be normal, with mean and spread drawn to those of all frameworks where few are known;
    the likelihood is raised to the weight of the guidance, as for every other part of the model.
    """
    weights = {}
    for roles, weight in asked.role_sets.items():
        log_likelihood = 0.0
        known = model.role_values.get(roles, ())  # a framework that is given may have roles of its own
        for spec, (mean, spread, count) in zip(model.properties, known, strict=bool(known)):
            if spec.name not in asked.values:
                continue
            total = count + SHRINK
            centre = (count * mean + SHRINK * spec.mean) / total
            variance = (
                count * (spread**2 + (mean - centre) ** 2) + SHRINK * (spec.std**2 + (spec.mean - centre) ** 2)
            ) / total
            width = max(math.sqrt(variance), LEAST_SPREAD * spec.std)
            log_likelihood -= math.log(width) + 0.5 * ((asked.values[spec.name] - centre) / width) ** 2
        weights[roles] = math.log(weight) + guidance * log_likelihood
    top = max(weights.values(), default=0.0)
    return {roles: math.exp(weight - top) for roles, weight in weights.items()}


@dataclass(frozen=True)
class _Row:
    """One framework whose blocks are about to be drawn."""

    seed: Seed
    roles: Roles
    net: NetSlots | None
    joined: Tensor  # [N, N]
    tokens: Tensor  # [N] in place, the mask elsewhere
    barred: Tensor  # [N, T]
    demands: tuple[frozenset[int], ...]  # what the given blocks leave to be met


def _drawn_graph(graphs: Mapping[Graph, int], generator: torch.Generator) -> Graph:
    counts = torch.tensor(list(graphs.values()), dtype=torch.float64)
    return list(graphs)[int(torch.multinomial(counts, 1, generator=generator))]


def _begin(
    seed: int,
    index: int,
    attempt: int,
    draw: int,
    task: BeadTask,
    weights: Mapping[Roles, float],
    model: BeadModel,
    config: SorbentSampling,
) -> _Row:
    """Roles of a framework, and which block may go where."""
    generator = generator_for(seed, "roles", index, attempt, draw)
    net = None
    if task.conditions.nets:
        net = task.conditions.nets[int(torch.randint(len(task.conditions.nets), (1,), generator=generator))]
        roles, joined = net.roles, net.joined
    else:
        choices = list(weights)
        drawn = torch.multinomial(torch.tensor(list(weights.values()), dtype=torch.float64), 1, generator=generator)
        rest = collections.Counter(choices[int(drawn)]) - collections.Counter(task.roles)
        roles = (*task.roles, *sorted(rest.elements()))
        joined = torch.full((len(roles), len(roles)), -1, dtype=torch.int8)
        if not task.roles and config.draw_net and roles in model.graphs:
            joined = joined_matrix(_drawn_graph(model.graphs[roles], generator), len(roles))
    n = len(roles)
    noise = generator_for(seed, "blocks", index, attempt, draw)
    plain = draw_noise(noise, index, attempt, n, SamplingConfig(steps=1), model.process)
    tokens = torch.full((n,), model.mask)
    given = task.given
    if given is not None:
        plain = with_known_noise(plain, noise, SamplingConfig(steps=1), model.process)
        in_place = given.tokens
        if task.start is not None and plain.hide is not None:
            in_place = torch.where(plain.hide < task.block_noise, -1, in_place)
        tokens[: len(in_place)] = torch.where(in_place < 0, model.mask, in_place)
    options = task.conditions.options(roles, task.library, net)
    demands = tuple((words, wanted) for words, wanted in task.conditions.demands if not wanted & set(tokens.tolist()))
    free = options & (tokens.numpy() == model.mask)[:, None]
    order = torch.randperm(n, generator=noise).tolist()
    matched = match_demands(demands, free, order) or {}
    first = plain.order
    for bead, wanted in matched.items():
        options[bead] &= np.isin(np.arange(options.shape[1]), sorted(wanted))
        first[bead] += 1.0  # drawn before the others, which may then suit it
    return _Row(
        dataclasses.replace(plain, order=first),
        roles,
        net,
        joined,
        tokens,
        torch.from_numpy(~options),
        tuple(wanted for _, wanted in demands),
    )


def _unmet(row: _Row, tokens: Sequence[int]) -> str | None:
    if all(wanted & set(tokens) for wanted in row.demands):
        return None
    return "condition: what must occur found no place"


def _reveal(model: BeadModel, rows: Sequence[_Row], task: BeadTask, config: SorbentSampling) -> list[tuple[int, ...]]:
    """Blocks of a batch of equal bead count, drawn one at a time from the model given those before."""
    device = next(model.network.parameters()).device
    plan = Plan(
        model.process,
        _network(model, rows, task.conditions, config),
        [row.seed for row in rows],
        tokens=torch.stack([row.tokens for row in rows]).to(device),
        barred=torch.stack([row.barred for row in rows]).to(device),
        known=task.known,
        start=task.start,
        start_time=task.start_time,
        # a framework that is given whole is looked at as it is
        reveal_time=0.0 if _is_whole(task.known, len(rows[0].roles)) else 1.0,
    )
    tokens = reveal_species(plan, config.model_copy(update={"steps": 1, "resample": 1}))
    return [tuple(row) for row in tokens.tolist()]


def _denoise(
    model: BeadModel, sets: Sequence[BlockSet], seed: int, task: BeadTask, config: SorbentSampling
) -> list[Beads]:
    """Geometry of a batch of equal bead count, and of one net where nets are held."""
    device = next(model.network.parameters()).device
    process, count = model.process, len(sets[0].roles)
    known = task.known
    if known is not None and known.frac is not None and known.lattice is not None and _is_whole(known, count):
        return [_beads(model, blocks, known.frac, known.lattice) for blocks in sets]
    if sets[0].net is not None and config.hold_positions:
        nothing = torch.zeros(0, dtype=torch.long)
        known = Known(nothing, sets[0].net.frac, None, basis=np.eye(3), cell=np.eye(3))
    seeds = []
    for blocks in sets:
        noise = generator_for(seed, "geometry", blocks.index, blocks.attempt)
        drawn = draw_noise(noise, blocks.index, blocks.attempt, count, config, process)
        seeds.append(drawn if known is None and task.start is None else with_known_noise(drawn, noise, config, process))
    tokens = torch.tensor([blocks.tokens for blocks in sets], device=device)
    plan = Plan(
        process,
        _network(model, sets, task.conditions, config),
        seeds,
        tokens=tokens,
        barred=torch.zeros(len(model.vocabulary), dtype=torch.bool, device=device),
        known=known,
        start=task.start,
        start_time=task.start_time,
    )
    done = reverse(plan, config)
    frac, lattice = done.frac.cpu(), done.lattice.cpu()
    return [_beads(model, blocks, frac[row], lattice[row]) for row, blocks in enumerate(sets)]


def _beads(model: BeadModel, blocks: BlockSet, frac: Tensor, lattice: Tensor) -> Beads:
    names = tuple(model.vocabulary[token] for token in blocks.tokens)
    return Beads(LENGTH * lattice.double().numpy(), frac.double().numpy() % 1.0, names, blocks.roles)


def _is_whole(known: Known | None, count: int) -> bool:
    """Whether positions and cell of all beads are given."""
    return known is not None and known.frac is not None and len(known.frac) == count and known.lattice is not None


def _network(
    model: BeadModel, rows: Sequence[_Row] | Sequence[BlockSet], asked: SorbentConditions, config: SorbentSampling
) -> ScoreNetwork:
    """The model's network, bound to roles, graphs and the properties asked for."""
    values = None
    if asked.values:
        values = torch.tensor([asked.values.get(spec.name, math.nan) for spec in model.properties])
    joined = torch.stack([row.joined for row in rows]) if model.network.knows_nets else None
    return bound(model.network, torch.tensor([row.roles for row in rows]), values, config.guidance, joined=joined)
