"""Learned frameworks: how many are valid, novel and unique, and what they cost, with the random assembler beside them.

    python -m benchmarks.sorbents_generation template -n 1000     # first: needs no weights
    python -m benchmarks.sorbents_generation learned -n 1000
    python -m benchmarks.sorbents_generation held-out -n 100

Samples are kept under runs/benchmarks/sorbents as they come; run again to go on. `learned` records D1, D2 (one attempt
each), D1a, D2a (as users get them) and D6, D6a; `held-out` records D2h, D2i. --minutes ends a set of samples early.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from benchmarks.sorbents_novelty import Known, novel_samples, read_known, unique_samples
from benchmarks.sorbents_samples import (
    BATCH,
    CHECKED,
    DUPLICATE,
    Sample,
    collect,
    generator_hash,
    learned,
    model_hash,
    skipping,
    template,
)
from gen.sorbents.beads import held_out
from gen.sorbents.catalog import load_catalog
from potentials.errors import InputError
from potentials.files import sha256_file
from screening.table import aligned

PER_NAME = 4  # frameworks of each held-out net or block
DATASET = Path("runs/dataset/mofs.jsonl.gz")
SETTINGS = "at most 150 atoms in the primitive cell, metals and nets free, formally neutral"

# words of a reason for which nothing was assembled, and what they are counted as
KINDS = {
    DUPLICATE: "recipe drawn before",
    "open": "open joint",
    "too long": "open joint",
    "runs on in": "net of fewer than three dimensions",
    "ends": "no consistent connectivity",
    "edges": "no consistent connectivity",
    "reach": "no consistent connectivity",
    "blocks: ": "no set of blocks within the rules",
    "apart": "atoms on one another",
    "touch": "blocks touch",
    "contact": "blocks touch",
    "high": "flat cell",
}


def main() -> None:
    """Make the samples asked for, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["template", "learned", "held-out"])
    parser.add_argument("-n", type=int, default=1000, help="samples")
    parser.add_argument("--again", type=int, default=500, help="samples with failures drawn again")
    parser.add_argument("--beside", type=int, help="samples of the template, by default as many as learned ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="of each set of samples; fewer are then judged")
    parser.add_argument("--checkpoint", default="sorbents", help="shipped weights by name, or a folder")
    parser.add_argument("--data", type=Path, default=DATASET, help="the training set, for novelty")
    parser.add_argument("--no-record", action="store_true", help="print only")
    arguments = parser.parse_args()
    {"template": _template, "learned": _learned, "held-out": _held_out}[arguments.what](arguments)


def template_samples(n: int, seed: int, minutes: float | None = None) -> list[Sample]:
    """Samples of the random assembler as shipped."""
    return collect("template", lambda first: skipping(template(seed), first), n, {"seed": seed}, minutes)


def learned_samples(
    arguments: argparse.Namespace, label: str, conditions: Mapping[str, Any] | None, resample: bool, n: int
) -> list[Sample]:
    """Samples of the trained generator."""
    identity = {
        "generator": generator_hash(arguments.checkpoint),
        "seed": arguments.seed,
        "conditions": dict(conditions or {}),
        "resample": resample,
    }

    def source(first: int) -> Any:
        return learned(arguments.seed, conditions, resample, arguments.checkpoint, first=first, batch=min(BATCH, n))

    return collect(label, source, n, identity, arguments.minutes)


def valid_share(samples: Sequence[Sample]) -> float:
    """% valid of those proposed; a recipe drawn a second time is no failure of the assembler and left out."""
    counted = [sample for sample in samples if not _duplicate(sample)]
    return 100.0 * sum(sample.valid for sample in counted) / len(counted)


def novelty(samples: Sequence[Sample], known: Known) -> dict[str, float]:
    """Shares of all proposals, %: valid, then also novel by net and blocks, by structure, and unique (all four)."""
    valid = [sample for sample in samples if sample.valid]
    by_content, by_structure = novel_samples(valid, known)
    unique = unique_samples(valid)
    flags = np.array([by_content, by_structure, unique], dtype=bool).reshape(3, -1)
    scale = 100.0 / len(samples)
    return {
        "valid": scale * len(valid),
        "novel by net and blocks": scale * flags[0].sum(),
        "novel by structure": scale * flags[1].sum(),
        "unique": scale * flags[2].sum(),
        "valid, novel, unique": scale * flags.all(axis=0).sum(),
    }


def failures_text(samples: Sequence[Sample]) -> str:
    """First failures by kind, the most frequent first."""
    kinds = Counter(_kind(sample.failed[0]) for sample in samples if sample.failed)
    return ", ".join(f"{name} {count}" for name, count in kinds.most_common(8)) or "none"


def _template(arguments: argparse.Namespace) -> None:
    samples = template_samples(arguments.n, arguments.seed, arguments.minutes)
    built = [sample for sample in samples if sample.structure is not None]
    print(f"template: {len(samples)} proposed, {len(built)} built, {valid_share(samples):.1f} % valid")
    print(f"first failures: {failures_text(samples)}")
    seconds = np.mean([sample.seconds for sample in samples]), np.mean([sample.check_seconds for sample in built])
    print(f"CPU seconds a proposal {seconds[0]:.2f}, tests {seconds[1]:.2f}")


def _learned(arguments: argparse.Namespace) -> None:
    known = read_known(arguments.data)
    n, seed = arguments.n, arguments.seed
    raw = learned_samples(arguments, "learned_raw", None, False, n)
    beside = template_samples(arguments.beside or n, seed, arguments.minutes)
    built = "one attempt each: of six sets of beads the first that can be built, no framework drawn again for its tests"
    _report(arguments, raw, beside, known, "", built)
    again = learned_samples(arguments, "learned", None, True, arguments.again)
    _report(arguments, again, beside, known, "again", "as users get them: not assembled within 5 attempts counts")
    built = [sample for sample in raw if sample.structure is not None]
    rate = len(built) / sum(sample.seconds for sample in raw)
    with_tests = len(built) / sum(sample.seconds + sample.check_seconds for sample in raw)
    print(f"D6: {rate:.2f} assembled a second of one core, {with_tests:.2f} with every test")
    template_rate = sum(s.structure is not None for s in beside) / sum(s.seconds for s in beside)
    protocol = (
        f"learned generator, {len(raw)} proposals of seed {seed}, batches of 32, one attempt each, default settings; "
        "processor seconds of one core for blocks, geometry and assembly, loading not counted; target 1 a second"
    )
    for id_, value, unit, peer in (
        ("D6", rate, "assembled structures per second of one core", template_rate),
        ("D6a", with_tests, "assembled structures per second of one core, every test included", None),
    ):
        _record(arguments, id_, value, unit, protocol, None if peer is None else "template", peer, "")


def _report(
    arguments: argparse.Namespace,
    samples: Sequence[Sample],
    beside: Sequence[Sample],
    known: Known,
    kind: str,
    how: str,
) -> None:
    """Print and record D1 and D2 of one set of samples."""
    ours, theirs = valid_share(samples), valid_share(beside)
    found, peer = novelty(samples, known), novelty(beside, known)
    print(f"\nlearned, {len(samples)} samples, {how}; template, {len(beside)} samples")
    print(aligned([{"%": name, "learned": value, "template": peer[name]} for name, value in found.items()]))
    print(f"learned fails: {failures_text(samples)}\ntemplate fails: {failures_text(beside)}")
    sizes = [len(sample.structure) for sample in samples if sample.valid and sample.structure is not None]
    protocol = f"{len(samples)} proposals of seed {arguments.seed}, {how}; {SETTINGS}; before relaxation, {CHECKED}"
    against = f"template, {len(beside)} proposals of seed {arguments.seed}, same tests, recipes drawn twice left out"
    note = (
        f"first failures: {failures_text(samples)}; of the valid ones the median has {np.median(sizes or [0]):.0f} "
        f"atoms and {len({s.net for s in samples if s.valid})} nets occur; template's: {failures_text(beside)}"
    )
    training = f"{known.rows} training rows"
    all_of = (
        "% of proposals valid, novel (no training row of the same net and blocks, none matched by StructureMatcher) "
        f"and unique; {training}"
    )
    d1, d2 = ("D1", "D2") if not kind else ("D1a", "D2a")
    _record(arguments, d1, ours, "% of proposals pass every test", protocol, against, theirs, note)
    shares = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
    beside_text = ", ".join(f"{name} {value:.1f}" for name, value in peer.items())
    _record(
        arguments,
        d2,
        found["valid, novel, unique"],
        all_of,
        protocol,
        f"template, {len(beside)} proposals, duplicates counted",
        peer["valid, novel, unique"],
        f"% of proposals: {shares}; template: {beside_text}",
    )


def _held_out(arguments: argparse.Namespace) -> None:
    """Nets, nodes and linkers no training row has, asked for by name, `PER_NAME` frameworks each."""
    catalog = load_catalog()
    names = max(1, arguments.n // PER_NAME)
    nets = [{"net": name} for name in sorted(catalog.nets) if held_out(name)]
    blocks = [block for name, block in sorted(catalog.blocks.items()) if held_out(name)]
    parts = [{"required_linkers" if block.connections == 2 else "required_nodes": block.name} for block in blocks]
    for id_, asked, what in (("D2h", nets, "nets"), ("D2i", parts, "nodes and linkers")):
        chosen = _meetable(arguments, asked, names)
        samples = [s for c in chosen for s in learned_samples(arguments, "held", c, False, PER_NAME)]
        _held_row(arguments, id_, samples, f"{len(chosen)} {what}")


def _held_row(arguments: argparse.Namespace, id_: str, samples: Sequence[Sample], what: str) -> None:
    if not samples:
        print(f"{id_}: nothing could be asked for")
        return
    share = valid_share(samples)
    print(f"{id_}: {what}: {len(samples)} samples, {share:.1f} % valid; fails: {failures_text(samples)}")
    protocol = (
        f"{what} of the tenth that no training row holds, asked for by name; {len(samples)} proposals of seed "
        f"{arguments.seed}, one attempt each; {SETTINGS}; before relaxation, {CHECKED}"
    )
    note = f"first failures: {failures_text(samples)}"
    _record(arguments, id_, share, "% of proposals pass every test", protocol, None, None, note)


def _meetable(
    arguments: argparse.Namespace, asked: Sequence[Mapping[str, Any]], wanted: int
) -> list[Mapping[str, Any]]:
    """The first `wanted` conditions, in an order drawn by the seed, that the generator can meet as it judges itself."""
    from gen.sorbents.generation import make_task
    from gen.sorbents.generator import SorbentGenerator
    from gen.sorbents.sampling import SorbentSampling

    model = SorbentGenerator.from_pretrained(arguments.checkpoint).model
    kept: list[Mapping[str, Any]] = []
    for k in np.random.default_rng(arguments.seed).permutation(len(asked)):
        try:
            make_task(model, asked[k], SorbentSampling())
        except InputError:
            continue
        kept.append(asked[k])
        if len(kept) == wanted:
            break
    return kept


def _record(
    arguments: argparse.Namespace,
    id_: str,
    value: float,
    unit: str,
    protocol: str,
    peer: str | None,
    peer_value: float | None,
    note: str,
) -> None:
    if arguments.no_record:
        return
    model = model_hash(arguments.checkpoint)
    record(
        id=id_,
        value=round(value, 2),
        unit=unit,
        protocol=protocol,
        data_sha256=sha256_file(arguments.data) if arguments.data.is_file() else None,
        seed=arguments.seed,
        peer=peer,
        peer_value=None if peer_value is None else round(peer_value, 2),
        note=f"weights {model[:12]}; {note}" if note else f"weights {model[:12]}",
    )


def _kind(failure: str) -> str:
    """The test that failed; for what was never assembled the kind of reason, without names and figures."""
    if not failure.startswith("assembly: "):
        return failure
    return next((kind for words, kind in KINDS.items() if words in failure), "other assembly failure")


def _duplicate(sample: Sample) -> bool:
    return bool(sample.failed) and sample.failed[0] == f"assembly: {DUPLICATE}"


if __name__ == "__main__":
    main()
