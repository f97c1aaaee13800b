"""The `template` proposer: random net x node x linker from PORMAKE's library. It learns nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pydantic

from gen.proposal import Proposal
from gen.sorbents.assembly import AssemblyError, assemble
from gen.sorbents.catalog import load_catalog
from gen.sorbents.library import pormake_version
from gen.sorbents.recipe import Choice, Recipe, RecipeSampler, atom_count, recipe_metals, recipe_rmsd
from potentials.config import Config
from potentials.errors import InputError

DRAWS = 60  # attempts at a recipe within one proposal before it is reported as a failure


class TemplateSettings(Config):
    """What the `template` proposer may draw from."""

    nets: tuple[str, ...] = ()  # RCSR symbols; () for every suitable net of the library
    metals: tuple[str, ...] = ()  # element symbols; () for every metal of the library
    mofs: bool = True  # frameworks with metal nodes
    cofs: bool = False  # frameworks with organic nodes alone
    neutral: bool = True  # formal charges of ligands and known oxidation states of metals must balance
    max_atoms: int = pydantic.Field(default=150, ge=20, le=1000)  # in the primitive cell
    max_rmsd: float = pydantic.Field(default=0.3, gt=0.0, le=0.3)  # of unit directions, block against net
    max_gap: float = pydantic.Field(default=0.4, gt=0.0)  # Å between connection points that should coincide


class TemplateProposer:
    """Assembles random frameworks; proposal `i` is a function of the seed and `i` alone.

    Raises:
        InputError: a net or metal the library does not have, or limits no framework meets.
    """

    name = "template"

    def __init__(self, settings: TemplateSettings | None = None) -> None:
        self.settings = settings or TemplateSettings()
        self.catalog = load_catalog()
        self._check_settings()
        choice = Choice(
            nets=tuple(sorted(set(self.settings.nets))),
            metals=frozenset(self.settings.metals),
            mofs=self.settings.mofs,
            cofs=self.settings.cofs,
            max_atoms=self.settings.max_atoms,
            rmsd_limit=self.settings.max_rmsd,
            neutral=self.settings.neutral,
        )
        self.sampler = RecipeSampler(self.catalog, choice)
        if not self.sampler.nets:
            raise InputError(
                f"no framework of at most {choice.max_atoms} atoms exists within these template settings: "
                "raise max_atoms, or allow more nets or metals"
            )
        self._recipes: dict[int, list[Recipe | None]] = {}  # by seed, from index 0 on
        self._first: dict[int, dict[str, int]] = {}  # by seed: recipe key -> the first index that drew it

    def propose(self, indices: range, seed: int) -> Iterator[Proposal]:
        """Yield one proposal for each index, in order.

        A recipe that a lower index of the same seed has drawn is not built again but reported as a failure;
        the recipes below an index are drawn anew for this (about 0.3 ms each), so that the answer does not
        depend on which indices were asked for.
        """
        for index in indices:
            yield self._proposal(index, seed)

    def recipe(self, index: int, seed: int) -> Recipe | None:
        """The recipe of a proposal; None when `DRAWS` attempts gave none within the limits."""
        recipes = self._recipes.setdefault(seed, [])
        first = self._first.setdefault(seed, {})
        while len(recipes) <= index:
            rng = np.random.default_rng([seed, len(recipes)])
            drawn = next((recipe for _ in range(DRAWS) if (recipe := self.sampler.draw(rng))), None)
            if drawn:
                first.setdefault(drawn.key, len(recipes))
            recipes.append(drawn)
        return recipes[index]

    def _proposal(self, index: int, seed: int) -> Proposal:
        provenance: dict[str, Any] = {"proposer": self.name, "seed": seed, "index": index, "pormake": pormake_version()}
        recipe = self.recipe(index, seed)
        if recipe is None:
            return Proposal(index, None, provenance, f"no framework of at most {self.settings.max_atoms} atoms drawn")
        provenance |= self._describe(recipe)
        first = self._first[seed][recipe.key]
        if first < index:
            return Proposal(index, None, provenance, f"duplicate of proposal {first}: {recipe.key}")
        try:
            framework = assemble(recipe, self.catalog)
        except AssemblyError as error:
            return Proposal(index, None, provenance, str(error))
        provenance |= {"rmsd": round(framework.rmsd, 4), "gap_angstrom": round(framework.gap, 3)}
        if framework.gap > self.settings.max_gap:
            reason = f"blocks of {recipe.key} do not close: a joint stays {framework.gap:.2f} Å open"
            return Proposal(index, None, provenance, f"{reason}, above {self.settings.max_gap} Å")
        return Proposal(index, framework.structure, provenance)

    def _describe(self, recipe: Recipe) -> Mapping[str, Any]:
        return {
            "recipe": recipe.key,
            "net": recipe.net,
            "nodes": list(recipe.nodes),
            "edges": list(recipe.edges),
            "metals": list(recipe_metals(recipe, self.catalog)),
            "atoms": atom_count(recipe, self.catalog),
            "net_rmsd": recipe_rmsd(recipe, self.catalog),
        }

    def _check_settings(self) -> None:
        known = {metal for block in self.catalog.blocks.values() for metal in block.metals}
        for metal in self.settings.metals:
            if metal not in known:
                raise InputError(
                    f"metals: no node of the library holds {metal!r}: use some of {', '.join(sorted(known))}"
                )
        for net in self.settings.nets:
            if net not in self.catalog.nets:
                raise InputError(
                    f"nets: {net!r} is not among the {len(self.catalog.nets)} nets the library can fill: "
                    "use RCSR symbols such as pcu, fcu, tbo"
                )
        if not (self.settings.mofs or self.settings.cofs):
            raise InputError("mofs and cofs are both off: switch one on")
