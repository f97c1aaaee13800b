"""Assembly of what the generator draws: one set of beads, assembled by this code and by an earlier version of it.

    python -m benchmarks.sorbents_generated_beads -n 60 --before CHECKOUT

Beads are drawn once and kept under runs/benchmarks/sorbents; both versions get the same. CHECKOUT is
a folder with an earlier version (`git worktree add CHECKOUT 18e7ba0`). Records D1w (share valid), D1m (how far
assembly moves the beads), D1n (share valid of the same blocks and cells with positions drawn at random: what the
assembly can do without the model's geometry) and D6d (valid frameworks a second of assembly).
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.optimize import linear_sum_assignment

from benchmarks.record import record
from benchmarks.sorbents_samples import CHECKED, FOLDER, cpu_seconds, failed_tests, model_hash

ROOT = Path(__file__).resolve().parent.parent
WORKER = ROOT / "benchmarks" / "sorbents_bead_worker.py"


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=60, help="sets of beads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default="sorbents", help="shipped weights by name, or a folder")
    parser.add_argument("--before", type=Path, help="folder of an earlier version")
    parser.add_argument("--control", type=int, default=30, help="of the sets, those also given random positions")
    parser.add_argument("--no-record", action="store_true", help="print only")
    arguments = parser.parse_args()

    beads, seconds_drawn = drawn(arguments.n, arguments.seed, arguments.checkpoint)
    rows = [json.loads(line) for line in beads.read_text().splitlines()]
    now = judged(assembled(beads, ROOT))
    before = judged(assembled(beads, arguments.before)) if arguments.before else None
    shifts, volumes = moves(rows, now["results"])
    for label, found in (("now", now), ("before", before)):
        if found:
            print(
                f"{label}: {found['valid']:.1f} % valid, {found['assembled']:.1f} % assembled of {len(rows)}; "
                f"{found['seconds']:.3f} s of one core each, slowest {found['slowest']:.1f}; not valid: {found['why']}"
            )
    moved = (
        f"beads end {np.median(shifts):.2f} Å (median of root mean squares; 90th percentile "
        f"{np.percentile(shifts, 90):.2f}) from where they were drawn, the volume changes by "
        f"{100 * np.median(np.abs(volumes)):.1f} % ({100 * np.percentile(np.abs(volumes), 90):.1f})"
    )
    control = judged(assembled(scattered(beads, arguments.control), ROOT))
    far, _ = moves(rows, control["results"])
    print(
        f"random positions: {control['valid']:.1f} % of {arguments.control} valid, {np.median(far):.2f} Å from "
        f"those the model drew; not valid: {control['why']}"
    )
    print(f"{moved}; {seconds_drawn:.3f} s a set of beads; ways taken: {now['ways']}")
    if arguments.no_record:
        return
    protocol = (
        f"{len(rows)} sets of beads of seed {arguments.seed}, one attempt each; assembled by both versions from the "
        f"same file; {CHECKED}"
    )
    peer = "the assembly of an earlier commit on the same beads" if before else None
    note = f"weights {model_hash(arguments.checkpoint)[:12]}; "
    values = (
        ("D1w", "valid", "% of drawn beads become valid frameworks", f"not valid: {now['why']}; ways: {now['ways']}"),
        ("D6d", "rate", "valid frameworks per second of one core, assembly alone",
         f"{now['seconds']:.3f} s a set, slowest {now['slowest']:.1f}; drawing {seconds_drawn:.3f} s"),
    )  # fmt: skip
    common: dict[str, Any] = {"data_sha256": None, "seed": arguments.seed}
    for id_, name, unit, text in values:
        other = None if before is None else round(before[name], 2)
        text = f"{note}{text}" + (f"; before not valid: {before['why']}" if before and name == "valid" else "")
        record(
            id=id_, value=round(now[name], 2), unit=unit, protocol=protocol, peer=peer, peer_value=other, note=text,
            **common,
        )  # fmt: skip
    record(
        id="D1m",
        value=round(float(np.median(shifts)), 2),
        unit="Å that assembly moves beads, root mean square over a cell, median",
        protocol=f"{protocol}; valid ones; beads of one block paired as they lie nearest",
        note=note + moved,
        **common,
    )
    record(
        id="D1n",
        value=round(control["valid"], 2),
        unit="% of sets with positions drawn at random become valid frameworks",
        protocol=f"the first {arguments.control} sets: blocks, graph and cell as drawn, positions uniform; {CHECKED}",
        note=f"{note}beads end {np.median(far):.2f} Å (median) from those the model drew; not valid: {control['why']}",
        peer="positions of the model",
        peer_value=round(now["valid"], 2),
        **common,
    )


def scattered(beads: Path, count: int) -> Path:
    """The first sets of a file with other positions: uniform in the cell, the same whenever they are drawn."""
    path = beads.with_name(f"{beads.stem}_scattered.jsonl")
    lines = []
    for line in beads.read_text().splitlines()[:count]:
        row = json.loads(line)
        row["frac"] = np.random.default_rng(row["index"]).random((len(row["blocks"]), 3)).tolist()
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")
    return path


def drawn(count: int, seed: int, checkpoint: str) -> tuple[Path, float]:
    """A file of beads, a line each, and processor seconds a set (0 when it was there)."""
    path = ROOT / FOLDER / f"beads_{model_hash(checkpoint)[:10]}_{seed}_{count}.jsonl"
    if path.is_file():
        return path, json.loads(path.with_suffix(".seconds").read_text())
    from gen.sorbents.generation import make_task
    from gen.sorbents.generator import SorbentGenerator
    from gen.sorbents.sampling import SorbentSampling, draw_blocks, draw_geometry

    model, config = SorbentGenerator.from_pretrained(checkpoint).model, SorbentSampling()
    task = make_task(model, None, config)
    start = cpu_seconds()
    sets = [s for s in draw_blocks(model, [(index, 0) for index in range(count)], seed, task, config) if not s.fault]
    geometry = draw_geometry(model, sets, seed, task, config, 32)
    seconds = (cpu_seconds() - start) / count
    lines = []
    for blocks, beads in zip(sets, geometry, strict=True):
        graph = blocks.joined.numpy()
        lines.append(
            json.dumps(
                {
                    "index": blocks.index,
                    "lattice": beads.lattice.tolist(),
                    "frac": beads.frac.tolist(),
                    "blocks": beads.blocks,
                    "connections": beads.connections,
                    "joined": graph.tolist() if (graph >= 0).all() else None,
                }
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".seconds").write_text(json.dumps(seconds))
    return path, seconds


def assembled(beads: Path, code: Path) -> list[dict[str, Any]]:
    """What the version of the code in a folder makes of a file of beads."""
    out = beads.with_name(f"{beads.stem}_out.jsonl")
    environment = {**os.environ, "PYTHONPATH": str(code.resolve())}
    subprocess.run([sys.executable, str(WORKER), str(beads), str(out)], check=True, env=environment, cwd=code)
    return [json.loads(line) for line in out.read_text().splitlines()]


def judged(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares (%), seconds and reasons of what was assembled; valid ones are marked in `results`."""
    reasons: Counter[str] = Counter()
    for result in results:
        failed = () if result["fault"] else failed_tests(structure_of(result))
        result["valid"] = not result["fault"] and not failed
        if not result["valid"]:
            reasons[_kind(result["fault"]) if result["fault"] else failed[0]] += 1
    seconds = np.array([result["seconds"] for result in results])
    ways = Counter(
        note.split(":")[0]
        for result in results
        if result["valid"]
        for note in [*result["notes"], "as drawn"][:1]
        if "mirror" not in note
    )
    valid = sum(result["valid"] for result in results)
    return {
        "results": results,
        "valid": 100.0 * valid / len(results),
        "assembled": 100.0 * sum(not result["fault"] for result in results) / len(results),
        "seconds": float(seconds.mean()),
        "slowest": float(seconds.max()),
        "rate": valid / float(seconds.sum()),
        "why": ", ".join(f"{name} {count}" for name, count in reasons.most_common(8)),
        "ways": ", ".join(f"{name} {count}" for name, count in ways.most_common()),
    }


