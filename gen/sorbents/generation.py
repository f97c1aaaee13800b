"""From nothing to frameworks: blocks, beads, assembly, what failed and why, drawing again, provenance."""

import collections
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Structure

from gen.crystals.gate import cell_heights
from gen.sorbents.bead_assembly import AssemblyError, BeadFramework, assemble_beads
from gen.sorbents.bead_model import BeadModel
from gen.sorbents.beads import BeadRow, Beads, Links
from gen.sorbents.block_rules import Library
from gen.sorbents.catalog import load_catalog
from gen.sorbents.conditions import parse_conditions
from gen.sorbents.inpainting import MIN_HEIGHT, Fixed, Start, contains, fixed_part, start_part
from gen.sorbents.link_misfit import link_misfit
from gen.sorbents.sampling import BeadTask, BlockSet, SorbentSampling, draw_blocks, draw_geometry
from potentials.bars import progress_bar
from potentials.errors import InputError

logger = logging.getLogger(__name__)

LINK_WEIGHT = 4.0  # spreads of a property that a misfit of links of 1 counts for
NEAR = 0.15  # spreads of a property from what is asked, with which an assembled framework will do
MAX_ATTEMPTS = 5  # when frameworks that cannot be assembled are drawn again


@dataclass(frozen=True)
class GeneratedSorbent:
    """The outcome for one index."""

    index: int
    structure: Structure | None  # None when no attempt could be assembled
    raw: Beads | None  # as the model made them; None when no set of blocks was good
    beads: Beads | None  # where the blocks ended up when they were assembled
    links: Links | None  # which of those beads are joined
    net: str | None  # symbol of the net, or how an unnamed one is told from others
    key: str | None  # net and blocks in one line
    fault: str | None  # why there is no structure, its first word naming the kind
    attempts: int  # whole attempts
    draws: int  # sets of blocks drawn, over all attempts


def generate_sorbents(
    model: BeadModel,
    indices: Sequence[int],
    seed: int,
    conditions: Mapping[str, Any] | None = None,
    config: SorbentSampling | None = None,
    *,
    batch_size: int = 64,
    resample_invalid: bool = True,
    progress: bool = False,
    fixed: Fixed | None = None,
    start: Start | None = None,
) -> list[GeneratedSorbent]:
    """Generate one framework for each index, in the order given.

    Framework i depends on (seed, i), the conditions and the settings alone, never on the batch it was in (up to
    rounding). Beads that cannot be assembled, whose blocks then touch, or that came out with another net than the one
    held, are drawn again with `resample_invalid` (at most `MAX_ATTEMPTS` times); without it the outcome of the one
    attempt is returned, so that the share of frameworks that come out right can be measured. Sets of blocks that cannot
    work are drawn again before they get a geometry, `config.draws` times in an attempt.

    Args:
        fixed: part of a framework to keep, see `gen.sorbents.inpainting`.
        start: a framework to start from instead of noise.

    Raises:
        InputError: conditions this model cannot meet.
    """
    config = config or SorbentSampling()
    task = make_task(model, conditions, config, fixed, start)
    record = {
        "generator": "sorbents",
        "model_sha256": model.sha256,
        "seed": seed,
        "conditions": dict(conditions or {}),
        **({"surrogate_sha256": model.surrogate.sha256} if model.surrogate and task.conditions.values else {}),
        "sampling": config.model_dump(mode="json"),
    }
    done: dict[int, GeneratedSorbent] = {}
    spent: collections.Counter[int] = collections.Counter()  # sets drawn for each index
    faults: collections.Counter[str] = collections.Counter()
    waiting = list(indices)
    with progress_bar(total=len(waiting), desc="generate", unit="framework", progress=progress) as bar:
        for attempt in range(MAX_ATTEMPTS if resample_invalid else 1):
            again = []
            for options in _beads(model, waiting, attempt, seed, task, config, batch_size):
                blocks = options[0][0]
                spent[blocks.index] += blocks.draws
                result = _nearest(options, model, task, config, record, spent[blocks.index])
                done[blocks.index] = result
                if result.fault is not None:
                    faults[result.fault.split(":")[0]] += 1
                    if resample_invalid and attempt + 1 < MAX_ATTEMPTS:
                        again.append(blocks.index)
                        continue
                bar.update()
            waiting = again
            if not waiting:
                break
    if faults:
        listed = ", ".join(f"{count} {name}" for name, count in faults.most_common())
        logger.info("%d attempts failed for %d frameworks (%s)", faults.total(), len(indices), listed)
    return [done[index] for index in indices]


