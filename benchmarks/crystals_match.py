"""Crystal structure prediction on held-out crystals: how often one guess matches, at chosen sampler settings.

    python benchmarks/crystals_match.py --count 120 steps=50 quench_steps=0
    python benchmarks/crystals_match.py --count 120                            # default settings

The crystals are the 5 % of formulas held out of training (never a test split): this is the measure the sampler's
defaults were chosen by, so it is a figure of tuning, not a result to compare with published tables.
Match: pymatgen's StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3) of one sample against its own reference, not
gated by validity; RMSE over matched pairs, in units of (V/N)^(1/3).
"""

import argparse

import numpy as np
import yaml
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure
from tqdm import tqdm

from gen.crystals.config import DataConfig
from gen.crystals.dataset import load_dataset
from gen.crystals.generation import generate_crystals
from gen.crystals.sampling import SamplingConfig
from gen.generator import Generator
from potentials.config import load_config


def held_out(count: int, known: tuple[int, ...]) -> list[Structure]:
    """A fixed random choice of the validation crystals whose elements the model knows."""
    structures = []
    for group in load_dataset(DataConfig()).validation.values():
        for numbers, frac, lattice in zip(group.numbers.tolist(), group.frac, group.lattice, strict=True):
            if set(numbers) <= set(known):
                symbols = [Element.from_Z(z).symbol for z in numbers]
                structures.append(Structure(Lattice(lattice.double().numpy()), symbols, frac.double().numpy()))
    order = np.random.default_rng(0).permutation(len(structures))
    return [structures[index] for index in order[:count]]


def main() -> None:
    """Predict each held-out crystal from its composition and report the match rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", help="fields of SamplingConfig, e.g. steps=50")
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--model", default="crystals")
    arguments = parser.parse_args()
    model = Generator.from_pretrained(arguments.model).model
    config = load_config(SamplingConfig, overrides=arguments.settings)
    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    distances, faults = [], 0
    for index, reference in enumerate(tqdm(held_out(arguments.count, model.elements), unit="crystal")):
        conditions = {"composition": reference.composition.reduced_formula, "num_atoms": len(reference)}
        (guess,) = generate_crystals(model, [index], arguments.seed, conditions, config)
        faults += guess.fault is not None
        match = None if guess.structure is None else matcher.get_rms_dist(guess.structure, reference)
        distances.append(None if match is None else match[0])
    matched = [distance for distance in distances if distance is not None]
    print(yaml.safe_dump(config.model_dump(), default_flow_style=True, width=1000).strip())
    print(f"match rate {len(matched) / len(distances):.3f} of {len(distances)} held-out crystals, one sample each")
    print(f"RMSE       {np.mean(matched) if matched else float('nan'):.4f}")
    print(f"faults     {faults} (geometry gate)")


if __name__ == "__main__":
    main()