def moves(rows: list[dict[str, Any]], results: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Of valid frameworks, how far (Å) their beads were moved, and by what share the volume changed.

    Both versions of the beads are compared in the mean of their two cells. Equal blocks are paired as they lie nearest,
    after the shift that brings the first bead of the rarest block over one of its kind, whichever is best.
    """
    shifts, volumes = [], []
    drawn_rows = {row["index"]: row for row in rows}
    for result in results:
        if not result["valid"]:
            continue
        row = drawn_rows[result["index"]]
        first, second = np.array(row["lattice"]), np.array(result["lattice"])
        before, after = np.array(row["frac"]), np.array(result["bead_frac"])
        names, others = np.array(row["blocks"]), np.array(result["blocks"])
        metric = 0.5 * (first @ first.T + second @ second.T)
        kinds = Counter(row["blocks"])
        rarest = min(sorted(kinds), key=kinds.__getitem__)
        anchor = before[names == rarest][0]
        shifts.append(
            min(
                _paired(before - anchor, after - other, names, others, metric) for other in after[others == rarest]
            )
        )  # fmt: skip
        volumes.append(abs(np.linalg.det(second)) / abs(np.linalg.det(first)) - 1)
    return np.array(shifts), np.array(volumes)


def _paired(before: np.ndarray, after: np.ndarray, names: np.ndarray, others: np.ndarray, metric: np.ndarray) -> float:
    """Å, root mean square distance of beads paired within each block, less the shift of all."""
    deltas = []
    for name in sorted(set(names)):
        delta = after[others == name][None] - before[names == name][:, None]
        delta -= np.round(delta)
        pairs = linear_sum_assignment(np.einsum("abi,ij,abj->ab", delta, metric, delta))
        deltas.append(delta[pairs])
    moved = np.concatenate(deltas)
    moved -= moved.mean(axis=0)
    return float(np.sqrt(np.einsum("ai,ij,aj->a", moved, metric, moved).mean()))


def structure_of(result: dict[str, Any]) -> Structure:
    """The framework of a line of the worker's."""
    return Structure(Lattice(result["lattice"]), result["numbers"], result["frac"])


def _kind(fault: str) -> str:
    words = {
        "contact": "blocks touch",
        "open": "open joint",
        "too long": "open joint",
        "runs on": "net of fewer dimensions",
        "suit": "edges do not suit a block",
        "ends": "no consistent links",
        "reach": "no consistent links",
    }
    return next((kind for word, kind in words.items() if word in fault), "other")


if __name__ == "__main__":
    main()
