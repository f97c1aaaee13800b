"""Frameworks of a proposer with the outcome of every test, kept on disk as they come: D1 to D4 are measured on them."""

import ast
import functools
import hashlib
import inspect
import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

import gen.sorbents
from gen.sorbents.recipe import Recipe
from gen.sorbents.template import TemplateProposer, TemplateSettings
from potentials.files import sha256_file, sha256_json
from screening.geometry_json import decode_structure, encode_structure
from screening.matching import formula_key, network_hash
from screening.structure_checks import CheckSettings, structure_checks

if TYPE_CHECKING:
    from gen.sorbents.generator import SorbentGenerator

FOLDER = Path("runs/benchmarks/sorbents")
BATCH = 32  # learned frameworks asked for at a time; results do not depend on it
CHECKED = "all tests of screening/structure_checks.py, charge balance and PLD >= 3.3 Å among them"
DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Sample:
    """One proposal and what became of it."""

    index: int
    net: str | None
    blocks: tuple[str, ...]  # of the primitive cell, sorted
    structure: Structure | None
    failed: tuple[str, ...]  # names of the tests it failed; "assembly: ..." when there is no structure
    formula: str
    network: str  # hash of the bonded network; "" when it failed a test
    seconds: float  # of processor, to propose and assemble
    check_seconds: float  # of processor, of all tests, Zeo++ included

    @property
    def valid(self) -> bool:
        """Assembled, and no test failed."""
        return not self.failed


Proposed = tuple[int, str | None, tuple[str, ...], Structure | None, str | None, float]


