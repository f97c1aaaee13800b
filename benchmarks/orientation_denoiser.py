"""How blocks are turned, by diffusion on SO(3): the alternative to alignment (`gen/sorbents/orientation.py`).

Measured by `sorbents_orientation.py`; alignment is better, so that assembly does not use this.

Every node's rotation is noised by IGSO(3) (`gen.diffusion.so3`). A small network sees the beads, with an error of their
own or without, and each block's connection points as they are turned now, and predicts the score. It is a combination
of the cross products of arms with directions to neighbours: turning everything turns it along, and it is even under
inversion, as a rotation vector must be. Coefficients come from scalars alone. A block with symmetry of its own has
several true rotations; the exact score of their mixture is what is learnt.

Nodes are independent given the beads and their links, so that those of equal connection number make a batch.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional

from gen.crystals.batches import generator_for
from gen.diffusion import so3
from gen.diffusion.schedules import geometric, time_grid
from gen.sorbents.beads import Beads, Links
from gen.sorbents.bodies import Body, library_body
from gen.sorbents.connectivity import neighbour_vectors
from gen.sorbents.fingerprint import load_fingerprints
from gen.sorbents.orientation import Orientation, kabsch

LENGTH = 3.0  # Å, unit of lengths the network sees
SIGMA_MIN, SIGMA_MAX = 0.03, 3.0  # rad; at the upper one f is flat to 0.1 %
SAME_POINTS, SAME_ATOMS = 0.25, 0.5  # Å within which a turned block covers itself
CHANNELS = 48
LEVELS = 8  # sines and cosines of log sigma
SCALARS = 10  # of an arm and a neighbour


@dataclasses.dataclass(frozen=True)
class Sites:
    """M nodes of equal connection number c, their blocks, and where their neighbours lie."""

    block: Tensor  # [M] token of the node's block
    arms: Tensor  # [M, c, 3] Å, connection points from the block's centre, in the library's frame
    bonds: Tensor  # [M, c, 3] unit vectors of the bonds that end there, in the library's frame
    edges: Tensor  # [M, c] token of the edge bead in each slot
    others: Tensor  # [M, c] token of the block beyond it
    near: Tensor  # [M, c, 3] Å from the node to the edge bead
    far: Tensor  # [M, c, 3] Å from the node to the next node
    beads: Tensor  # [M, 1 + 2 c] indices of the beads involved: the node, edge beads, next nodes
    framework: Tensor  # [M] which framework a node is of

    def __len__(self) -> int:
        return len(self.block)

    def take(self, rows: Tensor) -> "Sites":
        """Some of the nodes."""
        return Sites(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    def noised(self, shifts: Tensor, strain: Tensor) -> "Sites":
        """With every bead shifted and every cell strained.

        Args:
            shifts: [beads, 3] Å.
            strain: [frameworks, 3, 3], symmetric.
        """
        c = self.near.shape[1]
        own, near, far = shifts[self.beads].split([1, c, c], dim=1)
        stretch = strain[self.framework]
        return dataclasses.replace(
            self, near=self.near + self.near @ stretch + near - own, far=self.far + self.far @ stretch + far - own
        )


def sites_of(beads: Beads, links: Links, framework: int = 0, first: int = 0) -> dict[int, tuple[list[int], Sites]]:
    """Connection number -> node beads with so many connections, and their sites.

    Args:
        framework: what to call this framework, and `first` its first bead, where several are put together.
    """
    tokens = _tokens()
    listed: dict[int, list[tuple[int, list[Tensor]]]] = {}
    for node, (slots, near) in sorted(neighbour_vectors(beads, links).items()):
        link, end = slots[:, 0], slots[:, 1]
        edge, other = links.bead[link], links.nodes[link, 1 - end]
        image = links.images[link, 1 - end] - links.images[link, end]
        far = (beads.frac[other] - beads.frac[node] + image) @ beads.lattice
        arms, bonds = _arms(beads.blocks[node])
        row = [
            torch.tensor(tokens[beads.blocks[node]]),
            arms,
            bonds,
            torch.tensor([tokens[beads.blocks[k]] for k in edge]),
            torch.tensor([tokens[beads.blocks[k]] for k in other]),
            torch.tensor(near, dtype=torch.float32),
            torch.tensor(far, dtype=torch.float32),
            torch.tensor([node, *edge, *other]) + first,
            torch.tensor(framework),
        ]
        listed.setdefault(len(slots), []).append((node, row))
    found = {}
    for c, rows in listed.items():
        columns = zip(*(row for _, row in rows), strict=True)
        found[c] = ([node for node, _ in rows], Sites(*(torch.stack(column) for column in columns)))
    return found


def joined(parts: Sequence[Sites]) -> Sites:
    """Sites of several frameworks, of equal connection number, as one batch."""
    return Sites(*(torch.cat([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Sites)))


@functools.cache
def _tokens() -> dict[str, int]:
    return {name: token for token, name in enumerate(load_fingerprints().names)}


@functools.cache
def _arms(name: str) -> tuple[Tensor, Tensor]:
    """[c, 3] Å and [c, 3] of a block; see `Sites`."""
    body = library_body(name)
    bonds = body.points - body.atoms[body.anchors]
    bonds = bonds / np.linalg.norm(bonds, axis=1, keepdims=True).clip(1e-9)
    return torch.tensor(body.points, dtype=torch.float32), torch.tensor(bonds, dtype=torch.float32)


@functools.cache
def own_rotations(name: str) -> np.ndarray:
    """[K, 3, 3] proper rotations that bring a block over itself, the identity first."""
    body = library_body(name)
    return np.stack([turn for turn in covering_turns(body) if np.linalg.det(turn) > 0])


def covering_turns(body: Body) -> list[np.ndarray]:
    """Rotations and reflections [3, 3] about the centre that bring a block over itself, the identity first.

    Connection points to within `SAME_POINTS`, atoms, each over one of its element, to within `SAME_ATOMS`.
    """
    points = body.points - body.centre
    atoms = body.atoms - body.centre
    base = max(itertools.combinations(range(len(points)), 3), key=lambda three: _spread(points[list(three)]))
    triples = np.array(list(itertools.permutations(range(len(points)), 3)))
    found = [np.eye(3)]
    for sign in (1.0, -1.0):
        roughs = sign * np.swapaxes(kabsch(sign * points[triples], points[list(base)]), 1, 2)
        for rough in roughs:
            pairs = _covered(points @ rough.T, points, SAME_POINTS)
            if pairs is None:
                continue
            turn = sign * kabsch(sign * points[None], points[pairs])[0]  # over all points, not three of them
            new = all(np.abs(turn - other).max() > 0.1 for other in found)
            if new and all(
                _covered(atoms[mine] @ turn.T, atoms[mine], SAME_ATOMS) is not None
                for mine in (body.numbers == number for number in sorted(set(body.numbers.tolist())))
            ):
                found.append(turn)
    return found


def _spread(points: np.ndarray) -> float:
    """How well three vectors fix a rotation: their second singular value."""
    return float(np.linalg.svd(points, compute_uv=False)[1])


def _covered(moved: np.ndarray, fixed: np.ndarray, limit: float) -> np.ndarray | None:
    """Which fixed point each moved one lies on, or None unless all do, each on its own."""
    apart = np.linalg.norm(moved[:, None] - fixed, axis=-1)
    pairs = apart.argmin(1)
    if apart.min(1).max() > limit or len(set(pairs.tolist())) < len(fixed):
        return None
    return pairs


class OrientationNetwork(nn.Module):
    """Score of the noised rotations, divided by its root mean square (`so3.score_norm`)."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        fingerprints = torch.from_numpy(load_fingerprints().table)
        self.register_buffer("fingerprints", fingerprints, persistent=False)
        self.fingerprints: Tensor
        self.blocks = nn.Sequential(
            nn.Linear(fingerprints.shape[1], 2 * channels), nn.SiLU(), nn.Linear(2 * channels, channels)
        )
        self.level = nn.Linear(2 * LEVELS + 1, channels)
        self.scalars = nn.Linear(SCALARS, channels)
        self.node = nn.Linear(channels, channels)
        self.edge = nn.Linear(channels, channels)
        self.other = nn.Linear(channels, channels)
        self.message = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.pair = nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.mix = nn.Linear(3 * channels, channels)
        self.heads = nn.Linear(channels, 5)  # logit of the match, weights of four cross products
        self.sharpness = nn.Linear(channels, 1)  # of the match, in the cosine between arm and direction
        self.gate = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, 1))
        with torch.no_grad():
            self.heads.weight.mul_(0.1)
            self.heads.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0]))
            self.sharpness.bias.fill_(1.5)

    def forward(self, sites: Sites, turns: Tensor, sigma: Tensor) -> Tensor:
        """[M, 3] for nodes turned by `turns` [M, 3, 3] at noise `sigma` [M]."""
        table = self.blocks(self.fingerprints)
        level = self.level(_level_features(sigma))  # [M, C]
        reach, distance = sites.arms.norm(dim=-1), sites.near.norm(dim=-1)  # [M, c]
        arms = (sites.arms / reach.clamp_min(1e-6).unsqueeze(-1)) @ turns.mT
        bonds = sites.bonds @ turns.mT
        near = sites.near / distance.clamp_min(1e-6).unsqueeze(-1)
        span = sites.far.norm(dim=-1)
        far = sites.far / span.clamp_min(1e-6).unsqueeze(-1)
        cosines = [a @ d.mT for a, d in itertools.product((arms, bonds), (near, far))]  # [M, c, c] each
        shape = cosines[0].shape
        lengths = torch.stack(
            [
                reach.unsqueeze(2).expand(shape),
                distance.unsqueeze(1).expand(shape),
                (distance.unsqueeze(1) - reach.unsqueeze(2)),
                span.unsqueeze(1).expand(shape),
            ],
            dim=-1,
        )
        bent = (near * far).sum(-1).unsqueeze(1).expand(shape)
        tilt = (arms * bonds).sum(-1).unsqueeze(2).expand(shape)
        scalars = torch.cat([torch.stack([*cosines, bent, tilt], dim=-1), lengths / LENGTH], dim=-1)
        slots = self.edge(table[sites.edges]) + self.other(table[sites.others])  # [M, c, C]
        lengths_of = self.message(torch.cat([slots, table[sites.block].unsqueeze(1).expand_as(slots)], dim=-1))
        h = self.node(table[sites.block]) + level + lengths_of.mean(1)  # [M, C]
        pair = self.pair(self.scalars(scalars) + h[:, None, None] + slots.unsqueeze(1))  # [M, c, c, C]
        mixed = [pair, pair.mean(1, keepdim=True).expand_as(pair), pair.mean(2, keepdim=True).expand_as(pair)]
        pair = functional.silu(self.mix(torch.cat(mixed, dim=-1)))
        logit, *weights = self.heads(pair).unbind(-1)
        logit = logit + self.sharpness(h).exp().unsqueeze(-1) * cosines[0]
        match = torch.softmax(logit, 1) * torch.softmax(logit, 2)  # which arm goes to which neighbour
        vector = torch.zeros_like(arms[:, 0])
        for weight, (a, d) in zip(weights, itertools.product((arms, bonds), (near, far)), strict=True):
            vector = vector + torch.cross(a, (match * weight) @ d, dim=-1).sum(1)
        # the rotation that brings arms over directions by least squares, to first order
        spread = torch.eye(3) * (arms.shape[1] + 0.1) - arms.mT @ arms  # sum of 1 - a a^T
        vector = torch.linalg.solve(spread, vector.unsqueeze(-1)).squeeze(-1)
        pooled = torch.cat([h, (match.unsqueeze(-1) * pair).sum((1, 2)) / arms.shape[1]], dim=-1)
        size = 1 + self.gate(pooled)
        return size * vector / (math.sqrt(3) * sigma.clamp_max(1.0).unsqueeze(-1))


