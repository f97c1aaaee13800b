"""Crystal structure prediction: how often samples of a known composition match the known crystal.

    python -m benchmarks.crystals_match --count 120 steps=50 quench_steps=0          # held-out crystals, for tuning
    python -m benchmarks.crystals_match --model perovskites --config configs/train/perovskites.yaml --samples 20
    python -m benchmarks.crystals_match steps=50 quench_steps=0 --test perov_5_test --model perovskites --samples 20 \
        --record C1 C1a C1b C1c

Without `--test` the crystals are those held out of training (never a test split): sampler settings are chosen on them.
With `--test` a test split is looked at. The reference's primitive cell (spglib, 0.01 Å) gives composition and atom
count; a crystal with an element the model never saw counts as unmatched. The matching protocol is that of
`gen.evaluation.matching`, printed with every figure. `--record IDS` appends lines to results.jsonl.
"""

import argparse
import time

import numpy as np
import torch
import yaml
from pymatgen.core import Element, Lattice, Structure

from benchmarks.record import record
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.config import CrystalTrainingConfig
from gen.crystals.dataset import Crystal, load_dataset, reduce_crystal
from gen.crystals.prediction import evaluations, predict_structures
from gen.crystals.sampling import SamplingConfig
from gen.crystals.sources import choose_crystals, source_path
from gen.evaluation.matching import Matches, match_metrics, match_samples
from gen.generator import Generator
from potentials.config import load_config
from potentials.files import sha256_file
from potentials.relaxation import relax


def held_out(path: str, count: int) -> list[Structure]:
    """A fixed random choice of the validation crystals of a training configuration."""
    structures = []
    for group in load_dataset(load_config(CrystalTrainingConfig, path).data).validation.values():
        for numbers, frac, lattice in zip(group.numbers.tolist(), group.frac, group.lattice, strict=True):
            structures.append(_structure(numbers, frac.double().numpy(), lattice.double().numpy()))
    order = np.random.default_rng(0).permutation(len(structures))
    return [structures[index] for index in order[:count]]


def split_crystals(source: str, count: int) -> list[Structure]:
    """A fixed random choice of a test split, in primitive Niggli cells where spglib finds them."""
    structures = []
    for raw in choose_crystals(source, count):
        reduced = reduce_crystal(raw)
        cell = reduced if isinstance(reduced, Crystal) else raw
        structures.append(_structure(cell.numbers.tolist(), cell.frac, cell.lattice))
    return structures


def predict(
    model: CrystalModel, references: list[Structure], config: SamplingConfig, arguments: argparse.Namespace
) -> tuple[Matches, float]:
    """Sample each reference's composition and match; also the seconds the sampling took."""
    started = time.monotonic()
    samples = predict_structures(
        model,
        [[site.specie.Z for site in reference] for reference in references],
        seed=arguments.seed,
        samples=arguments.samples,
        config=config,
        batch_size=arguments.batch,
        precision=arguments.precision,
        progress=True,
    )
    seconds = time.monotonic() - started
    if getattr(arguments, "relax", None):
        samples = relaxed(samples, arguments.relax, arguments.relax_steps)
    return match_samples(samples, references), seconds


def relaxed(samples: list[list[Structure | None]], potential: str, steps: int) -> list[list[Structure | None]]:
    """Every sample after at most `steps` steps of relaxation of cell and coordinates; as it was where that fails."""
    places = [(r, k) for r, row in enumerate(samples) for k, sample in enumerate(row) if sample is not None]
    outcomes = relax([samples[r][k] for r, k in places], potential, fmax=0.05, max_steps=steps, optimizer="lbfgs")
    result = [list(row) for row in samples]
    failed = 0
    for (r, k), outcome in zip(places, outcomes, strict=True):
        if outcome.failure is None:
            result[r][k] = outcome.structure
        failed += outcome.failure is not None
    print(f"relaxed {len(places)} samples, {failed} could not be")
    return result


