"""The learned sorbent generator as a proposer of a campaign."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from gen.proposal import Proposal
from gen.sorbents.bead_model import BeadModel
from gen.sorbents.generation import GeneratedSorbent, bead_row, generate_sorbents, make_task
from gen.sorbents.generator import SorbentGenerator
from gen.sorbents.given import read_beads
from gen.sorbents.inpainting import Fixed, Part, Start
from gen.sorbents.library import pormake_version
from gen.sorbents.sampling import SorbentSampling
from potentials.errors import InputError

CHUNK = 8  # frameworks generated at once, always those of the same numbers
KEPT_CHUNKS = 8


class SorbentSettings(SorbentSampling):
    """What the `sorbents` proposer may be told; the sampler's own settings are among them."""

    checkpoint: str = "sorbents"  # shipped weights by name, or a checkpoint folder
    conditions: dict[str, Any] = Field(default_factory=dict)  # as `gen.sorbents.conditions` describes
    nets: tuple[str, ...] = ()  # RCSR symbols; () for whatever comes. These six are conditions by another name,
    metals: tuple[str, ...] = ()  # element symbols; () for every metal of the library
    mofs: bool = True  # frameworks with metal nodes
    cofs: bool = False  # frameworks with organic nodes alone
    neutral: bool = True  # formal charges of ligands and known oxidation states of metals must balance
    max_atoms: int = Field(default=150, ge=20, le=1000)  # in the primitive cell; as the `template` proposer has them
    resample_invalid: bool = True  # draw frameworks that cannot be assembled again, at most five times
    fix: str | None = None  # file of beads, or recipe, part of which is kept
    fix_sites: tuple[int, ...] | None = None  # its beads to keep, others are added; None: all, and no others
    fix_what: tuple[Part, ...] = ("nodes", "coordinates", "lattice")
    start: str | None = None  # file of beads, or recipe, to start from
    start_noise: float = Field(default=0.3, gt=0, le=1)  # noise level it is brought to first
    species_noise: float = Field(default=0.0, ge=0, le=1)  # share of its blocks that are drawn again


class SorbentProposer:
    """Proposes frameworks of a trained generator; proposal `i` is a function of the seed and `i` alone.

    Frameworks are generated in chunks of fixed numbers, whatever was asked for, so that not even rounding depends on
    what shares a batch; the last chunks are kept.

    Raises:
        InputError: no such checkpoint, or conditions it cannot meet.
    """

    name = "sorbents"

    def __init__(self, settings: SorbentSettings | None = None) -> None:
        self.settings = settings or SorbentSettings()
        self.sampling = SorbentSampling(**{name: getattr(self.settings, name) for name in SorbentSampling.model_fields})
        self.model: BeadModel = SorbentGenerator.from_pretrained(self.settings.checkpoint).model
        self.conditions = self._conditions()
        given = self.settings
        self.fixed = self.start = None
        if given.fix is not None:
            self.fixed = Fixed(read_beads(given.fix), given.fix_what, given.fix_sites)
        elif given.fix_sites is not None:
            raise InputError("fix_sites without fix: name the framework whose beads are kept")
        if given.start is not None:
            self.start = Start(read_beads(given.start), given.start_noise, given.species_noise)
        # refuse now what would otherwise fail at the first proposal
        make_task(self.model, self.conditions, self.sampling, self.fixed, self.start)
        self._chunks: OrderedDict[tuple[int, int], list[GeneratedSorbent]] = OrderedDict()  # (seed, number)

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one `Proposal` for each index, in order."""
        for index in indices:
            yield self._proposal(self._chunk(index // CHUNK, seed)[index % CHUNK], seed)

    def _chunk(self, number: int, seed: int) -> list[GeneratedSorbent]:
        key = (seed, number)
        if key not in self._chunks:
            self._chunks[key] = generate_sorbents(
                self.model,
                range(number * CHUNK, (number + 1) * CHUNK),
                seed,
                self.conditions,
                self.sampling,
                resample_invalid=self.settings.resample_invalid,
                fixed=self.fixed,
                start=self.start,
            )
            while len(self._chunks) > KEPT_CHUNKS:
                self._chunks.popitem(last=False)
        return self._chunks[key]

    def _conditions(self) -> dict[str, Any]:
        """The conditions, those given as settings among them.

        Raises:
            InputError: a setting and a condition of the same meaning that differ.
        """
        conditions = dict(self.settings.conditions)
        named = {"net": "nets", "metals": "metals", "mofs": "mofs", "cofs": "cofs"}
        named |= {"neutral": "neutral", "max_atoms": "max_atoms"}
        for key, setting in named.items():
            value = getattr(self.settings, setting)
            if setting not in self.settings.model_fields_set or value == ():
                continue
            value = list(value) if isinstance(value, tuple) else value
            if key in conditions and conditions[key] != value:
                raise InputError(f"{setting} = {value} and the condition {key} = {conditions[key]} differ: give one")
            conditions[key] = value
        return conditions

    def _proposal(self, result: GeneratedSorbent, seed: int) -> Proposal:
        provenance: dict[str, Any] = {
            "proposer": self.name,
            "model_sha256": self.model.sha256,
            "pormake": pormake_version(),
            "seed": seed,
            "index": result.index,
            "attempts": result.attempts,
            "draws": result.draws,
            "conditions": self.conditions,
            "sampling": self.sampling.model_dump(mode="json"),
        }
        if self.fixed is not None:
            provenance["fixed"] = {
                "framework": self.settings.fix,
                "what": list(self.fixed.parts),
                "sites": self.fixed.sites,
            }
        if self.start is not None:
            provenance["start"] = {
                "framework": self.settings.start,
                "noise": self.start.noise,
                "block_noise": self.start.block_noise,
            }
        if result.structure is None:
            return Proposal(result.index, None, provenance, failure=result.fault)
        made = ("net", "recipe", "blocks", "metals", "gap_angstrom", "notes")
        provenance |= {name: result.structure.properties[name] for name in made}
        provenance["beads"] = bead_row(result).to_json()
        structure = result.structure.copy()
        structure.properties = {}
        return Proposal(result.index, structure, provenance)
