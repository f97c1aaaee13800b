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
from typing import cast

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.stats import spearmanr

from benchmarks.charged_frameworks import DDEC_ARCHIVE, HENRY_ARCHIVE, HENRY_TABLE, ChargedFramework, read_archive
from benchmarks.record import record
from potentials.charge_network import ChargeEnsemble, ChargeNetwork
from potentials.charge_training import charge_errors
from potentials.errors import InputError, SorbusError
from potentials.files import data_root, sha256_file, write_atomic
from potentials.guest_poses import log_henry_change
from screening.adsorption import charge_dataset
from screening.adsorption.charge_confidence import charge_confidence
from screening.adsorption.charge_dataset import PREPARED_CUTOFF, PreparedFramework, estimates_from
from screening.adsorption.charge_feature_archive import features_of
from screening.adsorption.charge_fitting import (
    ChargeFitConfig,
    frameworks_by_element,
    labelled_graphs,
    split_frameworks,
)
from screening.adsorption.environment_charges import environment_charges, fit_table, shipped_table
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.guest_poses import PoseConfig
from screening.adsorption.henry import HenrySettings, henry_of_host
from screening.adsorption.learned_charges import ChargeModel, charges_of, load_model, shipped_folder
from screening.adsorption.pose_archive import poses_of

# why nine of ten is out of reach so far; belongs to the row as long as it is
SHORT = (
    "short of 90 %: errors would have to halve (E6g). On validation frameworks more data, a loss on poses, hiding or "
    "repeating rare elements, shrinkage, medians and more networks changed nothing (73 to 76 %), CHGNet features as "
    "inputs of a network 75 to 77 %, charges by kinship beside the networks 81 %"
)
KEEP_OUT_ONLY = Path(HENRY_TABLE)  # as in configs/train/charges.yaml
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
        systems = labelled_graphs(frameworks, estimates, features=_features(model, frameworks, sha))
        for framework, estimate, labelled in zip(frameworks, estimates, systems, strict=True):
            with torch.no_grad():
                charges = model.network(labelled.graph).double().numpy()
            target, weight = framework.target, framework.multiplicity
            base = estimate.charges[framework.first]
            metal = np.isin(framework.numbers, _numbers(hidden)) if part == "hidden" else np.zeros(len(target), bool)
            rows.append((np.stack([charges - target, base - target]), weight, metal))
        result[part] = rows
        learned, environment = (_mean([(r[0][k], r[1]) for r in rows]) for k in (0, 1))
        medians = [float(np.median([np.average(np.abs(r[0][k]), weights=r[1]) for r in rows])) for k in (0, 1)]
        print(
            f"{part}: {len(rows)} frameworks, learned {learned:.4f} e (median framework {medians[0]:.4f}), "
            f"environments of the same training part {environment:.4f} e (median {medians[1]:.4f})"
        )
        if part == "hidden":
            on_metal = [_mean([(r[0][k][r[2]], r[1][r[2]]) for r in rows]) for k in (0, 1)]
            print(f"  on the hidden metals' own atoms: learned {on_metal[0]:.4f} e, environments {on_metal[1]:.4f} e")
    small = [r for r in result["test"] if r[1].sum() <= SMALL]
    small_error = _mean([(r[0][0], r[1]) for r in small])
    value = _mean([(r[0][0], r[1]) for r in result["test"]])
    base = _mean([(r[0][1], r[1]) for r in result["test"]])
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
    value = _mean([(r[0][0], r[1]) for r in result["hidden"]])
    base = _mean([(r[0][1], r[1]) for r in result["hidden"]])
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


