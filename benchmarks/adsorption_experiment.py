"""Computed CO2 isotherms of well-known sorbents beside measured ones, nothing tuned.

    python benchmarks/adsorption_experiment.py compute --sorbent UiO-66   # under half a minute a sorbent
    python benchmarks/adsorption_experiment.py report                     # table, figure, records E8, E8a, ...

`compute` with no sorbent does all of them; what is in the file of computed points already is not done again. Measured:
the open half of the NIST ISODB single-gas set, 298 K +- 5, experiments and entries without a category; of each paper
the uptake at a pressure, of the papers the median.
"""

import argparse
import json
import string
import time
from pathlib import Path

import numpy as np

from benchmarks.experiment_sorbents import SORBENTS, structure_of
from benchmarks.record import record
from potentials.files import data_root, sha256_file
from screening.experiments.calibration import Pair, fit_calibration
from screening.experiments.consensus import Consensus, consensus
from screening.experiments.isodb import read_isodb_table
from screening.experiments.measured_isotherm import MeasuredIsotherm

TABLE = Path("sorbents/nist_isodb/single_gas_open.csv.gz")
FIGURE = Path("docs/images/experiments.png")
TEMPERATURE = 298.0  # K
TOLERANCE = 5.0  # K
PRESSURES = (2_000.0, 5_000.0, 15_000.0, 30_000.0, 50_000.0, 75_000.0, 100_000.0)  # Pa
COMPARED = (15_000.0, 100_000.0)  # Pa; where the ratios are taken
COMPUTED = Path("runs/adsorption_experiment.jsonl")
ERROR = 0.02  # relative standard error to reach


def compute(names: list[str], seed: int) -> None:
    """The isotherms that are not there yet, each appended as it comes."""
    from screening.adsorption.batched.isotherm import IsothermSettings, isotherm_of_host
    from screening.adsorption.framework import prepare_host

    done = {line["sorbent"] for line in computed()}
    for name in names:
        if name in done:
            continue
        sorbent = SORBENTS[name]
        start = time.perf_counter()
        host = prepare_host(structure_of(sorbent), sorbent.model)
        found = isotherm_of_host(
            host, {"CO2": 1.0}, PRESSURES, TEMPERATURE, settings=IsothermSettings(error=ERROR), seed=seed
        )
        points = [(r.pressure, r["CO2"].uptake, r["CO2"].uptake_std, r["CO2"].heat) for r in found]
        line = {
            "sorbent": name,
            "temperature": TEMPERATURE,
            "points": points,  # Pa, mol/kg, mol/kg, kJ/mol
            "method": found[0].method,
            "seed": seed,
            "wall_seconds": round(time.perf_counter() - start, 1),
        }
        COMPUTED.parent.mkdir(exist_ok=True)
        with COMPUTED.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        shown = ", ".join(f"{q:.3f}" for _, q, *_ in points)
        print(f"{name:16} {line['wall_seconds']:5.1f} s  {shown} mol/kg", flush=True)


def computed() -> list[dict]:
    """The points computed so far."""
    return [json.loads(line) for line in COMPUTED.read_text().splitlines()] if COMPUTED.exists() else []


def measured() -> dict[str, list[MeasuredIsotherm]]:
    """CO2 isotherms of every sorbent, any temperature."""
    found: dict[str, list[MeasuredIsotherm]] = {name: [] for name in SORBENTS}
    names = {key: name for name, sorbent in SORBENTS.items() for key in sorbent.adsorbents}
    for read in read_isodb_table(data_root() / TABLE, gas="CO2"):
        if read.isotherm is not None and read.isotherm.material_key[-8:] in names:
            found[names[read.isotherm.material_key[-8:]]].append(read.isotherm)
    return found


def report(save: bool) -> None:
    """The table; with `save` the figure and the lines of the results file."""
    isotherms = measured()
    points = {line["sorbent"]: line for line in computed()}
    digest = sha256_file(data_root() / TABLE)
    rows = []  # sorbent, pressure, computed, its error, consensus
    for name in SORBENTS:
        if name not in points:
            continue
        for pressure, uptake, std, _ in points[name]["points"]:
            of_papers = consensus(isotherms[name], pressure, temperature=TEMPERATURE, tolerance=TOLERANCE)
            if of_papers is not None and pressure in COMPARED:
                rows.append((name, pressure, uptake, std, of_papers))
    print(f"{'sorbent':16} {'bar':>5} {'computed':>14} {'measured (quartiles)':>24} {'papers':>6} {'ratio':>6}")
    for name, pressure, uptake, std, of_papers in rows:
        spread = f"{of_papers.median:.2f} ({of_papers.low:.2f}-{of_papers.high:.2f})"
        print(
            f"{name:16} {pressure / 1e5:5.2f} {uptake:7.2f} +-{std:5.2f} {spread:>24} {of_papers.papers:6d} "
            f"{uptake / of_papers.median:6.2f}"
        )
    ratios = np.array([uptake / of_papers.median for _, _, uptake, _, of_papers in rows])
    open_sites = np.array(["open" in SORBENTS[name].remark for name, *_ in rows])
    log_scatter = 1.4826 * float(np.median(np.abs(np.log(ratios) - np.median(np.log(ratios)))))
    said = (
        f"median {np.median(ratios):.2f}, open metal sites {np.median(ratios[open_sites]):.2f} ({open_sites.sum()} "
        f"points), others {np.median(ratios[~open_sites]):.2f}; scatter a factor {np.exp(log_scatter):.2f}; within a "
        f"factor 1.5: {np.mean(np.abs(np.log(ratios)) < np.log(1.5)):.0%}"
    )
    print(said)
    fit = fit_calibration(_pairs(rows), model="UFF + TraPPE, DDEC charges", gas="CO2", temperature=TEMPERATURE)
    print(fit.text)
    if not save:
        return
    protocol = (
        f"computed / measured CO2 uptake at 298 K, 0.15 and 1 bar, {len({r[0] for r in rows})} sorbents; computed: own "
        "batched GCMC, rigid framework, UFF + TraPPE CO2 with DDEC charges (silicalite: TraPPE-zeo), 12 A with tail "
        f"correction, {ERROR:.0%} Monte Carlo error, nothing tuned; measured: NIST ISODB open half, 298 +- 5 K, "
        "median over papers, those marked simulation or model left out"
    )
    record(id="E8", value=float(np.median(ratios)), unit="", protocol=protocol, data_sha256=digest, seed=1,
           peer="measured (NIST ISODB)", peer_value=1.0, note=f"{said}; {fit.text}")  # fmt: skip
    for letter, name in zip(string.ascii_lowercase, dict.fromkeys(r[0] for r in rows), strict=False):
        _record_sorbent(f"E8{letter}", [r for r in rows if r[0] == name], points[name]["method"], digest)
    _draw(isotherms, points)


