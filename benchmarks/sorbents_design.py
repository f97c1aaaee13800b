"""Frameworks for CO2 at 0.15 bar: the learned generator under a condition, random assembly, a genetic algorithm.

    python -m benchmarks.sorbents_design template       # 80 evaluations of the Henry coefficient, then 80 uptakes
    python -m benchmarks.sorbents_design genetic
    python -m benchmarks.sorbents_design learned
    python -m benchmarks.sorbents_design report         # records D4 and D4a-D4d

Every part may be run again to go on. About six seconds of one core a framework.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from benchmarks.sorbents_generation import DATASET
from benchmarks.sorbents_genetic import CHILDREN, POPULATION, evolve
from benchmarks.sorbents_labels import Labels, trained_values
from benchmarks.sorbents_samples import (
    CHECKED,
    FOLDER,
    Proposed,
    Sample,
    collect,
    generator_hash,
    judged,
    learned,
    model_hash,
    recipe_blocks,
    skipping,
    template,
)
from gen.sorbents.assembly import AssemblyError, assemble
from gen.sorbents.beads import read_bead_rows
from gen.sorbents.recipe import Recipe
from gen.sorbents.template import TemplateProposer, TemplateSettings
from potentials.files import sha256_file, sha256_json
from screening.candidate import content_id

PROPERTY = "log10_co2_henry"
QUANTILE = 0.95  # of the training labels: the middle of the best decile
PRESSURE, TEMPERATURE = 15_000.0, 298.0  # Pa, K
NOTHING = -99.0  # fitness of a framework that takes none
SETTINGS: dict[str, Any] = {"max_atoms": 100}
SELECTED = 20  # best by Henry coefficient, as many as the genetic algorithm's last population


@dataclass(frozen=True)
class Design:
    """A valid framework with both numbers."""

    key: str  # content hash of its structure
    net: str
    henry: float  # log10 of mol/(kg Pa)
    uptake: float  # mol/kg at 0.15 bar and 298 K
    std: float  # of the uptake


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["template", "genetic", "learned", "report"])
    parser.add_argument("--budget", type=int, default=80, help="evaluations of the Henry coefficient")
    parser.add_argument("--error", type=float, default=0.05, help="relative standard error of an uptake")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="then the part ends; run again to go on")
    parser.add_argument("--guidance", type=float, help="weight of the condition; default: the sampler's")
    parser.add_argument("--steps", type=int, help="of the reverse process; default: the sampler's")
    parser.add_argument("--checkpoint", default="sorbents")
    parser.add_argument("--data", type=Path, default=DATASET)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "report":
        _report(arguments)
        return
    limit = time.monotonic() + 60 * arguments.minutes if arguments.minutes else np.inf
    labels = Labels(seed=arguments.seed)
    found: list[tuple[Sample, float]] = []
    for sample, henry in _evaluated(arguments, labels):
        found.append((sample, henry))
        if time.monotonic() > limit:
            break
    print(
        f"{arguments.what}: {len(found)} evaluated, median log10 K_H {np.median([h for _, h in found]):.2f}", flush=True
    )
    _uptakes(arguments, found, limit)


def _evaluated(arguments: argparse.Namespace, labels: Labels) -> Iterator[tuple[Sample, float]]:
    """`budget` valid frameworks of a method with their Henry coefficients; of the genetic algorithm the best first."""
    if arguments.what == "genetic":
        yield from _genetic(arguments, labels)
        return
    n = 0
    valid: list[Sample] = []
    while len(valid) < arguments.budget:
        n += arguments.budget // 2
        valid = [sample for sample in _samples(arguments, n) if sample.valid]
    for sample in valid[: arguments.budget]:
        yield sample, labels.label(sample).get(PROPERTY, NOTHING)


def _samples(arguments: argparse.Namespace, n: int) -> list[Sample]:
    """The first `n` proposals of a method, kept on disk."""
    if arguments.what == "template":
        identity = {"seed": arguments.seed, **SETTINGS}
        return collect(
            "design_made_template", lambda first: skipping(template(arguments.seed, SETTINGS), first), n, identity
        )
    rows = list(read_bead_rows(arguments.data))
    target = float(np.quantile(trained_values(rows, PROPERTY), QUANTILE))
    conditions = {PROPERTY: target, **SETTINGS}
    guided = {"guidance": arguments.guidance, "steps": arguments.steps}
    guided = {name: value for name, value in guided.items() if value is not None}
    identity = {"seed": arguments.seed, "conditions": conditions, **guided}
    identity["generator"] = generator_hash(arguments.checkpoint)

    def source(first: int) -> Iterator[Proposed]:
        return learned(arguments.seed, conditions, True, arguments.checkpoint, batch=16, first=first, **guided)

    return collect("design_made_learned", source, n, identity)


def _genetic(arguments: argparse.Namespace, labels: Labels) -> Iterator[tuple[Sample, float]]:
    proposer = TemplateProposer(TemplateSettings(**SETTINGS))
    samples: dict[str, Sample] = {}

    def fitness(recipe: Recipe) -> float | None:
        fault = structure = None
        try:
            framework = assemble(recipe, proposer.catalog)
            structure = framework.structure if framework.gap <= proposer.settings.max_gap else None
            fault = None if structure else "open joint"
        except AssemblyError as error:
            fault = str(error)
        sample = judged((len(samples), recipe.net, recipe_blocks(recipe), structure, fault, 0.0))
        if not sample.valid:
            return None
        samples[recipe.key] = sample
        return labels.label(sample).get(PROPERTY, NOTHING)

    population, history = evolve(proposer.sampler, fitness, arguments.budget, arguments.seed)
    order = [*population, *(member for member in history if member not in population)]
    middle = np.median([member.fitness for member in population])
    print(f"genetic: last population of {len(population)}, median log10 K_H {middle:.2f}")
    for member in order:
        yield samples[member.recipe.key], member.fitness


def _uptakes(arguments: argparse.Namespace, found: list[tuple[Sample, float]], limit: float) -> None:
    """Measure what is not in the method's file yet, the best by Henry coefficient and the others in turn."""
    from screening.adsorption.batched.uptake import batched_uptakes
    from screening.adsorption.force_fields import HostGuestModel
    from screening.adsorption.framework import prepare_host

    path = _path(arguments, arguments.what)
    done = {design.key for design in _read(path)}
    with path.open("a") as stream:
        for sample, henry in found:
            assert sample.structure is not None
            key = content_id(sample.structure)
            if key in done or time.monotonic() > limit:
                continue
            host = prepare_host(sample.structure, HostGuestModel())
            result = batched_uptakes(host, {"CO2": 1.0}, [PRESSURE], TEMPERATURE, arguments.error, arguments.seed)[0][
                "CO2"
            ]
            design = Design(key, sample.net or "", henry, result.uptake, result.uptake_std)
            stream.write(json.dumps(vars(design)) + "\n")
            stream.flush()
    designs = _read(path)
    middle, high = np.quantile([design.uptake for design in designs], [0.5, 0.95])
    print(f"{arguments.what}: {len(designs)} uptakes, median {middle:.2f}, 95 % {high:.2f}")