def _level_features(sigma: Tensor) -> Tensor:
    """[M, 2 L + 1] waves of log sigma, scaled to [0, 1] between the ends of the schedule."""
    place = (sigma / SIGMA_MIN).log() / math.log(SIGMA_MAX / SIGMA_MIN)
    phase = math.pi * place.unsqueeze(-1) * torch.arange(1, LEVELS + 1)
    return torch.cat([place.unsqueeze(-1), phase.sin(), phase.cos()], dim=-1)


def denoising_loss(
    network: OrientationNetwork, sites: Sites, clean: Tensor, norms: "ScoreNorms", generator: torch.Generator
) -> Tensor:
    """Mean squared error of the normalised score at random noise; 1 for a network that says 0.

    Args:
        clean: [M, K, 3, 3] the rotations a node may equally well have.
    """
    m = len(sites)
    t = torch.rand(m, generator=generator)
    sigma = geometric(t, torch.tensor(SIGMA_MIN), torch.tensor(SIGMA_MAX))
    vector = so3.noise_vector(sigma, torch.rand(m, generator=generator), torch.randn(m, 3, generator=generator))
    turns = so3.rotation(vector) @ clean[:, 0]
    target = so3.mixture_score(turns, clean, sigma) / norms(sigma).unsqueeze(-1)
    return (network(sites, turns, sigma) - target).square().sum(-1).mean()