def pores(folder: Path, peer: Path) -> None:
    """E6d: Henry coefficients on the validation part, worked out from poses, of two models."""
    config = ChargeFitConfig()
    models = [load_model(folder), load_model(peer)]
    facts = models[0].description["training"]
    data = config.data.model_copy(
        update={"hidden_elements": tuple(facts["hidden_elements"]), "keep_out_only": KEEP_OUT_ONLY}
    )
    sha = sha256_file(data_root() / DDEC_ARCHIVE)
    parts = split_frameworks(data, models[0].network.cutoff, sha)
    frameworks = parts["validation"]
    if any(model.description["training"].get("frameworks", {}).get("validation") == 0 for model in models):
        raise InputError("a model was fitted to the validation part too: nothing can be said of it there")
    table = fit_table((f.keys, f.charges) for f in parts["training"])
    drawn = poses_of(frameworks, data_root() / DDEC_ARCHIVE, sha, PoseConfig(), data.cache)
    poses = {f.name: own for f, own in zip(frameworks, drawn, strict=True)}
    found = []
    for model in models:
        features = _features(model, frameworks, sha)
        systems = labelled_graphs(frameworks, estimates_from(table, frameworks), poses, features)
        found.append(charge_errors(model.network, systems))
    for path, one in zip((folder, peer), found, strict=True):
        print(
            f"{path}: {one.mean_absolute:.5f} e, mean |ln K/K_ref| {one.log_henry:.4f}, {one.within:.1%} within 1.5, "
            f"poses {one.pose_rms:.3f} kT"
        )
    record(
        id="E6d",
        value=float(found[0].within or 0.0),
        unit="share within a factor 1.5",
        protocol=f"CO2 Henry coefficients at 298 K of {len(frameworks)} validation CoRE MOFs, learned charges against "
        "DDEC, from 128 poses a framework by thermodynamic perturbation; one network trained on with a loss on these "
        "poses of the training frameworks, peer the same minutes without",
        data_sha256=sha,
        seed=int(facts["seed"]),
        peer="the same network, minutes and seed, loss on charges alone",
        peer_value=float(found[1].within or 0.0),
        note="; ".join(
            f"{name}: {one.mean_absolute:.4f} e, mean |ln K/K_ref| {one.log_henry:.3f}, poses {one.pose_rms:.3f} kT"
            for name, one in zip(("with", "without"), found, strict=True)
        ),
    )


def spread(folders: list[Path]) -> None:
    """E6e: does the spread of Henry coefficients over the networks foretell the error of their mean?"""
    config = ChargeFitConfig()
    loaded = [load_model(folder) for folder in folders]
    if any(one.description["training"]["frameworks"]["validation"] == 0 for one in loaded):
        raise InputError("a model was fitted to the validation part too: nothing can be said of it there")
    hidden = tuple(loaded[0].description["training"]["hidden_elements"])
    data = config.data.model_copy(update={"hidden_elements": hidden, "keep_out_only": KEEP_OUT_ONLY})
    sha = sha256_file(data_root() / DDEC_ARCHIVE)
    parts = split_frameworks(data, PREPARED_CUTOFF, sha)
    frameworks = {f.name: f for f in parts["validation"]}
    table = fit_table((f.keys, f.charges) for f in parts["training"])
    facts = {"training": {"frameworks_by_element": frameworks_by_element(parts["training"])}}
    newest = [cast(ChargeNetwork, one.network.members[0]) for one in loaded]
    kernel = next((one.network for one in loaded if one.network.kernel is not None), None)
    ensemble = ChargeEnsemble(newest, kernel.kernel, kernel.kernel_weight) if kernel else ChargeEnsemble(newest)
    model = ChargeModel(ensemble, table, frozenset(), facts)
    drawn = poses_of(list(frameworks.values()), data_root() / DDEC_ARCHIVE, sha, PoseConfig(), data.cache)
    poses = dict(zip(frameworks, drawn, strict=True))
    rows = []
    for framework in charge_dataset.read_archive(data_root() / DDEC_ARCHIVE, names=frameworks):
        reference, prepared = poses[framework.name], frameworks[framework.name]
        found = charge_confidence(framework.structure, framework.elements, model=model)
        if reference is None or found.log_henry_spread is None or found.log_henry_std is None:
            continue
        charges = charges_of(framework.structure, framework.elements, model)[0]
        error = torch.from_numpy(charges[prepared.first] - prepared.target).float()
        off = abs(float(log_henry_change(reference, error)))
        held = min(model.frameworks_by_element.get(symbol, 0) for symbol in framework.elements)
        rows.append((found.log_henry_spread, found.log_henry_std, off, held))
    spreads, stated, off, rarest = np.array(rows).T

    def unlikeliness(parameters: np.ndarray) -> float:
        variance = parameters[0] ** 2 + (parameters[1] * spreads) ** 2
        return float(np.sum(np.log(variance) + off**2 / variance) / 2)

    fitted = minimize(unlikeliness, [0.2, 1.5], method="Nelder-Mead").x
    print(f"most likely floor {abs(fitted[0]):.3f}, scale {abs(fitted[1]):.3f}")
    thirds = np.array_split(np.argsort(stated), 3)
    within = [float(np.mean(off[third] < np.log(1.5))) for third in thirds]
    covered = [float(np.mean(off < k * stated)) for k in (1, 2)]
    record(
        id="E6e",
        value=float(spearmanr(stated, off).statistic),
        unit="rank correlation",
        protocol=f"standard error of ln K_H stated from the spread over {len(loaded)} networks against "
        f"|ln(K_H/K_DDEC)| of their mean, CO2 at 298 K, {len(rows)} validation CoRE MOFs, both by perturbation from "
        "poses; peer: few training frameworks with the rarest element",
        data_sha256=sha,
        seed=1,
        peer="rarity of the rarest element",
        peer_value=float(spearmanr(-rarest, off).statistic),
        note=f"{covered[0]:.0%} of errors within one standard error, {covered[1]:.0%} within two; within a factor 1.5 "
        f"are {within[0]:.0%} of the third stated surest, {within[1]:.0%}, and {within[2]:.0%} of the least sure",
    )


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