def cpu_seconds() -> float:
    """Processor time of this process and of the ended ones it has started; other work on the machine is not in it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def judged(proposed: Proposed) -> Sample:
    """Run every test; Zeo++ only where no other has failed."""
    index, net, blocks, structure, fault, seconds = proposed
    start = cpu_seconds()
    if structure is None:
        return Sample(index, net, blocks, None, (f"assembly: {fault}",), "", "", seconds, 0.0)
    failed = failed_tests(structure)
    network = "" if failed else network_hash(structure)
    return Sample(
        index, net, blocks, structure, failed, formula_key(structure), network, seconds, cpu_seconds() - start
    )


def failed_tests(structure: Structure) -> tuple[str, ...]:
    """Names of the tests a framework fails, the pore test run only where the others pass."""
    cheap = structure_checks(structure, CheckSettings(min_pld_angstrom=0))
    failed = tuple(check.name for check in cheap if check.outcome == "failed")
    if failed:
        return failed
    return tuple(check.name for check in structure_checks(structure) if check.outcome == "failed")


def template(seed: int, settings: Mapping[str, Any] | None = None) -> Iterator[Proposed]:
    """Proposals of the random assembler, without end; a recipe drawn before is marked as a duplicate."""
    proposer = TemplateProposer(TemplateSettings(**dict(settings or {})))
    list(proposer.propose(range(1), seed))  # imports and the library are not part of the time
    index = 0
    while True:
        start = cpu_seconds()
        (proposal,) = proposer.propose(range(index, index + 1), seed)
        recipe = proposer.recipe(index, seed)
        seconds = cpu_seconds() - start
        blocks = recipe_blocks(recipe) if recipe else ()
        fault = proposal.failure
        if fault is not None and fault.startswith("duplicate"):
            fault = DUPLICATE
        yield index, recipe.net if recipe else None, blocks, proposal.structure, fault, seconds
        index += 1


def learned(
    seed: int,
    conditions: Mapping[str, Any] | None = None,
    resample: bool = False,
    checkpoint: str = "sorbents",
    batch: int = BATCH,
    first: int = 0,
    **settings: Any,
) -> Iterator[Proposed]:
    """Frameworks of the trained generator, without end; seconds are those of the batch over its size."""
    generator = _generator(checkpoint)
    while True:
        start = cpu_seconds()
        results = generator.results(
            batch,
            seed=seed,
            conditions=conditions,
            first=first,
            batch_size=batch,
            resample_invalid=resample,
            **settings,
        )
        seconds = (cpu_seconds() - start) / batch
        for result in results:
            blocks = tuple(sorted(result.beads.blocks)) if result.beads is not None else ()
            yield result.index, result.net, blocks, result.structure, result.fault, seconds
        first += batch


def model_hash(checkpoint: str) -> str:
    """Hash of the weights, part of the identity of their samples."""
    return str(_generator(checkpoint).model.sha256)


@functools.cache
def generator_hash(checkpoint: str) -> str:
    """Identity of what makes samples: weights, surrogate, and the code of the sorbent generator but for comments."""
    model = _generator(checkpoint).model
    return sha256_json([model.sha256, model.surrogate.sha256 if model.surrogate else "", sorbent_code()])


@functools.cache
def sorbent_code() -> dict[str, str]:
    """Hash of every file of the package `gen.sorbents`, comments left out."""
    folder = Path(inspect.getfile(gen.sorbents)).parent
    return {path.name: _content(path) for path in sorted(folder.iterdir()) if path.suffix in (".py", ".gz")}


def _content(path: Path) -> str:
    if path.suffix == ".py":
        return hashlib.sha256(ast.dump(ast.parse(path.read_text())).encode()).hexdigest()
    return sha256_file(path)


@functools.cache
def _generator(checkpoint: str) -> "SorbentGenerator":
    from gen.sorbents.generator import SorbentGenerator

    return SorbentGenerator.from_pretrained(checkpoint)


def recipe_blocks(recipe: Recipe) -> tuple[str, ...]:
    """Blocks of the primitive cell of a recipe, sorted, `direct` among them."""
    from gen.sorbents.beads import DIRECT
    from gen.sorbents.catalog import load_catalog

    net = load_catalog().nets[recipe.net]
    names: list[str] = []
    for slot, name in zip(net.nodes, recipe.nodes, strict=True):
        names += [name] * slot.count
    for edge, linker in zip(net.edges, recipe.edges, strict=True):
        names += [linker or DIRECT] * edge.count
    return tuple(sorted(names))


def collect(
    label: str,
    source: Callable[[int], Iterator[Proposed]],
    n: int,
    identity: Mapping[str, Any],
    minutes: float | None = None,
) -> list[Sample]:
    """The first `n` samples of a source, each kept on disk at once, so that a killed run goes on where it was.

    Args:
        label: names the file.
        source: proposals from an index on.
        n: samples wanted.
        identity: what the samples depend on (model, seed, settings); another one starts another file.
        minutes: then the samples there are must do.
    """
    path = FOLDER / f"{label}_{sha256_json(dict(identity))[:10]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.is_file() else []
    samples = [decode(json.loads(line)) for line in lines if line.endswith("}")]
    limit = time.monotonic() + 60 * minutes if minutes else None
    if len(samples) >= n:
        return samples[:n]
    with path.open("w") as stream:  # a line cut off by a kill is written anew
        for sample in samples:
            stream.write(json.dumps(encode(sample)) + "\n")
        for proposed in source(len(samples)):
            sample = judged(proposed)
            samples.append(sample)
            stream.write(json.dumps(encode(sample)) + "\n")
            stream.flush()
            if len(samples) % 50 == 0:
                print(f"{label}: {len(samples)} of {n}, {sum(s.valid for s in samples)} valid", flush=True)
            if len(samples) == n or (limit is not None and time.monotonic() > limit):
                break
    return samples


def skipping(source: Iterator[Proposed], first: int) -> Iterator[Proposed]:
    """A source without its first proposals."""
    for proposed in source:
        if proposed[0] >= first:
            yield proposed


def encode(sample: Sample) -> dict[str, Any]:
    """A sample as plain values."""
    value = dict(vars(sample))
    value["structure"] = None
    if sample.structure is not None:
        bare = Structure.from_sites(list(sample.structure))
        bare.properties = {}
        value["structure"] = encode_structure(bare)
    return value


def decode(value: Mapping[str, Any]) -> Sample:
    """Inverse of `encode`."""
    structure = decode_structure(value["structure"]) if value["structure"] is not None else None
    lists = {"blocks": tuple(value["blocks"]), "failed": tuple(value["failed"]), "structure": structure}
    return Sample(**{**value, **lists})
