"""Henry coefficients under several models: how much a ranking owes to the choice of force field and charges.

Charges are the main source of differences between computed uptakes, then the Lennard-Jones parameters; over 690 MOFs
and six models the order of the best could not be told (C. Cleeton et al., Energy Environ. Sci. 16, 3899 (2023)). Each
member of the ensemble is one force field with one charge method; what it finds is kept under the property's name with
`@<force field>+<charges>` behind it, and `screening.rank_uncertainty` makes intervals of places from it.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from potentials.config import Config
from potentials.errors import GeometryError, InputError
from screening.adsorption.evaluator import UptakeSettings, evaluate_henry, evaluate_uptake
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.henry import HenrySettings
from screening.adsorption.process_evaluator import evaluate_process
from screening.adsorption.recipe_run import RecipeSettings
from screening.candidate import Candidate, Evaluation, Property
from screening.model_names import MEMBER_MARK, member_name
from screening.stage_report import tell


class EnsembleSettings(Config):
    """The models, and what is measured with each."""

    model: HostGuestModel = HostGuestModel()  # cut-off and truncation of all; its own figures are not measured again
    force_fields: tuple[str, ...] = Field(default=("uff-trappe", "dreiding-uff-trappe"), min_length=1)
    charges: tuple[str, ...] = Field(default=("learned", "eqeq"), min_length=1)
    # "henry": Widom insertion, a second a member. "uptake", "process": all of that stage again, up to minutes a member.
    measure: Literal["henry", "uptake", "process"] = "henry"
    gases: tuple[str, ...] = ("CO2", "N2")
    temperature: float = Field(default=298.0, gt=0.0)  # K, of `henry`
    error: float = Field(default=0.05, gt=0.0, lt=1.0)  # relative standard error of a Henry coefficient to reach
    uptake: UptakeSettings = UptakeSettings()  # of `uptake`; its model is replaced
    process: RecipeSettings = RecipeSettings(gcmc_engine="batched")  # of `process`; its model is replaced

    @model_validator(mode="after")
    def _members_exist(self) -> Self:
        members = [self.member(field, charges) for field in self.force_fields for charges in self.charges]
        if len(members) < 2:
            raise ValueError("an ensemble needs two models or more: name another force field or charge method")
        return self

    def member(self, force_field: str, charges: str) -> HostGuestModel:
        """The model with another force field and charge method; unknown ones raise ValueError."""
        values: dict[str, Any] = self.model.model_dump() | {"force_field": force_field, "charges": charges}
        return HostGuestModel(**values)


def evaluate_ensemble(candidate: Candidate, settings: EnsembleSettings, seed: int) -> Evaluation:
    """Every member's figures of a candidate, named `<property>@<force field>+<charges>`.

    A member that cannot describe the framework (an element its force field lacks) leaves a property without value
    that says so; the candidate is not rejected for it. The member equal to `settings.model` is left out: its figures
    are the campaign's own. All members draw the same insertions of a candidate, so that noise cancels in ratios.
    """
    own_charges = candidate.structure.site_properties.get("charge")
    charge_methods = settings.charges if not (own_charges and any(own_charges)) else settings.charges[:1]
    properties: list[Property] = []
    for force_field in settings.force_fields:
        for charges in charge_methods:
            model = settings.member(force_field, charges)
            if model == settings.model:
                continue
            tell(f"again with {member_name(force_field, charges)}")
            properties += _of_member(candidate, settings, model, seed)
    return Evaluation(properties=tuple(properties))


def _of_member(candidate: Candidate, settings: EnsembleSettings, model: HostGuestModel, seed: int) -> list[Property]:
    member = member_name(model.force_field, model.charges)
    try:
        if settings.measure == "uptake":
            found = evaluate_uptake(candidate, settings.uptake.model_copy(update={"model": model}), seed)
        elif settings.measure == "process":
            found = evaluate_process(candidate, settings.process.model_copy(update={"model": model}), seed)
        else:
            protocol = HenrySettings(
                model=model,
                gases=settings.gases,
                temperature=settings.temperature,
                error=settings.error,
            )
            found = evaluate_henry(candidate, protocol, seed)
    except (InputError, GeometryError) as error:
        found = Evaluation(rejected=str(error))
    if found.rejected is not None:
        return [Property(f"ensemble{MEMBER_MARK}{member}", None, "", note=found.rejected)]
    return [
        Property(f"{p.name}{MEMBER_MARK}{member}", p.value, p.unit, p.std, p.method, p.note)
        for p in found.properties
        if "_heat_" not in p.name
    ]
