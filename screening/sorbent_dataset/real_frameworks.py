"""Real frameworks from pools of CIF files as beads, and the share of them that decomposes."""

import json
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import spglib
from pymatgen.core import Element, Lattice, Structure

from potentials.cif import parse_cif
from potentials.config import Config
from potentials.errors import InputError
from potentials.files import data_root, write_atomic
from screening.progress import Progress
from screening.sorbent_dataset.decompose import Decomposition, decompose, decomposed_row
from screening.sorbent_dataset.fragments import DecompositionError
from screening.sorbent_dataset.labels import label
from screening.sorbent_dataset.merge import gzipped, summary_path
from screening.sorbent_dataset.settings import LabelSettings

SYMPREC = 0.01  # Å, of the reduction to the primitive cell


class RealSettings(Config):
    """What `sorbus dataset real` reads."""

    sources: tuple[str, ...] = (  # archives or folders of CIF files; relative ones lie in the data folder
        "sorbents/coremof2019/CoRE_v2_ASR.tar.xz",
        "sorbents/coremof_ddec/ddec_xtals_open.tar.xz",
        "sorbents/curated_cofs/cifs.tar.xz",
    )
    sample: int = pydantic.Field(default=150, ge=1)  # frameworks of each source, drawn at random
    seed: int = 0
    max_atoms: int = pydantic.Field(default=400, ge=20)  # in the primitive cell; larger ones are counted, not cut
    max_beads: int = pydantic.Field(default=40, ge=4)  # of a row
    max_minutes: float | None = pydantic.Field(default=None, gt=0)
    labels: LabelSettings = LabelSettings(henry_share=1.0)
    out: str = "runs/dataset/real.jsonl.gz"


def decompose_pools(settings: RealSettings, progress: bool = False) -> dict[str, Any]:
    """Cut a sample of every source into blocks; write the rows and a summary, and return the summary.

    Of every source: how many frameworks were looked at, how many are made of the library's blocks (exactly; but for
    hydrogens; but for hydrogens and the kind of metal), how many of these have a net the library knows, and why the
    others are not.

    Raises:
        InputError: a source that is not there.
    """
    sources = [_located(source) for source in settings.sources]
    limit = time.monotonic() + 60.0 * settings.max_minutes if settings.max_minutes else None
    rows: dict[str, dict[str, Any]] = {}
    report, found = {}, []
    bar = Progress(progress)
    for path in sources:
        counts: Counter[str] = Counter()
        lost = 0
        bar.begin(path.name[:12], settings.sample, 0, 0)
        for done, (name, text) in enumerate(sampled_files(path, settings.sample, settings.seed), start=1):
            if limit and time.monotonic() > limit:
                break
            outcome = _outcome(text, settings)
            if isinstance(outcome, str):
                counts[outcome] += 1
                lost += 1
            else:
                structure, result = outcome
                known = not result.net.startswith("net-")
                counts[result.level] += 1
                counts["known net"] += known
                found.append({"name": name, "level": result.level, "net": result.net, "key": result.key})
                if result.level == "exact" and known and len(result.beads.blocks) <= settings.max_beads:
                    rows.setdefault(result.key, _row(structure, result, settings))
            bar.update(done, lost, 1)
        report[path.name] = _summary(counts)
        bar.end(json.dumps(report[path.name]["decomposed"]))
    ordered = [rows[key] for key in sorted(rows)]
    lines = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in ordered).encode()
    out = Path(settings.out)
    write_atomic(out, gzipped(lines) if out.suffix == ".gz" else lines)
    summary = {"rows": len(ordered), "sources": report, "found": found, "settings": settings.model_dump(mode="json")}
    write_atomic(summary_path(out), json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


def sampled_files(path: Path, sample: int, seed: int) -> Iterator[tuple[str, str]]:
    """(name, text) of CIF files drawn at random from a folder or an archive, in the order of their names."""
    if path.is_dir():
        for file in _chosen(sorted(path.rglob("*.cif")), sample, seed):
            yield file.name, file.read_text(encoding="utf-8", errors="replace")
        return
    try:
        with tarfile.open(path) as archive:
            members = sorted((m for m in archive if m.isfile() and m.name.endswith(".cif")), key=lambda m: m.name)
            chosen = {member.name for member in _chosen(members, sample, seed)}
            # in the order they lie in the file: a compressed archive cannot be wound back
            for member in sorted((m for m in members if m.name in chosen), key=lambda m: m.offset):
                stream = archive.extractfile(member)
                assert stream is not None
                yield Path(member.name).name, stream.read().decode(errors="replace")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(f"cannot read the archive {path}: {error}: give a .tar, .tar.gz or .tar.xz of CIFs") from None


def primitive(structure: Structure) -> Structure:
    """The primitive cell, atoms left where they are; the structure itself where spglib finds none."""
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), list(structure.atomic_numbers))
    try:
        reduced = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=SYMPREC)
    except spglib.SpglibError:
        reduced = None
    if reduced is None or len(reduced[2]) >= len(structure):
        return structure
    lattice, frac, numbers = reduced
    symbols = [Element.from_Z(int(number)) for number in numbers]
    return Structure(Lattice(lattice), symbols, frac)


def _chosen(names: list[Any], sample: int, seed: int) -> list[Any]:
    picked = np.random.default_rng(seed).permutation(len(names))[:sample]
    return [names[k] for k in sorted(picked.tolist())]


def _outcome(text: str, settings: RealSettings) -> tuple[Structure, Decomposition] | str:
    """A decomposition, or in a few words why there is none."""
    try:
        read = parse_cif(text)[0][1]
        if isinstance(read, str):
            return "not a sound CIF"
        structure = primitive(read)
        if len(structure) > settings.max_atoms:
            return f"more than {settings.max_atoms} atoms"
        return structure, decompose(structure)
    except InputError:
        return "not a sound CIF"
    except DecompositionError as error:
        return str(error)


def _row(structure: Structure, found: Decomposition, settings: RealSettings) -> dict[str, Any]:
    labels, _ = label(structure, found.key, settings.labels, settings.seed)
    return decomposed_row(found, labels).to_json()


def _summary(counts: Counter[str]) -> dict[str, Any]:
    levels = {level: counts.pop(level, 0) for level in ("exact", "heavy", "shape")}
    known = counts.pop("known net", 0)
    looked = sum(levels.values()) + counts.total()
    missing = sum(number for reason, number in counts.items() if reason.startswith("not in the library"))
    other = {reason: number for reason, number in counts.most_common() if not reason.startswith("not in the library")}
    return {
        "looked_at": looked,
        "decomposed": levels,
        "fraction_exact": round(levels["exact"] / max(looked, 1), 4),
        "fraction_but_for_hydrogen": round((levels["exact"] + levels["heavy"]) / max(looked, 1), 4),
        "fraction_any": round(sum(levels.values()) / max(looked, 1), 4),
        "net_known": known,
        "reasons": {"a piece the library does not have": missing, **other},
    }


def _located(source: str) -> Path:
    path = Path(source)
    path = path if path.is_absolute() or path.exists() else data_root() / source
    if not path.exists():
        raise InputError(f"no pool of CIF files at {path}: set SORBUS_DATA, or name archives with sources=[…]")
    return path
