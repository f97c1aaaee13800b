"""The charge network against DDEC on frameworks it never saw, and what its charges do to CO2 Henry coefficients.

    python benchmarks/learned_charges.py errors
    python benchmarks/learned_charges.py henry --minutes 10
    python benchmarks/learned_charges.py pores --model runs/train/charges_pores --peer runs/train/charges_plain
    python benchmarks/learned_charges.py spread --members runs/train/charges_1 runs/train/charges_3 runs/train/charges_4
    python benchmarks/learned_charges.py needed --model runs/train/charges_kin

`errors` looks at the test formulas and at the hidden metals. `henry` goes through the frameworks of Raza et al.
(J. Phys. Chem. C 124, 19070 (2020)), none of whose formulas was trained on, fewest atoms first; what is finished is
kept in `runs/`, and the next start goes on from there. `pores` stays on the validation formulas: charge errors, and
what they do to the energies of CO2 poses and to Henry coefficients, of a model trained with such poses and of a peer
trained as long without. `spread` holds what the networks' differences foretell (`charge_confidence.py`) against the
errors of their mean there; the newest network of each folder is taken, and the first kernel. Without `--members` it
does so for one model on the frameworks that `henry` went through. `needed` scales the errors of a model on the
validation formulas until nine Henry coefficients of ten are good.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.charged_frameworks import DDEC_ARCHIVE, HENRY_ARCHIVE, HENRY_TABLE, ChargedFramework, read_archive
from benchmarks.charges_on_validation import features_by_name, mean_absolute, needed, pores, spread
from benchmarks.record import record
from potentials.errors import InputError, SorbusError
from potentials.files import data_root, sha256_file, write_atomic
from screening.adsorption.charge_confidence import charge_confidence
from screening.adsorption.charge_dataset import PreparedFramework, estimates_from
from screening.adsorption.charge_fitting import (
    ChargeFitConfig,
    labelled_graphs,
    split_frameworks,
)
from screening.adsorption.environment_charges import environment_charges, shipped_table
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.henry import HenrySettings, henry_of_host
from screening.adsorption.learned_charges import ChargeModel, charges_of, load_model, shipped_folder

# why nine of ten is out of reach so far; belongs to the row as long as it is
SHORT = (
    "short of 90 %: errors would have to halve (E6g). On validation frameworks more data, a loss on poses, hiding or "
    "repeating rare elements, shrinkage, medians and more networks changed nothing (73 to 76 %), CHGNet features as "
    "inputs of a network 75 to 77 %, charges by kinship beside the networks 81 %"
)
SMALL = 150  # atoms; EQeq was measured on frameworks up to this size
METHODS = ("ddec", "learned", "environment")


def errors(folder: Path) -> None:
    """E6a and E6b: mean absolute charge errors on test formulas and on hidden metals."""
    model = load_model(folder)
    if "test" in model.description["training"].get("fitted_to", ()):
        raise InputError(
            f"{folder} was fitted to the test part too, so its errors there say nothing: give --model a model fitted "
            "without it (recipe: configs/train/charges.yaml, its figures: potentials/weights/charges/MODEL_CARD.md)"
        )
    hidden = tuple(model.description["training"]["hidden_elements"])
    data = ChargeFitConfig().data.model_copy(update={"hidden_elements": hidden})
    sha = sha256_file(data_root() / DDEC_ARCHIVE)
    parts = split_frameworks(data, model.network.cutoff, sha)
    result: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    for part in ("test", "hidden"):
        frameworks: list[PreparedFramework] = parts[part]
        rows = []
        estimates = estimates_from(model.table, frameworks)
        systems = labelled_graphs(frameworks, estimates, features=features_by_name(model, frameworks, sha))
        for framework, estimate, labelled in zip(frameworks, estimates, systems, strict=True):
            with torch.no_grad():
                charges = model.network(labelled.graph).double().numpy()
            target, weight = framework.target, framework.multiplicity
            base = estimate.charges[framework.first]
            metal = np.isin(framework.numbers, _numbers(hidden)) if part == "hidden" else np.zeros(len(target), bool)
            rows.append((np.stack([charges - target, base - target]), weight, metal))
        result[part] = rows
        learned, environment = (mean_absolute([(r[0][k], r[1]) for r in rows]) for k in (0, 1))
        medians = [float(np.median([np.average(np.abs(r[0][k]), weights=r[1]) for r in rows])) for k in (0, 1)]
        print(
            f"{part}: {len(rows)} frameworks, learned {learned:.4f} e (median framework {medians[0]:.4f}), "
            f"environments of the same training part {environment:.4f} e (median {medians[1]:.4f})"
        )
        if part == "hidden":
            on_metal = [mean_absolute([(r[0][k][r[2]], r[1][r[2]]) for r in rows]) for k in (0, 1)]
            print(f"  on the hidden metals' own atoms: learned {on_metal[0]:.4f} e, environments {on_metal[1]:.4f} e")
    small = [r for r in result["test"] if r[1].sum() <= SMALL]
    small_error = mean_absolute([(r[0][0], r[1]) for r in small])
    value = mean_absolute([(r[0][0], r[1]) for r in result["test"]])
    base = mean_absolute([(r[0][1], r[1]) for r in result["test"]])
    record(
        id="E6a",
        value=value,
        unit="e",
        protocol=f"mean absolute charge error against DDEC over all atoms of {len(result['test'])} held-out CoRE MOFs, "
        "split by reduced formula; charge networks and charges by kinship, peer the table of bonding environments they "
        "start from",
        data_sha256=sha,
        seed=int(model.description["training"]["seed"]),
        peer="environment charges, same training part",
        peer_value=base,
        note=f"{len(small)} of at most {SMALL} atoms: {small_error:.4f} e, where EQeq is at 0.155 e (S5a)",
    )
    value = mean_absolute([(r[0][0], r[1]) for r in result["hidden"]])
    base = mean_absolute([(r[0][1], r[1]) for r in result["hidden"]])
    record(
        id="E6b",
        value=value,
        unit="e",
        protocol=f"the same over {len(result['hidden'])} CoRE MOFs that hold {' or '.join(hidden)}, metals of which "
        "neither network nor table saw an atom",
        data_sha256=sha,
        seed=int(model.description["training"]["seed"]),
        peer="environment charges without those metals",
        peer_value=base,
        note=f"on the metals' own atoms {on_metal[0]:.3f} e, environments {on_metal[1]:.3f} e",
    )


def henry(folder: Path, minutes: float, error: float, seed: int, reverse: bool) -> None:
    """E6c and E7: CO2 Henry coefficients with DDEC and learned charges, and against the published ones."""
    started = time.monotonic()
    model = load_model(folder) if (folder / "model.json").is_file() else None
    published = _published()
    frameworks = [f for f in read_archive(HENRY_ARCHIVE, "ddec_xtals") if (f.name, "ddec") in published]
    frameworks = sorted(frameworks, key=lambda f: len(f.elements), reverse=reverse)
    kept = Path(f"runs/learned_charges_henry_{error:g}_{seed}.json")
    done: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.is_file() else {}
    mark = model.description["weights_sha256"][:12] if model else ""
    for method in METHODS:
        for framework in frameworks:
            row = done.setdefault(framework.name, {"atoms": len(framework.elements)})
            name = f"learned {mark}" if method == "learned" else method
            if name in row or (method == "learned" and model is None):
                continue
            if time.monotonic() - started > 60.0 * minutes:
                break
            row[name] = _henry(framework, method, model, error, seed)
            row["published"] = published[framework.name, "ddec"]
            write_atomic(kept, json.dumps(done))
            print(
                framework.name, row["atoms"], name, f"{row[name]:.3g}", f"published {row['published']:.3g}", flush=True
            )
    _report(done, f"learned {mark}", error, seed)


def spread_in_use(folder: Path, error: float, seed: int) -> None:
    """E6f: the standard errors that a model states, against its own errors on the frameworks of `henry`."""
    model = load_model(folder)
    kept = Path(f"runs/learned_charges_henry_{error:g}_{seed}.json")
    done = json.loads(kept.read_text()) if kept.is_file() else {}
    key = f"learned {model.description['weights_sha256'][:12]}"
    known = {name: row for name, row in done.items() if row.get(key, 0) > 0 and row.get("ddec", 0) > 0}
    if len(known) < 5:
        raise InputError(f"{kept} holds {len(known)} Henry coefficients of this model: run `henry` first")
    rows = []
    for framework in read_archive(HENRY_ARCHIVE, "ddec_xtals"):
        if framework.name in known:
            found = charge_confidence(framework.structure, framework.elements, model=model)
            row = known[framework.name]
            rows.append((found.log_henry_std or 0.0, abs(np.log(row[key] / row["ddec"]))))
    stated, off = np.array(rows).T
    order = np.array_split(np.argsort(stated), 3)
    within = [float(np.mean(off[third] < np.log(1.5))) for third in order]
    covered = [float(np.mean(off < k * stated)) for k in (1, 2)]
    record(
        id="E6f",
        value=covered[1],
        unit="share of errors within two stated standard errors",
        protocol=f"standard error of ln K_H that the model states from the spread over its networks, against "
        f"|ln(K_H/K_DDEC)| of CO2 at 298 K of {len(rows)} CoRE MOFs whose formulas it never saw, by Widom insertion",
        data_sha256=sha256_file(data_root() / HENRY_ARCHIVE),
        seed=seed,
        note=f"within one {covered[0]:.0%}; rank correlation {spearmanr(stated, off).statistic:.2f}; within a factor "
        f"1.5 are {within[0]:.0%} of the third stated surest, {within[1]:.0%}, and {within[2]:.0%} of the least sure",
    )


def _report(done: dict[str, dict[str, float]], learned: str, error: float, seed: int) -> None:
    sha = sha256_file(data_root() / HENRY_ARCHIVE)
    rows = [row for row in done.values() if np.isfinite(row.get("ddec", np.nan)) and row["ddec"] > 0]
    common = f"CO2 at 298 K, UFF + TraPPE, 12.5 Å truncated, pockets open, to {error:.0%}, own batched engine"
    ours, theirs = (np.array([row[key] for row in rows]) for key in ("ddec", "published"))
    factor = np.exp(np.abs(np.log(ours / theirs)))
    record(
        id="E7",
        value=float(spearmanr(ours, theirs).statistic),
        unit="rank correlation",
        protocol=f"Henry coefficients of {len(rows)} CoRE MOFs of mpn_henry with their DDEC charges, ours against "
        f"published; {common}",
        data_sha256=sha,
        seed=seed,
        peer="PorousMaterials.jl (Raza et al. 2020), exact agreement",
        peer_value=1.0,
        note=f"median factor {np.median(factor):.3f}, {np.mean(factor < 1.5):.0%} within 1.5; "
        f"{int(min(r['atoms'] for r in rows))} to {int(max(r['atoms'] for r in rows))} atoms",
    )
    named = [(name, row) for name, row in done.items() if row in rows and row.get(learned, 0) > 0]
    if len(named) < 5:
        return
    share, rank, median = _agreement([row for _, row in named], learned)
    tables = _published()
    theirs_too = [row | {"mpnn": tables[name, "mpnn"]} for name, row in named if (name, "mpnn") in tables]
    peer = _agreement(theirs_too, "mpnn", "published")
    with_table = [row for _, row in named if row.get("environment", 0) > 0]
    table = _agreement(with_table, "environment") if len(with_table) >= 5 else None
    record(
        id="E6c",
        value=share,
        unit="share within a factor 1.5",
        protocol=f"Henry coefficients of {len(named)} CoRE MOFs of mpn_henry (formulas never trained on), learned "
        f"charges against DDEC charges; {common}; peer: published values with the charges of a message-passing network "
        "against published values with DDEC charges",
        data_sha256=sha,
        seed=seed,
        peer=f"MPNN charges (Raza et al. 2020), {len(theirs_too)} of them",
        peer_value=peer[0],
        note=f"rank correlation {rank:.3f}, median factor {median:.3f}; MPNN: {peer[1]:.3f}, {peer[2]:.3f}"
        + (
            f"; environment charges on {len(with_table)} of them: {table[0]:.3f} within 1.5, {table[1]:.3f}, "
            f"{table[2]:.3f}"
            if table
            else ""
        )
        + (f"; {SHORT}" if share < 0.9 else ""),
    )


def _agreement(rows: list[dict[str, float]], key: str, reference_key: str = "ddec") -> tuple[float, float, float]:
    """(share within a factor 1.5 of DDEC, rank correlation, median factor)."""
    ours, reference = (np.array([row[k] for row in rows]) for k in (key, reference_key))
    factor = np.exp(np.abs(np.log(ours / reference)))
    return float(np.mean(factor < 1.5)), float(spearmanr(ours, reference).statistic), float(np.median(factor))


def _henry(framework: ChargedFramework, method: str, model: ChargeModel | None, error: float, seed: int) -> float:
    if method == "ddec":
        charges = framework.charges
    elif method == "learned":
        assert model is not None
        charges = charges_of(framework.structure, framework.elements, model)[0]
    else:
        charges = environment_charges(framework.structure, framework.elements, shipped_table())[0]
    structure = framework.structure.copy()
    structure.add_site_property("charge", charges.tolist())
    settings = HenrySettings(
        model=HostGuestModel(truncation="truncated", cutoff=12.5, pockets="open"), gases=("CO2",), error=error
    )
    try:
        return henry_of_host(prepare_host(structure, settings.model), "CO2", 298.0, settings, seed).henry_coefficient
    except SorbusError as fault:
        print(f"  {framework.name}, {method}: {fault}")
        return float("nan")


def _published() -> dict[tuple[str, str], float]:
    """(framework, charges) to mol/(kg Pa)."""
    with open(data_root() / HENRY_TABLE, newline="") as stream:
        return {
            (row["mof"], row["charges"]): float(row["henry coefficient [mol/(kg-Pa)]"])
            for row in csv.DictReader(stream)
        }


def _numbers(symbols: tuple[str, ...]) -> list[int]:
    from ase.data import atomic_numbers

    return [atomic_numbers[symbol] for symbol in symbols]


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["errors", "henry", "needed", "pores", "spread"])
    parser.add_argument("--model", type=Path, default=shipped_folder(), help="default: the one shipped")
    parser.add_argument("--peer", type=Path, help="of pores: the model trained without poses")
    parser.add_argument("--members", type=Path, nargs="+", default=[], help="of spread: two or more")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no further calculation after this long")
    parser.add_argument("--error", type=float, default=0.05, help="relative, of each Henry coefficient")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--largest-first", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "errors":
        errors(arguments.model)
    elif arguments.what == "needed":
        needed(arguments.model)
    elif arguments.what == "spread":
        if len(arguments.members) >= 2:
            spread(arguments.members)
        else:
            spread_in_use(arguments.model, arguments.error, arguments.seed)
    elif arguments.what == "pores":
        if arguments.peer is None:
            parser.error("pores needs --peer")
        pores(arguments.model, arguments.peer)
    else:
        henry(arguments.model, arguments.minutes, arguments.error, arguments.seed, arguments.largest_first)


if __name__ == "__main__":
    main()
