"""From beads back to atoms: does `assemble_beads` return the framework the beads came from, and how much noise may
the beads carry?

    python -m benchmarks.sorbents_assembly -n 200 --seed 21

Valid frameworks of the `template` proposer are reduced to beads. The beads are assembled again, first as they are,
then with Gaussian noise on every position and a random strain of the cell, which is what a generator leaves. Records
D1r-D1v and D6c. Two seconds of one core a framework.
"""

import argparse
import time
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Structure
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from benchmarks.record import record
from benchmarks.sorbent_template import _judge
from gen.sorbents.assembly import AssemblyError, Framework, assemble
from gen.sorbents.bead_assembly import BeadFramework, assemble_beads
from gen.sorbents.beads import DIRECT, Beads, Links
from gen.sorbents.bodies import Body, library_body
from gen.sorbents.connectivity import connect, neighbour_vectors
from gen.sorbents.net_identity import Quotient, colours
from gen.sorbents.orientation import orientations
from gen.sorbents.template import TemplateProposer, TemplateSettings
from screening.bonds import bond_graph

# Å on every coordinate, and strain of the cell. A model of crystals ends at some tenths of an ångström.
LADDER = ((0.0, 0.0), (0.1, 0.01), (0.3, 0.02), (0.5, 0.03), (0.75, 0.04), (1.0, 0.05))
REPORTED = 0.3  # Å, the rung whose figures are recorded beside those without noise
CLOSE = 0.5  # Å; a framework that comes back with its atoms this close is the same structure


@dataclass(frozen=True)
class Case:
    """A valid template framework."""

    key: str
    net: str
    framework: Framework
    turns: dict[int, np.ndarray]  # node bead -> how its block is turned, [3, 3]