class ScoreNorms:
    """`so3.score_norm`, tabulated over the schedule."""

    def __init__(self, points: int = 256) -> None:
        self.places = torch.linspace(0, 1, points)
        self.values = so3.score_norm(geometric(self.places, torch.tensor(SIGMA_MIN), torch.tensor(SIGMA_MAX))).log()

    def __call__(self, sigma: Tensor) -> Tensor:
        """[...] at `sigma` [...], interpolated."""
        place = (sigma / SIGMA_MIN).log() / math.log(SIGMA_MAX / SIGMA_MIN) * (len(self.places) - 1)
        left = place.floor().long().clamp(0, len(self.places) - 2)
        return torch.lerp(self.values[left], self.values[left + 1], place - left).exp()


@torch.no_grad()
def sample_turns(
    network: OrientationNetwork, sites: Sites, generator: torch.Generator, steps: int, norms: ScoreNorms
) -> Tensor:
    """[M, 3, 3] rotations from the reverse process, from uniform ones in `steps` steps; the last one is to no noise."""
    m = len(sites)
    turns = so3.uniform_rotation(torch.randn(m, 4, generator=generator))
    low, high = torch.tensor(SIGMA_MIN), torch.tensor(SIGMA_MAX)
    levels = [*(float(geometric(t.float(), low, high)) for t in time_grid(steps - 1)), 0.0]
    for level, after in itertools.pairwise(levels):
        sigma, sigma_next = torch.full((m,), level), torch.full((m,), after)
        score = network(sites, turns, sigma) * norms(sigma).unsqueeze(-1)
        turns = so3.reverse_step(turns, score, sigma, sigma_next, torch.randn(m, 3, generator=generator))
    return turns