def make_task(
    model: BeadModel,
    conditions: Mapping[str, Any] | None,
    config: SorbentSampling,
    fixed: Fixed | None = None,
    start: Start | None = None,
) -> BeadTask:
    """Check everything asked for, together.

    Raises:
        InputError: conditions this model cannot meet, or that contradict each other or the given framework.
    """
    catalog = load_catalog()
    library = Library.of(model.vocabulary, model.connections, catalog)
    given = dict(conditions or {})
    if fixed is not None and start is not None:
        raise InputError("fixed and start contradict: keep a part, or start from a whole framework")
    if config.resample > 1 and fixed is None and given.get("net") is None:
        raise InputError(f"resample = {config.resample} goes back and forth around a fixed part: give one, or drop it")
    if fixed is None and start is None:
        return BeadTask(parse_conditions(given, library, catalog, model.role_sets, model.properties), library)
    for key in ("net", "num_beads"):
        if given.get(key) is not None and (key == "net" or fixed is None or fixed.sites is None):
            raise InputError(f"{key} follows from the framework that is given: drop one of the two")
    part, roles = start_part(start, model) if start is not None else fixed_part(fixed, model)  # type: ignore[arg-type]
    atoms = library.atoms[[token for token in part.tokens.tolist() if token >= 0]].sum()
    given.setdefault("max_atoms", int(max(atoms, 150)))
    whole = fixed is None or fixed.sites is None
    sets = {roles: 1} if whole else {s: n for s, n in model.role_sets.items() if contains(s, roles)}
    if not sets:
        raise InputError(
            f"no framework the model was trained on has the {len(roles)} fixed beads among others: keep fewer"
        )
    asked = parse_conditions(given, library, catalog, sets, model.properties)
    hidden = start.block_noise if start is not None else 0.0
    for token in part.tokens.tolist():
        if token >= 0 and not asked.allowed[token] and not hidden:
            raise InputError(f"the given framework holds {library.names[token]}, which a condition excludes: drop one")
    if start is not None:
        return BeadTask(asked, library, start=part, start_time=start.noise, block_noise=start.block_noise, roles=roles)
    return BeadTask(asked, library, known=part, roles=roles)


def bead_row(result: GeneratedSorbent) -> BeadRow:
    """A result as a row on disk, from which it can be kept in part, or started from.

    Raises:
        InputError: there is no framework.
    """
    if result.beads is None or result.links is None:
        raise InputError(f"framework {result.index} was not built ({result.fault}): nothing to write")
    return BeadRow(result.key or "", result.net or "", "generated", result.beads, result.links)


_Option = tuple[BlockSet, Beads | None]  # beads where the blocks are good


def _beads(
    model: BeadModel,
    indices: Sequence[int],
    attempt: int,
    seed: int,
    task: BeadTask,
    config: SorbentSampling,
    batch_size: int,
) -> list[list[_Option]]:
    """One attempt at each index: sets of beads, the most promising first; `draws` of each are those of all."""
    foretold = _is_foretold(model, task)
    several = config.candidates if foretold else config.free_candidates if _draws_graphs(model, task, config) else 1
    keys = [(index, attempt * several + k) for index in indices for k in range(several)]
    sets = draw_blocks(model, keys, seed, task, config, batch_size)
    good = [blocks for blocks in sets if blocks.fault is None]
    drawn = zip(good, draw_geometry(model, good, seed, task, config, batch_size), strict=True)
    beads = {(blocks.index, blocks.attempt): each for blocks, each in drawn}
    found = []
    for first in range(0, len(sets), several):
        mine = [(blocks, beads.get((blocks.index, blocks.attempt))) for blocks in sets[first : first + several]]
        draws = sum(each.draws for each, _ in mine)
        found.append(
            [
                (dataclasses.replace(blocks, attempt=attempt, draws=draws), kept)
                for blocks, kept in _by_promise(mine, model, task)
            ]
        )
    return found


