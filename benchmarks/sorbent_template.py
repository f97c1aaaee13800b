"""How good are the frameworks of the `template` proposer? Against plain PORMAKE on the same recipes.

    python -m benchmarks.sorbent_template -n 200 --seed 0

About two seconds of one core a proposal, most of it for plain PORMAKE. Records S8 (valid) and S8a-S8e.
"""

import argparse
import time
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
from pymatgen.core import Structure
from tqdm import tqdm

from benchmarks.record import record
from gen.sorbents.catalog import Catalog
from gen.sorbents.library import load_net, pormake, pormake_version
from gen.sorbents.recipe import Recipe, RecipeSampler, recipe_imbalance
from gen.sorbents.template import TemplateProposer, TemplateSettings
from screening.candidate import Candidate, Evaluation
from screening.pores import PoreSettings, evaluate_pores
from screening.validity import ValiditySettings, evaluate_validity

DRAWN = 2000  # recipes
PASSES_CO2 = 3.3  # Å, kinetic diameter of CO2


def main() -> None:
    """Measure, print the table, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, help="proposals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true", help="print only")
    arguments = parser.parse_args()

    proposer = TemplateProposer(TemplateSettings())
    failures, rejections, plain_rejections = Counter[str](), Counter[str](), Counter[str]()
    seconds, atoms, counts = [], [], Counter[str]()
    list(proposer.propose(range(1), arguments.seed))  # imports are not part of the time
    for index in tqdm(range(arguments.n), desc="template"):
        start = time.process_time()
        (proposal,) = proposer.propose(range(index, index + 1), arguments.seed)
        seconds.append(time.process_time() - start)
        if proposal.structure is None:
            failures[_failure_kind(proposal.failure or "")] += 1
            continue
        counts["built"] += 1
        atoms.append(len(proposal.structure))
        verdict = _judge(proposal.structure)
        counts["three_dimensional"] += _value(verdict, "framework_dimension") == 3
        rejections[_kind(verdict)] += 1
        if verdict.rejected is None:
            counts["valid"] += 1
            pores = evaluate_pores(Candidate("", index, proposal.structure, {}), PoreSettings(), arguments.seed)
            counts["valid_and_open"] += (_value(pores, "pld_angstrom") or 0.0) >= PASSES_CO2
        recipe = proposer.recipe(index, arguments.seed)
        if recipe is not None:
            plain_rejections[_kind(_judge(plain_pormake(recipe, proposer.catalog)))] += 1

    n, built = arguments.n, counts["built"]
    print(f"{n} proposed, {built} built, not built: {dict(failures)}")
    print(f"atoms: median {np.median(atoms):.0f}, largest {max(atoms)}")
    print(f"template: {dict(rejections.most_common())}")
    print(f"plain PORMAKE, same recipes: {dict(plain_rejections.most_common())}")
    shares = {name: 100.0 * count / built for name, count in counts.items()}
    plain = 100.0 * plain_rejections["valid"] / built
    print(f"of those built, %: {shares}; plain PORMAKE valid {plain:.1f}")
    print(f"CPU seconds a proposal: median {np.median(seconds):.2f}, mean {np.mean(seconds):.2f}")
    if arguments.no_record:
        return
    protocol = (
        f"TemplateSettings defaults (at most 150 atoms in the primitive cell, every suitable net and metal), {n} "
        f"proposals of seed {arguments.seed}, validity tests of screening/validity.py, charge balance among them"
    )
    peer = f"PORMAKE {pormake_version()} as it is, on the same recipes and primitive nets"
    free = RecipeSampler(proposer.catalog, replace(proposer.sampler.choice, neutral=False))
    rng = np.random.default_rng(arguments.seed)
    drawn = [recipe for _ in range(DRAWN) if (recipe := free.draw(rng))]
    balanced = 100.0 * sum(recipe_imbalance(recipe, proposer.catalog) is None for recipe in drawn) / len(drawn)
    print(f"recipes drawn without regard to charge that would be neutral: {balanced:.1f} % of {len(drawn)}")
    rows = (
        ("S8f", balanced, "% of recipes drawn without regard to charge that would be neutral", None),
        ("S8", shares["valid"], "% of built", plain),
        ("S8a", 100.0 * built / n, "% of proposed", None),
        ("S8b", 100.0 * counts["valid"] / n, "% of proposed", None),
        ("S8c", shares["three_dimensional"], "% of built", None),
        ("S8d", shares["valid_and_open"], "% of built", None),
        ("S8e", float(np.mean(seconds)), "s of one core a proposal", None),
    )
    for id_, value, unit, against in rows:
        record(
            id=id_,
            value=value,
            unit=unit,
            protocol=protocol,
            data_sha256=None,
            seed=arguments.seed,
            peer=None if against is None else peer,
            peer_value=against,
        )


def plain_pormake(recipe: Recipe, catalog: Catalog) -> Structure | None:
    """The framework PORMAKE itself makes of a recipe: library blocks as they are, its own scaler, no torsions."""
    database = pormake().Database()
    slots = catalog.nets[recipe.net]
    nodes = {slot.tag: database.get_bb(name) for slot, name in zip(slots.nodes, recipe.nodes, strict=True)}
    edges = {
        edge.ends: database.get_bb(name) if name else None for edge, name in zip(slots.edges, recipe.edges, strict=True)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            atoms = pormake().Builder().build_by_type(load_net(recipe.net), nodes, edges).atoms
        except Exception:  # whatever it raises, it has made no framework
            return None
    return Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())


def _failure_kind(failure: str) -> str:
    """Why there is no structure, without the parts' names."""
    kinds = {"duplicate": "duplicate recipe", "do not close": "open joint", "drawn": "no recipe within the limits"}
    return next((kind for words, kind in kinds.items() if words in failure), failure)


def _judge(structure: Structure | None) -> Evaluation:
    if structure is None:
        return Evaluation(rejected="not built")
    return evaluate_validity(Candidate("", 0, structure, {}), ValiditySettings(unbalanced="reject"), 0)


def _kind(verdict: Evaluation) -> str:
    """The test that failed, without its atoms and figures."""
    reason = verdict.rejected
    if reason is None:
        return "valid"
    kinds = {
        "overlap": "overlap",
        "oxidation state": "charges do not balance",
        "formal charge": "charges do not balance",
        "apart": "overlap (gate)",
        "on one site": "overlap (gate)",
        "above": "over-coordinated",
        "floats": "floating part",
        "run on": "not three-dimensional",
        "density": "density",
        "below 2": "dangling carbon",
    }
    return next((kind for words, kind in kinds.items() if words in reason), reason)


def _value(evaluation: Evaluation, name: str) -> float | None:
    return next((item.value for item in evaluation.properties if item.name == name), None)


if __name__ == "__main__":
    main()
