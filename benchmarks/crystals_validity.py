"""De novo crystals from the shipped weights at the default settings: validity and what stands beside it.

    python benchmarks/crystals_validity.py [--count 256] [--seed 1] [--model crystals] [--dry]

Nothing is resampled or symmetrised: the figures are of what the model makes. `S2` is structural validity, `S3`
SMACT validity by CDVAE's rule; the letters after them are the figures one must see with these.
"""

import argparse
import time

import torch
from record import record

from gen.evaluation import evaluate_crystals
from gen.generator import WEIGHTS, Generator

IDS = {
    "structural_validity": "S2",
    "unique": "S2a",
    "novel": "S2b",
    "not_p1": "S2c",
    "wasserstein_density": "S2d",
    "smact_validity": "S3",
    "charge_neutral_strict": "S3a",
    "wasserstein_elements": "S3b",
}


def main() -> None:
    """Sample, evaluate, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="crystals", help="shipped weights by name, or a checkpoint folder")
    parser.add_argument("--dry", action="store_true", help="print only, record nothing")
    arguments = parser.parse_args()
    generator = Generator.from_pretrained(arguments.model)
    started = time.perf_counter()
    structures = generator.sample(arguments.count, seed=arguments.seed, progress=True)
    seconds = time.perf_counter() - started
    shipped = WEIGHTS / arguments.model
    metrics = evaluate_crystals(structures, reference=str(shipped if shipped.is_dir() else arguments.model))
    provenance = generator.model.provenance
    made_by = f"weights {generator.model.sha256[:12]}, default sampler settings, nothing resampled"
    print(f"weights {generator.model.sha256}: {provenance.get('epochs')} epochs, seed {arguments.seed}")
    for metric in metrics:
        print(f"{metric.name:24s} {metric.value:8.4f} {metric.unit:10s} {metric.protocol}")
        if metric.name in IDS and not arguments.dry:
            record(
                id=IDS[metric.name],
                value=metric.value,
                unit=metric.unit,
                protocol=f"{metric.name}: {metric.protocol}; {made_by}",
                data_sha256=provenance.get("data_sha256"),
                seed=arguments.seed,
            )
    speed = arguments.count / seconds
    print(f"{speed:.1f} structures/s with {torch.get_num_threads()} threads")
    if not arguments.dry:
        record(
            id="S2e",
            value=speed,
            unit="structures/s",
            protocol=f"wall time of {arguments.count} crystals, {torch.get_num_threads()} threads; {made_by}",
            data_sha256=provenance.get("data_sha256"),
            seed=arguments.seed,
        )


if __name__ == "__main__":
    main()
