"""`sorbus relax`: relax a folder of structures with a potential."""

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
        "relax",
        "Relax structures (CIF, extxyz, POSCAR, JSON; files or folders), many at once, cell included.",
        [
            "sorbus relax my_structures/ fmax=0.05",
            "sorbus relax candidates.extxyz potential=chgnet max_steps=200 out=runs/relaxed",
            "sorbus relax POSCAR variable_cell=false                  # atoms with F F F stay where they are",
            "sorbus relax quartz.cif symmetry=true pressure_gpa=5",
            "sorbus relax loaded/ 'fixed_elements=[Si,O]'             # guests in a rigid framework",
            "sorbus relax generated/ potential=chgnet-fast first=sorbus-crystals   # two stages",
        ],
    )
    add_config_options(parser, positional="structure files or folders")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Relax, write the structures and a table; a bad row is recorded on that row."""
    from screening.relax_files import RelaxSettings, relax_files

    settings, paths = resolve_config(RelaxSettings, arguments)
    if arguments.print_config:
        return print_config(settings)
    require_inputs(paths, "relax", "a structure file or folder")
    table = relax_files(paths, settings, writable_folder(settings.out), progress=True)
    print(table.text)
    print(f"{table.succeeded} of {len(table.rows)} relaxed; structures and {table.path.name} in {table.path.parent}")
    return 0 if table.succeeded else 2
