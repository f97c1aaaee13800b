"""Training cells of silica: every net relaxed as it is and, many times over, from a shaken cell or supercell.

Of a relaxed cell its silicons are kept, in the smallest cell that repeats them.

Nets come from the RCSR (library of PORMAKE) and, where the public set is at hand, the IZA atlas. An ideal net is the
most symmetric embedding; many have straight bridges or flat nodes that silica avoids by tilting. Copies start shaken,
strained, often in a supercell, and are drawn towards different angles, so that they settle into different tilts.
"""

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field

from gen.crystals.prepared import PreparedCell, from_json, to_json, write_prepared
from gen.crystals.symmetry import niggli_cell, primitive_cell, space_group
from gen.sorbents.beads import held_out
from gen.zeolites.atlas import read_atlas
from gen.zeolites.bonding import bonded_framework
from gen.zeolites.framework import SILICON, Framework, supercell
from gen.zeolites.geometry import Relaxed, relax_geometry
from gen.zeolites.nets import four_connected_nets, silica_of_net
from gen.zeolites.topology import net_key, signature
from potentials.bars import progress_bar
from potentials.config import Config
from potentials.errors import GeometryError, InputError
from potentials.files import write_atomic

logger = logging.getLogger(__name__)

SYMPREC = 0.1  # Å, at which the space group of a relaxed cell is named
HELD_VALIDATION = 20  # one net in so many is for validation


class ZeoliteDataConfig(Config):
    """`sorbus dataset zeolites`."""

    out: str = "runs/dataset/zeolites.jsonl.gz"
    atlas: bool = True  # also the framework types of the IZA atlas, if the public set is at hand
    max_silicon: int = Field(default=16, ge=1)  # in the cell, supercells included
    copies: int = Field(default=24, ge=1)  # cells a net, of which a sixth keep its symmetry
    supercell_share: float = Field(default=0.4, ge=0, le=1)  # of the shaken copies, where one fits
    shake: float = Field(default=0.3, ge=0)  # Å, of every atom and axis before relaxation
    strain: float = Field(default=0.04, ge=0)  # of every component of the cell
    angles: tuple[float, float] = (138.0, 154.0)  # degrees, Si-O-Si a copy is drawn towards
    max_strain_energy: float = Field(default=0.5, gt=0)  # eV per silicon that the least squares leave
    density: tuple[float, float] = (8.0, 32.0)  # silicons per 1000 Å^3
    chunk: int = Field(default=12, ge=1)  # nets relaxed together
    seed: int = 1


@dataclasses.dataclass(frozen=True)
class Net:
    """A net to train on."""

    name: str
    framework: Framework
    key: str


def build_zeolite_table(config: ZeoliteDataConfig, *, progress: bool = False) -> dict[str, int]:
    """Relax all nets and their copies, write the table `config.out`; returns what was kept and what was not.

    Raises:
        InputError: the net library is missing, or the table cannot be written.
    """
    counts: dict[str, int] = {}
    nets = [net for net in _nets(config, counts) if not held_out(net.name)]
    counts["held out"] = counts["distinct nets"] - len(nets)
    part = Path(f"{config.out}.part")
    done = _read_part(part, config)
    waiting = [net for net in nets if net.key not in done]
    for start in progress_bar(range(0, len(waiting), config.chunk), desc="zeolites", unit="chunk", progress=progress):
        chunk = waiting[start : start + config.chunk]
        copies = [copy for net in chunk for copy in _copies(net, config)]
        relaxed = relax_geometry([copy.framework for copy in copies], angles=[copy.angle for copy in copies])
        for net in chunk:
            done[net.key] = [
                _cell(net, copy.number, result)
                for copy, result in zip(copies, relaxed, strict=True)
                if copy.net is net and fault(result, config) is None
            ]
            _append_part(part, net.key, done[net.key])
    cells = [silicons(cell) for net in nets for cell in done[net.key]]
    used = [net for net in nets if done[net.key]]
    if not cells:
        raise InputError("no net could be relaxed as silica: widen density or max_strain_energy")
    write_prepared(config.out, cells)
    trained = {net.key: net.name for net in used}
    write_atomic(nets_path(config.out), json.dumps({"nets": trained}, indent=1))
    part.unlink(missing_ok=True)
    counts |= {"nets": len(used), "cells": len(cells), "validation": sum(cell.split == "validation" for cell in cells)}
    logger.info("%d cells of %d nets in %s", len(cells), len(used), config.out)
    return counts


def silicons(cell: PreparedCell) -> PreparedCell:
    """The silicons of a cell of silica in the primitive cell of their own symmetry within `SYMPREC` Å."""
    kept = cell.numbers == SILICON
    raw = (cell.lattice, cell.frac[kept], cell.numbers[kept])
    smallest = primitive_cell(raw, SYMPREC) or raw
    lattice, frac, numbers = niggli_cell(smallest) or smallest
    return PreparedCell(cell.name, cell.split, numbers, frac, lattice, space_group(smallest, SYMPREC) or 1)


def nets_path(table: str | Path) -> Path:
    """Beside a table: the keys and names of the nets in it, so that what is new can be told."""
    return Path(str(table).removesuffix(".jsonl.gz") + ".nets.json")


