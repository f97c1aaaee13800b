"""New silica frameworks: drawn by the crystal diffusion model, then bonded and relaxed.

A size and a space group are drawn as the training cells have them, the crystal core generates SiO2 under both, and the
raw cell becomes a framework: it settles under a pair potential that knows the sizes of the atoms, each oxygen is
assigned two silicons and each silicon four oxygens at the least sum of squared distances, and distance least squares
moves atoms and cell to where those bonds want them. What does not come out as a regular framework is refused, with a
reason.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import parse_conditions
from gen.crystals.generation import generate_crystals
from gen.crystals.sampling import SamplingConfig
from gen.evaluation.reference import Fingerprint, Reference
from gen.zeolites.bonding import assigned_framework, bonded_framework
from gen.zeolites.framework import OXYGEN, SILICON, Framework
from gen.zeolites.geometry import Relaxed, relax_geometry
from gen.zeolites.settling import settle
from gen.zeolites.topology import double_edges, parts_and_dimension
from potentials.errors import GeometryError, InputError

COMPOSITION = "SiO2"
TRIES = 12  # space groups tried before a sample goes without
MAX_STRAIN = 0.5  # eV per silicon that the least squares may leave; quartz has 0.01, coesite's net 0.3
SHAKE = 0.3  # Å, of a sample that found no framework, once
SYMMETRIC = 0.7  # share of samples generated in a space group


@dataclass(frozen=True)
class SilicaSample:
    """One generated framework, or why there is none."""

    index: int
    raw: Structure | None  # as the diffusion model made it
    raw_fault: str | None  # what is wrong with its bonds as they are; None when every Si has four O, every O two Si
    space_group: int | None  # asked for
    framework: Framework | None  # bonded and relaxed
    fault: str | None  # why there is no framework
    misfit: float | None = None  # Å, root mean square of the bonds about 1.61 Å
    strain: float | None = None  # eV per silicon left by the least squares
    moved: float | None = None  # Å, root mean square displacement from the raw sample, beyond what the cell did
    attempts: int = 1  # drawn until there was a framework


def generate_silica(
    model: CrystalModel,
    reference: Reference,
    indices: Sequence[int],
    seed: int,
    conditions: Mapping[str, Any] | None = None,
    config: SamplingConfig | None = None,
    *,
    symmetric: float = SYMMETRIC,
    attempts: int = 1,
    batch_size: int = 32,
    progress: bool = False,
) -> list[SilicaSample]:
    """Generate one framework for each index, in order.

    Sample i depends on (seed, i), the conditions and the settings alone.

    Args:
        reference: fingerprints of the training cells, from which sizes and space groups are drawn.
        conditions: `num_atoms` or `space_group` where they are wanted; the composition is SiO2.
        config: sampler settings.
        symmetric: share of samples that are generated in a space group, exactly.
        attempts: samples without a framework are drawn again until so many were drawn; the last one's reason is kept.

    Raises:
        InputError: conditions the model cannot meet.
    """
    done: dict[int, SilicaSample] = {}
    waiting = list(indices)
    for attempt in range(attempts):
        drawn = _generated(
            model, reference, waiting, _seed_of(seed, attempt), conditions, config, symmetric, batch_size, progress
        )
        done |= {sample.index: dataclasses.replace(sample, attempts=attempt + 1) for sample in drawn}
        waiting = [sample.index for sample in drawn if sample.framework is None]
        if not waiting:
            break
    return [done[index] for index in indices]


def _seed_of(seed: int, attempt: int) -> int:
    """The seed itself, and others for later attempts."""
    if attempt == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {attempt}".encode()).digest()[:6], "big")


def _generated(
    model: CrystalModel,
    reference: Reference,
    indices: Sequence[int],
    seed: int,
    conditions: Mapping[str, Any] | None,
    config: SamplingConfig | None,
    symmetric: float,
    batch_size: int,
    progress: bool,
) -> list[SilicaSample]:
    """One attempt at each index."""
    given = {**(conditions or {}), "composition": COMPOSITION}
    asked = {index: _draw(model, reference, seed, index, given, symmetric) for index in indices}
    raw = _raw(model, asked, seed, config, batch_size, resample_invalid=False, progress=progress)
    # orbits that collapse on each other do so again and again: such a sample goes on without its space group
    free = {
        index: {key: value for key, value in asked[index].items() if key != "space_group" or key in given}
        for index, structure in raw.items()
        if structure is None or structure.properties.get("fault")
    }
    raw |= _raw(model, free, seed, config, batch_size, resample_invalid=True, progress=progress)
    asked |= free
    return bonded_samples([(index, raw[index], asked[index].get("space_group")) for index in indices])


def _raw(
    model: CrystalModel,
    asked: Mapping[int, Mapping[str, Any]],
    seed: int,
    config: SamplingConfig | None,
    batch_size: int,
    *,
    resample_invalid: bool,
    progress: bool,
) -> dict[int, Structure | None]:
    """Structures by index, those of equal conditions generated together."""
    groups: dict[tuple[tuple[str, str], ...], list[int]] = collections.defaultdict(list)
    for index, wanted in asked.items():
        groups[tuple(sorted((key, str(value)) for key, value in wanted.items()))].append(index)
    made: dict[int, Structure | None] = {}
    for members in groups.values():
        for result in generate_crystals(
            model,
            members,
            seed,
            asked[members[0]],
            config,
            batch_size=batch_size,
            resample_invalid=resample_invalid,
            progress=progress,
        ):
            made[result.index] = result.structure
    return made


def bonded_samples(raw: Sequence[tuple[int, Structure | None, int | None]]) -> list[SilicaSample]:
    """Settle raw structures, assign bonds, relax, test; (index, structure, space group asked for) of each.

    What comes out without a net, or strained, is shaken once by `SHAKE` Å and settled again, since a symmetric sample
    may sit on a saddle; the noise is a function of the index.
    """
    given = {index: structure for index, structure, _ in raw if structure is not None}
    faults = {index: "the generator made no structure" for index, structure, _ in raw if structure is None}
    results = dict.fromkeys(faults, (None, None)) | _frameworks(given)
    again = {index: _shaken(given[index], index) for index in given if results[index][1] is not None}
    for index, outcome in _frameworks(again).items():
        if outcome[1] is None:
            results[index] = outcome
    samples = []
    for index, structure, group in raw:
        relaxed, fault = results[index]
        fault = faults.get(index, fault)
        raw_fault = _raw_fault(structure)
        if relaxed is None:
            samples.append(SilicaSample(index, structure, raw_fault, group, None, fault))
            continue
        framework = None if fault else relaxed.framework.folded()
        moved = _displacement(structure, relaxed.framework)
        samples.append(
            SilicaSample(index, structure, raw_fault, group, framework, fault, relaxed.misfit, relaxed.strain, moved)
        )
    return samples


def _frameworks(structures: Mapping[int, Structure]) -> dict[int, tuple[Relaxed | None, str | None]]:
    """By index, what settling, bonding and relaxing give, and what is wrong with it."""
    outcome: dict[int, tuple[Relaxed | None, str | None]] = {}
    assigned: dict[int, Framework] = {}
    for index, settled in zip(structures, settle(list(structures.values())), strict=True):
        try:
            framework = assigned_framework(settled)
        except GeometryError as error:
            outcome[index] = (None, str(error))
            continue
        if fault := net_fault(framework):
            outcome[index] = (None, fault)
        else:
            assigned[index] = framework
    for index, result in zip(assigned, relax_geometry(list(assigned.values())), strict=True):
        outcome[index] = (result, geometry_fault(result))
    return outcome


def _shaken(structure: Structure, index: int) -> Structure:
    noise = SHAKE * np.random.default_rng([index, 1]).standard_normal((len(structure), 3))
    frac = structure.frac_coords + noise @ np.linalg.inv(structure.lattice.matrix)
    return Structure(structure.lattice, structure.species, frac, properties=structure.properties)


def net_fault(framework: Framework) -> str | None:
    """Why a net is no zeolite's: tetrahedra that share an edge, more than one part, or no three dimensions."""
    pairs, cells = framework.edges()
    if doubled := double_edges(pairs, cells):
        return f"{doubled} pairs of tetrahedra share an edge"
    loops = (pairs[:, 0] == pairs[:, 1]) & (cells == 0).all(1)
    if loops.any():
        return "an oxygen is bonded twice to one silicon"
    parts, dimension = parts_and_dimension(pairs, cells, framework.n_silicon)
    if dimension < 3:
        return f"its bonds run on in {dimension} dimensions, below 3"
    if parts > 1:
        return f"it falls into {parts} frameworks that no bond joins"
    return None


