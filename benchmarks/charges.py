"""Framework charges against DDEC: fit the environment table, or measure our methods on unseen frameworks.

python benchmarks/charges.py fit       # writes screening/adsorption/environment_charges.safetensors
python benchmarks/charges.py           # charges of held-out frameworks: environment and EQeq against DDEC
python benchmarks/charges.py henry -n 60   # CO2 Henry coefficients with each set of charges (hours for all)
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from benchmarks.charged_frameworks import (
    DDEC_ARCHIVE,
    HENRY_ARCHIVE,
    ChargedFramework,
    read_archive,
    split_of,
)
from benchmarks.record import record
from potentials.errors import SorbusError
from potentials.files import data_root, sha256_file
from screening.adsorption.environment_charges import (
    LEVELS,
    TABLE,
    ChargeTable,
    charges_from_keys,
    environment_charges,
    environment_keys,
    fit_table,
    save_table,
)
from screening.adsorption.eqeq import eqeq_charges
from screening.bonds import bond_graph

EQEQ_MAX_ATOMS = 150


@dataclass(frozen=True)
class Keyed:
    """Keys and reference charges of one framework."""

    keys: np.ndarray  # [n, levels]
    charges: np.ndarray  # [n] e


def _henry_formulas() -> set[str]:
    return {framework.formula for framework in read_archive(HENRY_ARCHIVE)}


def _keyed(framework: ChargedFramework) -> Keyed:
    return Keyed(environment_keys(framework.elements, bond_graph(framework.structure).pairs), framework.charges)


def _mean_absolute_error(frameworks: list[Keyed], table: ChargeTable, levels: int) -> float:
    errors = [charges_from_keys(f.keys[:, :levels], table)[0] - f.charges for f in frameworks]
    return float(np.abs(np.concatenate(errors)).mean())


def fit() -> None:
    """Fit the table to the training part, choose nothing on the test part, and write it."""
    henry = _henry_formulas()
    parts: dict[str, list[Keyed]] = defaultdict(list)
    for framework in read_archive(DDEC_ARCHIVE):
        parts[split_of(framework, henry)].append(_keyed(framework))
    print({name: len(frameworks) for name, frameworks in parts.items()})
    table = fit_table((f.keys, f.charges) for f in parts["training"])
    for levels in range(1, len(LEVELS) + 1):
        error = _mean_absolute_error(parts["validation"], table, levels)
        print(f"validation MAE {error:.4f} e with levels up to {LEVELS[levels - 1]!r}")
    final = fit_table((f.keys, f.charges) for f in parts["training"] + parts["validation"])
    save_table(
        final,
        TABLE,
        {
            "data": "CoRE MOF 2014-DDEC (CC-BY 4.0), training and validation part",
            "data_sha256": sha256_file(data_root() / DDEC_ARCHIVE),
            "frameworks": str(len(parts["training"]) + len(parts["validation"])),
            "command": "python benchmarks/charges.py fit",
        },
    )
    print(f"wrote {TABLE} with {len(final.keys)} environments, {TABLE.stat().st_size / 1024:.0f} kB")


def measure() -> None:
    """Charges of test frameworks from the shipped table and from EQeq, against DDEC."""
    henry = _henry_formulas()
    test = [f for f in read_archive(DDEC_ARCHIVE) if split_of(f, henry) == "test"]
    sha = sha256_file(data_root() / DDEC_ARCHIVE)
    small = [f for f in test if len(f.elements) <= EQEQ_MAX_ATOMS]
    for label, frameworks in (("all", test), (f"<= {EQEQ_MAX_ATOMS} atoms", small)):
        error, correlation, median, _ = _compare(frameworks, "environment")
        print(
            f"environment, {len(frameworks)} test frameworks ({label}): MAE {error:.4f} e, r {correlation:.4f}, "
            f"median per framework {median:.4f} e"
        )
    peer, peer_correlation, peer_median, failed = _compare(small, "eqeq")
    print(
        f"EQeq, {len(small) - failed} test frameworks, {failed} failed: MAE {peer:.4f} e, r {peer_correlation:.4f}, "
        f"median per framework {peer_median:.4f} e"
    )
    record(
        id="S5a",
        value=error,
        unit="e",
        protocol=f"mean absolute charge error against DDEC on {len(small)} held-out CoRE MOFs of at most "
        f"{EQEQ_MAX_ATOMS} atoms, split by reduced formula; environment charges, peer EQeq",
        data_sha256=sha,
        seed=0,
        peer="EQeq",
        peer_value=peer,
        ratio=error / peer,
    )


def _compare(frameworks: list[ChargedFramework], method: str) -> tuple[float, float, float, int]:
    """(mean absolute error, correlation, median error a framework, failures)."""
    ours, theirs, per_framework, failed = [], [], [], 0
    for framework in frameworks:
        try:
            if method == "eqeq":
                charges = eqeq_charges(framework.structure, framework.elements)
            else:
                charges = environment_charges(framework.structure, framework.elements)[0]
        except SorbusError as error:
            print(f"  {framework.name}: {error}")
            failed += 1
            continue
        ours.append(charges)
        theirs.append(framework.charges)
        per_framework.append(np.abs(charges - framework.charges).mean())
    a, b = np.concatenate(ours), np.concatenate(theirs)
    return float(np.abs(a - b).mean()), float(np.corrcoef(a, b)[0, 1]), float(np.median(per_framework)), failed


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="measure", choices=["measure", "fit"])
    if parser.parse_args().what == "fit":
        fit()
    else:
        measure()


if __name__ == "__main__":
    main()
