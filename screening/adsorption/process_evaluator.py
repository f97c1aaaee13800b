"""The campaign's `process` evaluator: every figure of a named process recipe, to filter and to rank by."""

from potentials.errors import GeometryError, InputError
from screening.adsorption.framework import prepare_host
from screening.adsorption.host_checks import with_warnings
from screening.adsorption.recipe_figures import recipe_properties, require_objectives
from screening.adsorption.recipe_run import RecipeSettings, run_recipe
from screening.candidate import Candidate, Evaluation

__all__ = ["RecipeSettings", "evaluate_process"]


def evaluate_process(candidate: Candidate, settings: RecipeSettings, seed: int) -> Evaluation:
    """Henry coefficients, isotherms, mixtures and process figures of the recipe `settings.conditions`.

    Properties begin with the recipe's prefix (`vsa_working_capacity`, `dac_co2_uptake_humid`,
    `coal_tpsa_parasitic_energy`). A framework the model cannot describe is rejected with the reason.
    """
    try:
        require_objectives(settings)
        host = prepare_host(candidate.structure, settings.model)
        run = run_recipe(host, settings, seed)
        found = recipe_properties(host, run, settings, seed)
        return Evaluation(with_warnings(found, candidate.structure, settings.model))
    except (InputError, GeometryError) as error:
        return Evaluation(rejected=str(error))