def _pairs(rows: list) -> list[Pair]:
    """Uptakes of the sorbents UFF describes; a paper's scatter over the square root of their number is the error."""
    return [
        Pair(name, c.median, uptake, float(np.hypot(c.log_std / np.sqrt(c.papers), std / uptake)), pressure)
        for name, pressure, uptake, std, c in rows
        if name != "silicalite"
    ]


def _record_sorbent(identity: str, rows: list, method: str, digest: str) -> None:
    """One line a sorbent: the uptake at the highest pressure compared, the other figures in the note."""
    name, pressure, uptake, _, of_papers = rows[-1]
    note = "; ".join(
        f"{p / 1e5:g} bar: computed {q:.3g} +- {s:.2g}, measured {c.median:.3g} (quartiles {c.low:.3g} to "
        f"{c.high:.3g}, {c.papers} papers, {c.isotherms} isotherms), ratio {q / c.median:.2f}"
        for _, p, q, s, c in rows
    )
    remark = f"; {SORBENTS[name].remark}" if SORBENTS[name].remark else ""
    record(
        id=identity,
        value=uptake,
        unit="mol/kg",
        peer=f"median of {of_papers.papers} papers (NIST ISODB)",
        peer_value=of_papers.median,
        protocol=f"CO2 in {name}, {pressure / 1e5:g} bar, 298 K; {method}",
        data_sha256=digest,
        seed=1,
        note=f"{note}{remark}",
    )


def _draw(isotherms: dict[str, list[MeasuredIsotherm]], points: dict[str, dict]) -> None:
    """Measured cloud, its median and quartiles, and the computed points, a panel a sorbent."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in SORBENTS if name in points]
    columns = 4
    figure, axes = plt.subplots(-(-len(names) // columns), columns, figsize=(11.5, 2.55 * -(-len(names) // columns)))
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        near = [
            i
            for i in isotherms[name]
            if abs(i.temperature - TEMPERATURE) <= TOLERANCE and i.category not in ("simulation", "model")
        ]
        for isotherm in near:
            axis.plot(isotherm.pressure / 1e5, isotherm.loading, "-", color="#b9c2b5", lw=0.7, alpha=0.8, zorder=1)
        grid = np.linspace(0.02, 1.0, 50)
        found = [(p, consensus(near, p * 1e5, temperature=TEMPERATURE, tolerance=TOLERANCE)) for p in grid]
        known: list[tuple[float, Consensus]] = [(p, c) for p, c in found if c is not None]
        x = [p for p, _ in known]
        axis.fill_between(
            x, [c.low for _, c in known], [c.high for _, c in known], color="#35694c", alpha=0.22, lw=0, zorder=2
        )
        axis.plot(x, [c.median for _, c in known], color="#35694c", lw=1.8, zorder=3, label="measured")
        p, q, s = np.array([point[:3] for point in points[name]["points"]]).T
        axis.errorbar(p / 1e5, q, s, fmt="D", ms=4.5, mfc="white", mec="#b33a1e", ecolor="#b33a1e", zorder=4)
        papers = len({i.source for i in near})
        axis.set_title(f"{name}  ·  {papers} paper{'s' if papers > 1 else ''}", fontsize=9.5, loc="left")
        axis.set_xlim(0, 1.05)
        axis.set_ylim(0, 1.25 * max(q.max(), max((c.high for _, c in known), default=0.0)))
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("CO$_2$, mol/kg", fontsize=9)
    for axis in axes.flat[max(len(names) - columns, 0) : len(names)]:
        axis.set_xlabel("pressure, bar", fontsize=9)
    figure.tight_layout()
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=130)
    print(FIGURE)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("compute", "report"))
    parser.add_argument("--sorbent", action="append", choices=sorted(SORBENTS), help="default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--look", action="store_true", help="report: print the table only, record nothing")
    arguments = parser.parse_args()
    if arguments.what == "compute":
        compute(arguments.sorbent or list(SORBENTS), arguments.seed)
    else:
        report(save=not arguments.look)


if __name__ == "__main__":
    main()
