"""Weights & Biases, when asked: metrics, tables, structures and pages of a campaign or a training run.

Off by default, and then wandb is not even imported. Offline runs lie in `<folder>/wandb`, need neither account nor
network, and go up later with `wandb sync`.
"""

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pymatgen.core import Structure

from potentials.errors import InputError

MODES = ("off", "offline", "online")


class Tracker(Protocol):
    """Where the course of a run is written."""

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Numbers at a step; steps never fall."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A table; its columns are the union of the rows' keys, in order of appearance."""

    def structure(self, name: str, structure: Structure) -> None:
        """A structure that can be turned in the browser."""

    def html(self, name: str, path: str | Path) -> None:
        """A self-contained page."""

    def picture(self, name: str, path: str | Path) -> None:
        """An image file."""

    def finish(self) -> None:
        """Close the run; nothing is logged afterwards."""


class NullTracker:
    """Tracks nothing."""

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Nothing."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""

    def structure(self, name: str, structure: Structure) -> None:
        """Nothing."""

    def html(self, name: str, path: str | Path) -> None:
        """Nothing."""

    def picture(self, name: str, path: str | Path) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class WandbTracker:
    """Writes to one wandb run."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._step = 0

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Numbers at a step; steps never fall."""
        self._step = max(self._step, step)
        self._run.log(dict(values), step=step)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A table; its columns are the union of the rows' keys, in order of appearance."""
        import wandb

        columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
        data = [[row.get(str(column)) for column in columns] for row in rows]
        # Without an explicit step each object would take a step of its own, and later numbers would be dropped.
        self._run.log({name: wandb.Table(columns=columns, data=data, allow_mixed_types=True)}, step=self._step)

    def structure(self, name: str, structure: Structure) -> None:
        """A structure that can be turned in the browser."""
        import wandb

        from screening.export import cif_text

        molecule = wandb.Molecule(
            io.StringIO(cif_text(structure)), caption=structure.composition.reduced_formula, file_type="cif"
        )
        self._run.log({name: molecule}, step=self._step)

    def html(self, name: str, path: str | Path) -> None:
        """A self-contained page."""
        import wandb

        self._run.log({name: wandb.Html(Path(path), inject=False)}, step=self._step)

    def picture(self, name: str, path: str | Path) -> None:
        """An image file."""
        import wandb

        self._run.log({name: wandb.Image(str(path))}, step=self._step)

    def finish(self) -> None:
        """Close the run; nothing is logged afterwards."""
        self._run.finish()


def make_tracker(
    mode: str, project: str, name: str, config: Mapping[str, Any] | None = None, folder: str | Path = "."
) -> Tracker:
    """A tracker that writes nowhere, to disk, or to the wandb service.

    Args:
        mode: `off`, `offline` or `online`.
        project: wandb project.
        name: of the run.
        config: the resolved configuration, recorded with the run.
        folder: files go to `<folder>/wandb`.

    Raises:
        InputError: an unknown mode, wandb not installed, no account for `online`, or a folder that cannot be written.
    """
    if mode not in MODES:
        raise InputError(f"wandb mode {mode!r} is unknown: choose {', '.join(MODES)}")
    if mode == "off":
        return NullTracker()
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read on import: no crash reports to third parties
    try:
        import wandb
    except ImportError as error:
        raise InputError(f"--wandb {mode} needs the wandb package: pip install 'sorbus[tracking]'") from error
    folder = Path(folder)
    try:
        (folder / "wandb").mkdir(parents=True, exist_ok=True)  # else wandb writes to the temporary folder instead
    except OSError as error:
        raise InputError(f"cannot write {folder / 'wandb'}: {error.strerror}: choose another folder") from error
    if mode == "online" and not _has_account():
        raise InputError("--wandb online finds no account: run `wandb login` first, or use --wandb offline")
    try:
        run = wandb.init(
            project=project,
            name=name,
            config=dict(config or {}),
            dir=folder,
            mode="offline" if mode == "offline" else "online",
            settings=wandb.Settings(silent=True, quiet=True, console="off", disable_git=True, disable_code=True),
        )
    except wandb.errors.Error as error:
        reason = " ".join(str(error).split())
        raise InputError(f"wandb could not start a run ({reason}): use --wandb offline") from error
    return WandbTracker(run)


def _has_account() -> bool:
    """Whether an API key is configured; asking wandb itself would prompt for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc
    from urllib.parse import urlsplit

    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    return False
