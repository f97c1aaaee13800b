"""`sorbus adsorb`: Henry coefficients, uptakes and process figures of structures the user brings."""

import argparse

from screening.cli.arguments import (
    add_config_options,
    print_config,
    require_inputs,
    resolve_config,
    verb_parser,
    writable_folder,
)


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "adsorb",
        "CO2/N2 adsorption of your own frameworks: pores, Henry coefficients, heats, uptake, working capacity.",
        [
            "sorbus adsorb my_mof.cif",
            "sorbus adsorb cifs/ uptake.enabled=false          # Henry coefficients only: quick",
            "sorbus adsorb my_mof.cif henry.temperature=313 out=runs/my_mof",
        ],
    )
    add_config_options(parser, positional="structure files or folders")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure every structure; a bad one is recorded on its row and the rest goes on."""
    from screening.adsorb_files import AdsorbSettings, adsorb_files

    settings, paths = resolve_config(AdsorbSettings, arguments)
    if arguments.print_config:
        return print_config(settings)
    require_inputs(paths, "adsorb", "a CIF or a folder of CIFs")
    table = adsorb_files(paths, settings, writable_folder(settings.out), progress=True)
    print(table.text)
    print(f"{table.succeeded} of {len(table.rows)} measured; {table.path}")
    return 0 if table.succeeded else 2