def _read_part(part: Path, config: ZeoliteDataConfig) -> dict[str, list[PreparedCell]]:
    """What an interrupted run with the same settings has relaxed already; starts the file anew otherwise."""
    head = json.dumps(config.model_dump(mode="json", exclude={"out", "chunk", "atlas"}), sort_keys=True)
    done: dict[str, list[PreparedCell]] = {}
    if part.is_file():
        first, *lines = part.read_text().splitlines()
        if first == head:
            for line in lines:
                try:
                    value = json.loads(line)
                except ValueError:  # the last line of a run that was killed while writing
                    break
                done[value["net"]] = [from_json(cell, str(part)) for cell in value["cells"]]
            return done
    write_atomic(part, head + "\n")
    return done


def _append_part(part: Path, key: str, cells: list[PreparedCell]) -> None:
    with open(part, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"net": key, "cells": [to_json(cell) for cell in cells]}) + "\n")


def fault(result: Relaxed, config: ZeoliteDataConfig) -> str | None:
    """Why a relaxed copy is no use, or None: strained, of no known density, or bonded otherwise than its net."""
    if not result.strain <= config.max_strain_energy:
        return f"strained: {result.strain:.2f} eV per silicon, above {config.max_strain_energy}"
    low, high = config.density
    if not low <= result.framework.density <= high:
        return f"density {result.framework.density:.1f} per 1000 Å^3 is outside {low:g} to {high:g}"
    folded = result.framework.folded()
    try:
        seen = bonded_framework(folded.to_structure())
    except GeometryError as error:
        return str(error)
    return None if seen.same_bonds(folded) else "its distances show another net"


@dataclasses.dataclass(frozen=True)
class _Copy:
    net: Net
    number: int
    framework: Framework
    angle: float  # degrees


def _nets(config: ZeoliteDataConfig, counts: dict[str, int]) -> Iterator[Net]:
    """Distinct nets that fit, by key; the RCSR's name is preferred."""
    seen: set[str] = set()
    sources: list[tuple[str, Framework]] = []
    for name in four_connected_nets():
        try:
            sources.append((name, silica_of_net(name, config.max_silicon)))
        except InputError:
            counts["RCSR nets too large"] = counts.get("RCSR nets too large", 0) + 1
    counts["RCSR"] = len(sources)
    if config.atlas:
        try:
            found = [(code, f) for code, f in read_atlas(config.max_silicon) if isinstance(f, Framework)]
        except InputError as error:
            logger.warning("without the IZA atlas: %s", error)
            found = []
        counts["IZA atlas"] = len(found)
        sources += found
    for name, framework in sources:
        if framework.n_silicon > config.max_silicon:
            continue
        key = net_key(signature(*framework.edges(), framework.n_silicon))
        if key not in seen:
            seen.add(key)
            counts["distinct nets"] = len(seen)
            yield Net(name, framework, key)


def _copies(net: Net, config: ZeoliteDataConfig) -> Iterator[_Copy]:
    """The net itself at several angles, then shaken copies; a function of (seed, net) alone."""
    digits = int(net.key, 16)
    random = np.random.default_rng([config.seed, digits & 0xFFFFFFFF, digits >> 32])
    symmetric = max(1, config.copies // 6)
    for number in range(config.copies):
        angle = random.uniform(*config.angles)
        if number < symmetric:
            yield _Copy(net, number, net.framework, angle)
            continue
        framework = net.framework
        room = config.max_silicon // framework.n_silicon
        if room >= 2 and random.random() < config.supercell_share:
            framework = supercell(framework, _random_supercell(int(random.integers(2, min(room, 4) + 1)), random))
        yield _Copy(net, number, shaken(framework, config.shake, config.strain, random), angle)


def shaken(framework: Framework, shake: float, strain: float, random: np.random.Generator) -> Framework:
    """A copy with normal displacements of `shake` Å an axis and a cell strained by `strain`."""
    lattice = framework.lattice @ (np.eye(3) + strain * random.standard_normal((3, 3)))
    moved = shake * random.standard_normal(framework.frac.shape)
    return dataclasses.replace(framework, lattice=lattice, frac=framework.frac + moved @ np.linalg.inv(lattice))


def _random_supercell(size: int, random: np.random.Generator) -> np.ndarray:
    """A random matrix in Hermite normal form of determinant `size` [3, 3]."""
    diagonals = [
        (a, b, size // (a * b))
        for a in range(1, size + 1)
        for b in range(1, size + 1)
        if size % a == 0 and (size // a) % b == 0
    ]
    matrix = np.diag(diagonals[int(random.integers(len(diagonals)))])
    for row, column in ((0, 1), (0, 2), (1, 2)):
        matrix[row, column] = int(random.integers(matrix[column, column]))
    return matrix


def _cell(net: Net, number: int, result: Relaxed) -> PreparedCell:
    framework = result.framework
    raw = (framework.lattice, framework.frac - np.floor(framework.frac), framework.numbers)
    lattice, frac, numbers = niggli_cell(raw) or raw
    split = "validation" if int(net.key, 16) % HELD_VALIDATION == 0 else "train"
    group = space_group((lattice, frac, numbers), SYMPREC) or 1
    return PreparedCell(f"{net.name}/{number}", split, numbers, frac, lattice, group)