def _by_promise(options: list[_Option], model: BeadModel, task: BeadTask) -> list[_Option]:
    """Sets of beads that suit their links best, and whose properties are foretold nearest to those asked for, first."""
    sound = [(blocks, beads) for blocks, beads in options if beads is not None]
    if len(sound) < 2:
        return [*sound] or options[:1]
    misfit = np.zeros(len(sound))
    for place, (blocks, beads) in enumerate(sound):
        graph = _graph(blocks)
        misfit[place] = 0.0 if graph is None else LINK_WEIGHT * link_misfit(beads, graph)
    if model.surrogate is not None and task.conditions.values:
        misfit += model.surrogate.misfit([beads for _, beads in sound], task.conditions.values)
    return [sound[place] for place in np.argsort(misfit, kind="stable")]


def _nearest(
    options: list[_Option],
    model: BeadModel,
    task: BeadTask,
    config: SorbentSampling,
    record: Mapping[str, Any],
    draws: int,
) -> GeneratedSorbent:
    """The first option that can be assembled; where values are asked for, of several the one that promises them then.

    Assembly moves beads and changes the volume of the cell, by a fifth and more where it is large, and void fractions
    with it: what is foretold of beads as they were drawn is off by ten times what it is off by for a framework's.
    """
    foretold = _is_foretold(model, task)
    best, off = None, np.inf
    for blocks, beads in options[: config.assembled]:
        result = _finish(blocks, beads, record, draws)
        if result.fault is not None or result.beads is None:
            best = best or result
            continue
        if not foretold or model.surrogate is None:
            return result
        misfit = float(model.surrogate.misfit([result.beads], task.conditions.values)[0])
        if best is None or best.fault is not None or misfit < off:
            best, off = result, misfit
        if off <= NEAR:
            break
    assert best is not None
    return best


def _is_foretold(model: BeadModel, task: BeadTask) -> bool:
    """Whether a value is asked for that the surrogate may know."""
    return model.surrogate is not None and bool(task.conditions.values)


def _draws_graphs(model: BeadModel, task: BeadTask, config: SorbentSampling) -> bool:
    """Whether there will be links to judge positions by."""
    return bool(task.conditions.nets) or (config.draw_net and bool(model.graphs) and not task.roles)


def _finish(blocks: BlockSet, beads: Beads | None, record: Mapping[str, Any], draws: int) -> GeneratedSorbent:
    """Assemble beads, or say why they cannot be."""
    result = GeneratedSorbent(
        blocks.index, None, beads, None, None, None, None, blocks.fault, blocks.attempt + 1, draws
    )
    if beads is None:
        return result
    if fault := _bead_fault(beads):
        return dataclasses.replace(result, fault=fault)
    try:
        built = assemble_beads(beads, _graph(blocks))
    except AssemblyError as error:
        return dataclasses.replace(result, fault=f"assembly: {error}")
    result = dataclasses.replace(result, beads=built.beads, links=built.links, net=built.net, key=built.key)
    if blocks.net is not None and built.net != blocks.net.name:
        return dataclasses.replace(result, fault=f"net: {built.net} came out where {blocks.net.name} was held")
    if built.fault is not None:
        return dataclasses.replace(result, fault=built.fault)
    structure = Structure.from_sites(list(built.structure))
    structure.properties |= {**record, **_made_of(result, built)}
    return dataclasses.replace(result, structure=structure)


def _graph(blocks: BlockSet) -> np.ndarray | None:
    """Which beads are linked, where that was drawn."""
    return None if bool((blocks.joined < 0).any()) else blocks.joined.numpy()


def _made_of(result: GeneratedSorbent, built: BeadFramework) -> dict[str, Any]:
    """What a framework was made of."""
    assert result.beads is not None
    catalog = load_catalog()
    counts = collections.Counter(result.beads.blocks)
    metals = sorted({m for name in counts if name in catalog.blocks for m in catalog.blocks[name].metals})
    return {
        "index": result.index,
        "attempts": result.attempts,
        "draws": result.draws,
        "net": result.net,
        "recipe": result.key,
        "blocks": dict(sorted(counts.items())),
        "metals": metals,
        "gap_angstrom": round(built.gap, 3),
        "notes": list(built.notes),
    }


def _bead_fault(beads: Beads) -> str | None:
    if not (np.isfinite(beads.lattice).all() and np.isfinite(beads.frac).all()):
        return "non-finite: a coordinate or lattice vector is not a number"
    height = float(cell_heights(beads.lattice).min())
    if height < MIN_HEIGHT:
        return f"flat: cell height {height:.2f} Å is below {MIN_HEIGHT} Å"
    return None