def main() -> None:
    """Predict each crystal from its composition and report match rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", help="fields of SamplingConfig, e.g. steps=50")
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--model", default="crystals")
    parser.add_argument("--config", default="configs/train/crystals.yaml", help="whose held-out crystals")
    parser.add_argument("--test", help="a test source instead, e.g. perov_5_test")
    parser.add_argument(
        "--record", nargs="+", metavar="ID", help="ids of: rate at 1, the same gated, rate at k, RMSE at k; - for none"
    )
    parser.add_argument("--name", default="", help="what the model is, for the record")
    parser.add_argument("--relax", metavar="POTENTIAL", help="relax samples with it before matching, e.g. chgnet")
    parser.add_argument("--relax-steps", type=int, default=60)
    parser.add_argument("--peer", help="what the rate is compared with")
    parser.add_argument("--peer-value", type=float)
    parser.add_argument("--note")
    arguments = parser.parse_args()
    if any("=" in name for name in arguments.record or ()):
        parser.error("settings come first: crystals_match steps=50 ... --record C1 C1a")
    torch.set_num_threads(1)
    model = Generator.from_pretrained(arguments.model).model
    config = load_config(SamplingConfig, overrides=arguments.settings)
    where = arguments.test or f"held-out crystals of {arguments.config}"
    if arguments.test:
        references = split_crystals(arguments.test, arguments.count)
    else:
        references = held_out(arguments.config, arguments.count)
    matches, seconds = predict(model, references, config, arguments)
    cost = evaluations(config)
    print(yaml.safe_dump(config.model_dump(), default_flow_style=True, width=1000).strip())
    print(f"{where}; {cost} evaluations, {seconds:.0f} s of sampling")
    for metric in match_metrics(matches):
        print(f"{metric.name:22s} {metric.value:.4f}  {metric.protocol}")
    if arguments.record:
        _record(matches, where, cost, model, arguments)


def _record(matches: Matches, where: str, cost: int, model: CrystalModel, arguments: argparse.Namespace) -> None:
    settings = f", {' '.join(arguments.settings)}" if arguments.settings else ""
    label = arguments.name or f"model {arguments.model}"
    if arguments.relax:
        label += f", each sample relaxed with {arguments.relax} (L-BFGS, at most {arguments.relax_steps} steps)"
    shared = (
        f"{label} ({model.provenance.get('epochs')} epochs) on a fixed random {len(matches.distances)} of {where}, "
        f"{cost} network evaluations{settings}, {arguments.precision}; StructureMatcher(stol 0.5, angle_tol 10, "
        f"ltol 0.3) of each sample against its own reference"
    )
    digest = sha256_file(source_path(arguments.test)) if arguments.test else None
    k = arguments.samples
    gate = "gated: sample and reference pass distances > 0.5 Å and SMACT"
    rows: list[tuple[float | None, str, str]] = [
        (matches.rate(1, gated=False), "fraction", f"match rate at 1, ungated; {shared}"),
        (matches.rate(1, gated=True), "fraction", f"match rate at 1, {gate}; {shared}"),
        (matches.rate(k, gated=False), "fraction", f"match rate at {k}, ungated; {shared}"),
        (matches.rmse(k, gated=False), "(V/N)^(1/3)", f"RMSE at {k}, matched pairs only, ungated; {shared}"),
    ]
    for position, (name, (value, unit, protocol)) in enumerate(zip(arguments.record, rows, strict=False)):
        if name == "-":
            continue
        if value is None:
            print(f"{name}: nothing matched, no RMSE")
            continue
        record(
            id=name,
            value=value,
            unit=unit,
            peer=arguments.peer if position == 0 else None,
            peer_value=arguments.peer_value if position == 0 else None,
            protocol=protocol,
            data_sha256=digest,
            seed=arguments.seed,
            note=arguments.note,
        )


def _structure(numbers: list[int], frac: np.ndarray, lattice: np.ndarray) -> Structure:
    return Structure(Lattice(lattice), [Element.from_Z(int(z)).symbol for z in numbers], frac)


if __name__ == "__main__":
    main()