def main() -> None:
    """Measure, print the table, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, help="valid frameworks")
    parser.add_argument("--noisy", type=int, default=60, help="of them, those that are also given noise")
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--no-record", action="store_true", help="print only")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")

    cases = valid_frameworks(arguments.n, arguments.seed)
    nets = len({case.net for case in cases})
    assemble_beads(cases[0].framework.beads)  # imports are not part of the time
    figures: dict[float, dict[str, float]] = {}
    for noise, strain in LADDER:
        figures[noise] = rung(cases[: arguments.noisy] if noise else cases, noise, strain, arguments.seed)
        line = ", ".join(f"{name} {value:.3g}" for name, value in figures[noise].items())
        print(f"{noise} Å, {100 * strain:g} % strain: {line}", flush=True)
    if arguments.no_record:
        return
    protocol = (
        f"{len(cases)} valid frameworks of {nets} nets from TemplateSettings defaults, seed {arguments.seed}, reduced "
        f"to beads and assembled again; the first {arguments.noisy} also with noise: normal on every coordinate, "
        "symmetric strain of the cell. "
    )
    ladder = "; ".join(
        f"{noise} Å and {100 * strain:g} %: {figures[noise]['connected']:.0f} linked right, "
        f"{figures[noise]['assembled']:.0f} assembled, {figures[noise]['valid']:.0f} valid, "
        f"{figures[noise]['misturned_degrees']:.1f}° misturned"
        for noise, strain in LADDER
        if noise in figures
    )
    exact, noisy = figures[0.0], figures[REPORTED]
    rows = (
        ("D1r", exact["key"], "% with the net and blocks they came from", "no noise"),
        (
            "D1s",
            exact["bonds"],
            "% with the same graph of bonds",
            f"no noise; {exact['same']:.0f} % within {CLOSE} Å too",
        ),
        ("D1t", noisy["connected"], "% linked as they were", ladder),
        ("D1u", noisy["valid"], "% assembled and valid", ladder),
        ("D1v", noisy["misturned_degrees"], "degrees, median over nodes", ladder),
        ("D6c", exact["seconds"], "s of one core a framework", "mean, no noise"),
    )
    for id_, value, unit, how in rows:
        record(id=id_, value=value, unit=unit, protocol=protocol + how, data_sha256=None, seed=arguments.seed)


def valid_frameworks(count: int, seed: int) -> list[Case]:
    """The first `count` proposals of the template that pass every validity check."""
    proposer = TemplateProposer(TemplateSettings())
    cases: list[Case] = []
    index = 0
    with tqdm(total=count, desc="template") as bar:
        while len(cases) < count:
            recipe = proposer.recipe(index, seed)
            index += 1
            if recipe is None:
                continue
            try:
                framework = assemble(recipe, proposer.catalog)
            except AssemblyError:
                continue
            if framework.gap <= proposer.settings.max_gap and _judge(framework.structure).rejected is None:
                cases.append(Case(recipe.key, recipe.net, framework, _turns(framework)))
                bar.update()
    return cases


def rung(cases: list[Case], noise: float, strain: float, seed: int) -> dict[str, float]:
    """Shares (%) of what survives noise (Å) and strain, misorientation (degrees) and CPU time (s)."""
    counts = Counter[str]()
    angles: list[float] = []
    seconds: list[float] = []
    reasons = Counter[str]()
    for index, case in enumerate(cases):
        beads, links = perturbed(case.framework.beads, case.framework.links, noise, strain, [seed, index])
        try:
            linked = _canonical(connect(beads)) == _canonical(links)
        except AssemblyError:
            linked = False
        counts["connected"] += linked
        angles += _misturned(case, beads, links)
        start = time.process_time()
        try:
            built = assemble_beads(beads)
        except AssemblyError as error:
            reasons[" ".join(str(error).split()[:4])] += 1
            seconds.append(time.process_time() - start)
            continue
        seconds.append(time.process_time() - start)
        counts["assembled"] += 1
        verdict = _judge(built.structure).rejected
        counts["valid"] += verdict is None
        if verdict:
            reasons[" ".join(verdict.split()[-6:])] += 1
        counts["key"] += built.key == case.key
        if noise == 0.0:
            counts["bonds"] += same_bonds(case.framework.structure, built.structure)
            counts["near"] += (near := rmsd(case.framework, built) < CLOSE)
            counts["same"] += near and same_bonds(case.framework.structure, built.structure)
    print(f"not valid: {dict(reasons.most_common(8))}")
    names = ["connected", "assembled", "valid", "key", *(["bonds", "near", "same"] if noise == 0.0 else [])]
    shares = {name: 100.0 * counts[name] / len(cases) for name in names}
    return shares | {
        "misturned_degrees": float(np.median(angles)),
        "misturned_above_20_percent": 100.0 * float(np.mean(np.array(angles) > 20)),
        "seconds": float(np.mean(seconds)),
        "seconds_max": float(np.max(seconds)),
    }


def perturbed(beads: Beads, links: Links, noise: float, strain: float, seed: list[int]) -> tuple[Beads, Links]:
    """The beads with normal noise (Å) on every coordinate and a random symmetric strain of the cell."""
    rng = np.random.default_rng(seed)
    tensor = rng.normal(size=(3, 3))
    lattice = beads.lattice @ (np.eye(3) + strain * (tensor + tensor.T) / 2)
    frac = beads.frac + rng.normal(0.0, noise, beads.frac.shape) @ np.linalg.inv(lattice)
    cells = np.floor(frac)
    moved = (cells[links.nodes] - cells[links.bead][:, None]).astype(int)
    return (
        Beads(lattice, (frac - cells) % 1.0, beads.blocks, beads.connections),
        Links(links.bead, links.nodes, links.images + moved),
    )


def _canonical(links: Links) -> set[tuple[int, ...]]:
    """Links in a form that does not depend on the order of ends."""
    found = set()
    for bead, nodes, images in zip(links.bead.tolist(), links.nodes.tolist(), links.images.tolist(), strict=True):
        ends = sorted((node, *image) for node, image in zip(nodes, images, strict=True))
        found.add((bead, *ends[0], *ends[1]))
    return found


def _misturned(case: Case, beads: Beads, links: Links) -> list[float]:
    """For every node, the angle (degrees) between how its block is turned and how the noisy beads say it is.

    A block's connection points may look the same from several sides; the nearest of the turns that bring its
    connection points over each other counts.
    """
    found = []
    for node, (_, vectors) in neighbour_vectors(beads, links).items():
        arms = library_body(beads.blocks[node]).points
        arms = arms / np.linalg.norm(arms, axis=1, keepdims=True)
        best = orientations(library_body(beads.blocks[node]), vectors, limit=1)[0].turn
        cosines = (arms @ case.turns[node].T) @ (arms @ best.T).T
        pairs = linear_sum_assignment(cosines, maximize=True)
        found.append(float(np.degrees(np.sqrt(np.mean(np.arccos(np.clip(cosines[pairs], -1, 1)) ** 2)))))
    return found


def _turns(framework: Framework) -> dict[int, np.ndarray]:
    """How the node blocks of a framework are turned against the library, from its atoms."""
    turns = {}
    for bead, name in enumerate(framework.beads.blocks):
        if name != DIRECT and framework.beads.connections[bead] > 2:
            body = library_body(name)
            atoms = _unwrapped(framework.structure, framework.beads, bead, body)
            own = body.atoms - body.atoms.mean(axis=0)
            u, _, vt = np.linalg.svd((atoms - atoms.mean(axis=0)).T @ own)
            turns[bead] = u @ vt  # a mirrored block has determinant -1; the fit is exact either way
    return turns


def _slices(beads: Beads) -> dict[int, slice]:
    """Atoms of each bead of a framework of the template: blocks one after the other."""
    first, found = 0, {}
    for bead, name in enumerate(beads.blocks):
        count = 0 if name == DIRECT else len(library_body(name).numbers)
        found[bead] = slice(first, first + count)
        first += count
    return found


def _unwrapped(structure: Structure, beads: Beads, bead: int, body: Body) -> np.ndarray:
    """[n, 3] Å, atoms of one block in one piece."""
    frac = structure.frac_coords[_slices(beads)[bead]].copy()
    around: dict[int, list[int]] = {}
    for i in range(len(frac)):  # what is near in the library's block is near here
        distances = np.linalg.norm(body.atoms - body.atoms[i], axis=1)
        limits = 1.4 * (covalent_radii[body.numbers] + covalent_radii[body.numbers[i]])
        around[i] = [int(j) for j in np.flatnonzero(distances < limits)]
    queue, seen = [0], {0}
    while queue:
        i = queue.pop()
        for j in around[i]:
            if j not in seen:
                frac[j] -= np.round(frac[j] - frac[i])
                seen.add(j)
                queue.append(j)
    return np.asarray(frac @ structure.lattice.matrix)


def same_bonds(first: Structure, second: Structure) -> bool:
    """Whether two structures have the same graph of bonds (Weisfeiler-Lehman, elements as labels)."""
    digests = []
    for structure in (first, second):
        graph = bond_graph(structure)
        net = Quotient(len(structure), graph.pairs, graph.images)
        digests.append(sorted(colours(net, [str(number) for number in graph.numbers], [""] * len(graph.pairs))))
    return digests[0] == digests[1]


def rmsd(framework: Framework, built: BeadFramework) -> float:
    """Å, between the atoms of a framework and of the one made from its beads, paired within each element.

    Cells are compared in the mean lattice; both frameworks keep the axes and the origin of the beads.
    """
    lattice = 0.5 * (framework.structure.lattice.matrix + built.structure.lattice.matrix)
    first, second = framework.structure, built.structure
    # Least squares may shift the whole framework: origins are compared by the nodes, which keep their order.
    nodes = framework.beads.frac[~framework.beads.is_edge] - built.beads.frac[~built.beads.is_edge]
    shift = (nodes - np.round(nodes)).mean(axis=0)
    total, count = 0.0, 0
    for number in sorted(set(first.atomic_numbers)):
        mine = first.frac_coords[np.array(first.atomic_numbers) == number]
        theirs = second.frac_coords[np.array(second.atomic_numbers) == number]
        delta = mine[:, None] - theirs[None] - shift
        squared = (((delta - np.round(delta)) @ lattice) ** 2).sum(axis=-1)
        pairs = linear_sum_assignment(squared)
        total += float(squared[pairs].sum())
        count += len(mine)
    return float(np.sqrt(total / count))


if __name__ == "__main__":
    main()
