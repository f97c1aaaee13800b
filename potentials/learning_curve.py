"""What a training looked like: `metrics.csv` as it goes, and pictures of it when matplotlib is installed."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from potentials.atom_graph import AtomGraph, collate
from potentials.files import write_atomic
from potentials.potential import Potential

_FEW = 100  # points of a panel


def write_metrics(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One row an epoch; rewritten whole, so that a resumed run leaves no doubled rows."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in history)
    write_atomic(path, text.getvalue())


def draw_learning_curve(path: Path, history: Sequence[Mapping[str, Any]]) -> Path | None:
    """Validation errors, and training errors of the forces, against minutes.

    Returns:
        `None` without matplotlib or with nothing to draw.
    """
    pyplot = _pyplot()
    if pyplot is None or len(history) < 2:
        return None
    seconds = [row["seconds"] for row in history]
    unit, factor = ("hours", 3600) if seconds[-1] > 7200 else ("minutes", 60) if seconds[-1] > 120 else ("seconds", 1)
    panels = {
        "validation_forces_rmse": "force RMSE, meV/Å",
        "validation_energy_rmse": "energy RMSE, meV/atom",
        "validation_stress_rmse": "stress RMSE, meV/Å$^3$",
    }
    panels = {key: label for key, label in panels.items() if key in history[-1]}
    figure, axes = _panels(pyplot, len(panels))
    for axis, (key, label) in zip(axes, panels.items(), strict=True):
        times = [s / factor for s in seconds]
        axis.loglog(times, [row[key] for row in history], color="#1f6f8b", label="held-out frames")
        trained = [row.get(key.replace("validation", "train"), np.nan) for row in history]
        if np.isfinite(trained).any():  # as the epoch went
            axis.loglog(times, trained, color="0.6", linewidth=1, label="training frames")
        axis.legend(frameon=False)
        axis.set_xlabel(f"{unit} of training")
        axis.set_ylabel(label)
        _plain_numbers(axis.xaxis)
        _plain_numbers(axis.yaxis)
        axis.grid(alpha=0.3, which="both")
    return _save(figure, path)


def draw_parity(path: Path, potential: Potential, frames: Sequence[AtomGraph], batch_size: int = 16) -> Path | None:
    """Predicted against true relative energies (eV/atom), forces (eV/Å) and stresses (eV/Å^3) of held-out frames."""
    pyplot = _pyplot()
    if pyplot is None or not frames:
        return None
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"energy": [], "forces": [], "stress": []}
    with_stress = "stress" in frames[0]
    for start in range(0, len(frames), batch_size):
        batch = collate(frames[start : start + batch_size])
        output = potential(batch, stress=with_stress)  # type: ignore[arg-type]
        sizes = np.diff(batch.ptr.numpy())
        pairs["energy"].append((batch.energy.numpy() / sizes, output["energy"].numpy() / sizes))
        if "forces" in batch:
            pairs["forces"].append((batch.forces.numpy().ravel(), output["forces"].numpy().ravel()))
        if with_stress:
            labelled = batch.stress.isfinite().numpy()  # molecules have none
            pairs["stress"].append((batch.stress.numpy()[labelled], output["stress"].numpy()[labelled]))
    panels = {key: value for key, value in pairs.items() if value}
    figure, axes = _panels(pyplot, len(panels))
    units = {
        "energy": "energy minus mean, eV/atom",
        "forces": "force component, eV/Å",
        "stress": "stress component, eV/Å$^3$",
    }
    for axis, (key, values) in zip(axes, panels.items(), strict=True):
        true, predicted = (np.concatenate(column) for column in zip(*values, strict=True))
        shift = true.mean() if key == "energy" else 0.0
        size = 7 if len(true) < _FEW else 3  # a handful of frames must be seen too
        axis.plot(true - shift, predicted - shift, ".", markersize=size, alpha=0.5, color="#1f6f8b")
        limits = [float(min(true.min(), predicted.min()) - shift), float(max(true.max(), predicted.max()) - shift)]
        axis.plot(limits, limits, color="0.3", linewidth=0.8)
        axis.set_xlabel(f"reference {units[key]}")
        axis.set_ylabel(f"predicted {units[key]}")
        axis.set_title(f"RMSE {1000 * float(np.sqrt(np.mean((true - predicted) ** 2))):.3g} m{units[key].split()[-1]}")
    figure.suptitle(f"{len(frames)} held-out frames", fontsize=10, color="0.4")
    return _save(figure, path)


def draw_element_errors(path: Path, errors: Mapping[str, Mapping[str, float]]) -> Path | None:
    """Force errors by element beside the size of the forces themselves (`label_errors.errors_by_element`)."""
    pyplot = _pyplot()
    if pyplot is None or not errors:
        return None
    symbols = sorted(errors, key=lambda symbol: -errors[symbol]["forces_rmse"])
    figure, (axis,) = _panels(pyplot, 1)
    figure.set_size_inches(max(4.2, 0.28 * len(symbols) + 1.5), 3.8)
    places = np.arange(len(symbols))
    axis.bar(places - 0.2, [errors[s]["forces_rms"] for s in symbols], 0.4, color="0.75", label="RMS of the forces")
    axis.bar(places + 0.2, [errors[s]["forces_rmse"] for s in symbols], 0.4, color="#1f6f8b", label="RMSE")
    axis.set_xticks(places, symbols)
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.5 * max(1e-3, min(errors[s]["forces_rmse"] for s in symbols)))  # no bar is cut to nothing
    axis.set_ylabel("force component, meV/Å")
    _plain_numbers(axis.yaxis)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return _save(figure, path)


def _plain_numbers(axis: Any) -> None:
    """Ticks of a logarithmic axis as 0.2, 5 or 2000, few enough to be read beside each other."""
    from matplotlib import ticker

    axis.set_major_locator(ticker.LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _panels(pyplot: Any, count: int) -> tuple[Any, list[Any]]:
    figure, axes = pyplot.subplots(1, count, figsize=(4.2 * count, 3.8), layout="constrained", squeeze=False)
    return figure, list(axes[0])


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=140)
    pyplot.close(figure)
    return write_atomic(path, picture.getvalue())
