"""`sorbus evaluate`: the field's metrics on a set of generated crystals, with the protocol beside each number."""

import argparse

from screening.cli.arguments import add_config_options, print_config, require_inputs, resolve_config, verb_parser


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "evaluate",
        "Validity, uniqueness, novelty, symmetry and distribution distances of generated crystals.",
        ["sorbus evaluate runs/generate", "sorbus evaluate samples.extxyz out=runs/metrics.csv"],
    )
    add_config_options(parser, positional="structure files or folders")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print each metric with its protocol; unreadable structures count and are named."""
    from screening.evaluate_files import EvaluateSettings, evaluate_files
    from screening.table import aligned, write_table

    settings, paths = resolve_config(EvaluateSettings, arguments)
    if arguments.print_config:
        return print_config(settings)
    rows, errors = evaluate_files(require_inputs(paths, "evaluate", "a folder of generated structures"), settings)
    print(aligned(rows))
    for error in errors:
        print(f"not read: {error}")
    if settings.out:
        print(write_table(rows, settings.out).path)
    return 0
