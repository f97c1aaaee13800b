"""De novo crystals against the number of network evaluations: what more steps buy.

    python -m benchmarks.crystals_curve --count 256

The quench share is that of the default sampler. Nothing is resampled; one row a budget, C4v to C4z.
"""

import argparse

import torch

from benchmarks.crystals_evaluations import BUDGETS, settings_for
from benchmarks.record import record
from gen.evaluation import evaluate_crystals
from gen.evaluation.reference import read_reference
from gen.generator import WEIGHTS, Generator

IDS = ("C4v", "C4w", "C4x", "C4y", "C4z")
QUENCH = 0.2
SHOWN = {
    "smact_validity": "SMACT valid",
    "wasserstein_density": "W(density)",
    "wasserstein_elements": "W(elements)",
    "unique": "unique",
    "not_p1_symmetrised": "not P1",
    "novel": "novel",
}


def main() -> None:
    """Sample at every budget, evaluate, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="crystals", help="shipped weights by name")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = Generator.from_pretrained(arguments.model)
    reference = read_reference(WEIGHTS / arguments.model)
    for budget, row in zip(BUDGETS, IDS, strict=True):
        config = settings_for(budget, QUENCH, "known")
        structures = generator.sample(arguments.count, seed=arguments.seed, **config.model_dump())
        metrics = {metric.name: metric for metric in evaluate_crystals(structures, reference)}
        record(
            id=row,
            value=metrics["structural_validity"].value,
            unit="fraction",
            protocol=f"structural validity of {arguments.count} de novo crystals after {budget} network evaluations "
            f"(steps={config.steps} quench_steps={config.quench_steps}), structure types held, nothing resampled; "
            f"weights {generator.model.sha256[:12]}",
            data_sha256=generator.model.provenance.get("data_sha256"),
            seed=arguments.seed,
            note=", ".join(f"{said} {metrics[name].value:.3f}" for name, said in SHOWN.items() if name in metrics),
        )


if __name__ == "__main__":
    main()