def needed(folder: Path) -> None:
    """E6g: how small charge errors would have to be for nine Henry coefficients of ten to be within 1.5."""
    model = load_model(folder)
    facts = model.description["training"]
    if "validation" in facts.get("fitted_to", ()):
        raise InputError(f"{folder} was fitted to the validation part too: nothing can be said of it there")
    hidden = tuple(facts["hidden_elements"])
    data = ChargeFitConfig().data.model_copy(update={"hidden_elements": hidden, "keep_out_only": KEEP_OUT_ONLY})
    sha = sha256_file(data_root() / DDEC_ARCHIVE)
    parts = split_frameworks(data, model.network.cutoff, sha)
    frameworks = parts["validation"]
    table = fit_table((f.keys, f.charges) for f in parts["training"])
    drawn = poses_of(frameworks, data_root() / DDEC_ARCHIVE, sha, PoseConfig(), data.cache)
    systems = labelled_graphs(frameworks, estimates_from(table, frameworks), features=_features(model, frameworks, sha))
    with torch.no_grad():
        off = [model.network(system.graph) - system.target for system in systems]
    weight = [framework.multiplicity for framework in frameworks]
    whole = _mean([(one.double().numpy(), w) for one, w in zip(off, weight, strict=True)])
    shares = {}
    for scale in np.linspace(0.05, 1.0, 20):
        changes = [
            abs(float(log_henry_change(poses, float(scale) * one)))
            for poses, one in zip(drawn, off, strict=True)
            if poses is not None
        ]
        shares[float(scale)] = float(np.mean(np.array(changes) < np.log(1.5)))
        print(f"{scale:.2f} of the errors, {scale * whole:.4f} e: {shares[float(scale)]:.1%} within a factor 1.5")
    enough = max(scale for scale, share in shares.items() if share >= 0.9)
    record(
        id="E6g",
        value=enough * whole,
        unit="e",
        protocol=f"mean absolute charge error at which 90 % of CO2 Henry coefficients at 298 K of {len(changes)} "
        "validation CoRE MOFs are within a factor 1.5 of those with DDEC charges: the model's own errors scaled, by "
        "perturbation from 128 poses a framework; peer: the model as it is",
        data_sha256=sha,
        seed=int(facts["seed"]),
        peer=f"learned charges, {shares[1.0]:.1%} within 1.5",
        peer_value=whole,
    )


def _features(model: ChargeModel, frameworks: list[PreparedFramework], sha: str) -> dict[str, torch.Tensor]:
    """CHGNet features by name of the framework; none where the model asks for none."""
    if model.network.kernel is None:
        return {}
    found = features_of(frameworks, data_root() / DDEC_ARCHIVE, sha, ChargeFitConfig().data.cache)
    return {framework.name: own for framework, own in zip(frameworks, found, strict=True)}


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


def _mean(parts: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(sum((np.abs(e) * w).sum() for e, w in parts) / sum(w.sum() for _, w in parts))


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