def _report(arguments: argparse.Namespace) -> None:
    sets = {name: _read(_path(arguments, name)) for name in ("learned", "template", "genetic")}
    if missing := [name for name, designs in sets.items() if not designs]:
        raise SystemExit(f"nothing measured for {', '.join(missing)}: run these parts first")
    best = {name: sorted(designs, key=lambda d: -d.henry)[:SELECTED] for name, designs in sets.items()}
    figures = {
        (name, group): (float(np.median(values)), float(np.quantile(values, 0.95)), max(values), len(values))
        for group, chosen in (("all", sets), ("best", best))
        for name, designs in chosen.items()
        for values in [[design.uptake for design in designs]]
    }
    for (name, group), (median, high, most, n) in figures.items():
        print(f"{name:9} {group:5} n {n:3}  median {median:.3f}  95 % {high:.3f}  best {most:.3f} mol/kg")
    if arguments.no_record:
        return
    trained = trained_values(list(read_bead_rows(arguments.data)), PROPERTY)
    protocol = (
        f"CO2 uptake at 0.15 bar and {TEMPERATURE:g} K (grand-canonical Monte Carlo of screening/adsorption/batched, "
        f"UFF + TraPPE, learned charges, relative error {arguments.error:g}, rigid and unrelaxed) of valid frameworks "
        f"({CHECKED}) of at most {SETTINGS['max_atoms']} atoms, seed {arguments.seed}; {arguments.budget} evaluations "
        f"of the Henry coefficient each; learned ({arguments.steps or 'default'} steps, drawn again where not "
        f"assembled): asked for {PROPERTY} at the {QUANTILE:.0%} quantile of its {len(trained)} training labels; "
        f"genetic algorithm over recipes: {POPULATION} parents, {CHILDREN} children, "
        "fitness log10 K_H"
    )
    note = (
        f"the learned generator has seen {len(trained)} labels in training, the others none; weights "
        f"{model_hash(arguments.checkpoint)[:12]}; median, 95 %, best, n: "
        + "; ".join(f"{name} {group} {m:.2f}, {h:.2f}, {b:.2f}, {n}" for (name, group), (m, h, b, n) in figures.items())
    )
    chosen = f"of the {SELECTED} with the highest Henry coefficient (the genetic algorithm's last population)"
    rows = (
        ("D4", "all", 0, "template", "median of all evaluated"),
        ("D4a", "all", 1, "template", "95th percentile of all evaluated"),
        ("D4b", "all", 0, "genetic", "median of all evaluated"),
        ("D4c", "best", 0, "genetic", f"median {chosen}"),
        ("D4d", "best", 1, "genetic", f"95th percentile {chosen}"),
    )
    for id_, group, which, peer, what in rows:
        record(
            id=id_,
            value=round(figures["learned", group][which], 3),
            unit=f"mol/kg, {what}",
            peer="template" if peer == "template" else "genetic algorithm",
            peer_value=round(figures[peer, group][which], 3),
            protocol=protocol,
            data_sha256=sha256_file(arguments.data),
            seed=arguments.seed,
            note=note,
        )


def _path(arguments: argparse.Namespace, method: str) -> Path:
    identity: dict[str, Any] = {
        "seed": arguments.seed,
        "error": arguments.error,
        "budget": arguments.budget,
        **SETTINGS,
    }
    if method == "learned":
        identity |= {
            "generator": generator_hash(arguments.checkpoint),
            "guidance": arguments.guidance,
            "steps": arguments.steps,
        }
    FOLDER.mkdir(parents=True, exist_ok=True)
    return FOLDER / f"design_{method}_{sha256_json(identity)[:10]}.jsonl"


def _read(path: Path) -> list[Design]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return [Design(**json.loads(line)) for line in lines if line.endswith("}")]


if __name__ == "__main__":
    main()