def geometry_fault(result: Relaxed) -> str | None:
    """Why a relaxed framework is no silica: strained, or its distances show other bonds than it was given."""
    if not result.strain <= MAX_STRAIN:
        return f"strained: {result.strain:.2f} eV per silicon, above {MAX_STRAIN}"
    folded = result.framework.folded()
    try:
        seen = bonded_framework(folded.to_structure())
    except GeometryError as error:
        return str(error)
    return None if seen.same_bonds(folded) else "its distances show other bonds than it was given"


def _displacement(raw: Structure | None, framework: Framework) -> float | None:
    """Root mean square displacement in Å from the raw sample, beyond what the cell did and a common shift."""
    if raw is None:
        return None
    numbers = np.array(raw.atomic_numbers)
    before = np.concatenate([raw.frac_coords[numbers == SILICON], raw.frac_coords[numbers == OXYGEN]])
    moved = framework.frac - before
    moved -= np.rint(moved)
    moved -= moved.mean(0)
    return float(np.sqrt(((moved @ framework.lattice) ** 2).sum(1).mean()))


def _raw_fault(structure: Structure | None) -> str | None:
    if structure is None:
        return "the generator made no structure"
    try:
        return net_fault(bonded_framework(structure))
    except GeometryError as error:
        return str(error)


