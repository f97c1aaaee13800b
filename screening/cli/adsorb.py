"""`sorbus adsorb`: Henry coefficients, isotherms, mixtures, process figures and ranks of structures the user brings."""

import argparse

from screening.cli.arguments import (
    add_config_options,
    print_config,
    require_inputs,
    split_inputs,
    verb_parser,
    writable_folder,
)


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "adsorb",
        "Adsorption in your own frameworks: Henry coefficients, heats, isotherms, mixtures, process figures, ranks.",
        [
            "sorbus adsorb my_mof.cif",
            "sorbus adsorb cifs/ --gas CO2 --gas N2 --conditions flue-gas --workers 2",
            "sorbus adsorb cifs/ mixtures=none isotherm_points=0      # Henry coefficients only: quick",
            "sorbus adsorb cifs/ --conditions dac mixtures=iast       # 400 ppm in humid air, mixtures predicted",
            "sorbus adsorb cifs/ --conditions coal-tpsa out=runs/coal # parasitic energy",
            "sorbus adsorb --conditions list                          # all processes",
        ],
    )
    add_config_options(parser, positional="structure files or folders")
    parser.add_argument("--conditions", metavar="NAME", help="the process to measure for; `list` shows them all")
    parser.add_argument(
        "--gas",
        action="append",
        default=[],
        metavar="NAME",
        help="a gas to measure besides those of the process (Henry coefficient, isotherm); may be given several times",
    )
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="measure with other force fields and charges as well, so that places get intervals over models",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="structures measured at once")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure every structure; a bad one is recorded on its row and the rest goes on."""
    from potentials.config import load_config
    from screening.adsorb_files import AdsorbSettings, adsorb_files

    if arguments.conditions == "list":
        return _list_conditions()
    paths, overrides = split_inputs(arguments)
    chosen = [f"conditions={arguments.conditions}"] if arguments.conditions else []
    chosen += [f"gases=[{', '.join(arguments.gas)}]"] if arguments.gas else []
    chosen += [f"workers={arguments.workers}"] if arguments.workers is not None else []
    chosen += ["ensemble=true"] if arguments.ensemble else []
    settings = load_config(AdsorbSettings, arguments.config, [*chosen, *overrides])
    if arguments.print_config:
        return print_config(settings)
    require_inputs(paths, "adsorb", "a CIF or a folder of CIFs")
    result = adsorb_files(paths, settings, writable_folder(settings.out), progress=True)
    print(f"{settings.recipe.title}\n{result.summary}")
    return 0 if result.table.succeeded else 2


def _list_conditions() -> int:
    from screening.adsorption.cycles import RECIPES

    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        print(f"{name:{width}}  {recipe.title}\n{'':{width}}  after {recipe.source}")
    return 0