def diffused_orientations(
    network: OrientationNetwork, beads: Beads, links: Links, seed: int, *, draws: int = 1, steps: int = 25
) -> dict[int, list[Orientation]]:
    """For every node bead, `draws` ways to turn its block, in the order drawn; as `orientation.orientations` gives.

    Connection points are matched to neighbours afterwards, by the directions they point in.
    """
    norms = _norms()
    found: dict[int, list[Orientation]] = {}
    for c, (nodes, sites) in sorted(sites_of(beads, links).items()):
        generator = generator_for(seed, "orientation", c)
        repeated = sites.take(torch.arange(len(nodes)).repeat(draws))
        turns = sample_turns(network, repeated, generator, steps, norms).unflatten(0, (draws, len(nodes)))
        wanted = functional.normalize(sites.near, dim=-1)
        for row, node in enumerate(nodes):
            arms = functional.normalize(sites.arms[row], dim=-1)
            found[node] = [_matched(arms.numpy(), wanted[row].numpy(), turn.double().numpy()) for turn in turns[:, row]]
    return found


@functools.cache
def _norms() -> ScoreNorms:
    return ScoreNorms()


def _matched(arms: np.ndarray, wanted: np.ndarray, turn: np.ndarray) -> Orientation:
    order = linear_sum_assignment(wanted @ turn @ arms.T, maximize=True)[1]
    misfit = arms[order] @ turn.T - wanted
    return Orientation(turn, order, float(np.sqrt((misfit**2).sum(axis=1).mean())))