def _draw(
    model: CrystalModel, reference: Reference, seed: int, index: int, given: Mapping[str, Any], symmetric: float
) -> dict[str, Any]:
    """Conditions of one sample: its size and, for a share of them, its space group, as training cells have them."""
    cells = _cells(reference, given)
    generator = generator_for(seed, "silica", index)
    wanted = dict(given)
    if "space_group" in given:
        return {**wanted, "num_atoms": given.get("num_atoms", cells[_pick(cells, generator)].n_atoms)}
    first = cells[_pick(cells, generator)]
    wanted["num_atoms"] = first.n_atoms
    if float(torch.rand(1, generator=generator)) >= symmetric:
        return wanted
    alike = [cell.space_group for cell in cells if cell.n_atoms == first.n_atoms and cell.space_group > 1]
    order = [alike[k] for k in torch.randperm(len(alike), generator=generator).tolist()]
    for group in list(dict.fromkeys(order))[:TRIES]:
        if _possible(model, {**wanted, "space_group": group}):
            return {**wanted, "space_group": group}
    return wanted


def _cells(reference: Reference, given: Mapping[str, Any]) -> list[Fingerprint]:
    cells = [cell for cells in reference.training.values() for cell in cells]
    if given.get("num_atoms") is not None:
        try:
            count = int(given["num_atoms"])
        except (TypeError, ValueError):
            raise InputError(f"num_atoms = {given['num_atoms']!r} is not a whole number: write it as 36") from None
        cells = [cell for cell in cells if cell.n_atoms == count] or [Fingerprint(count, 1, 0.0)]
    return cells


def _pick(cells: Sequence[Fingerprint], generator: torch.Generator) -> int:
    return int(torch.randint(len(cells), (1,), generator=generator))


def _possible(model: CrystalModel, asked: Mapping[str, Any]) -> bool:
    try:
        parse_conditions(asked, model.elements, model.atom_counts, model.formula_units, model.properties)
    except InputError:
        return False
    return True
