"""`sorbus evaluate`: the field's metrics on a set of generated crystals, with the protocol beside each number."""

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
        "evaluate",
        "Validity, uniqueness, novelty, symmetry, distributions and stability of generated crystals.",
        [
            "sorbus evaluate runs/generate",
            "sorbus evaluate runs/generate stability=true out=runs/metrics.csv   # relax, place above the hull",
            "sorbus evaluate predictions/ targets=known/                         # match rates, METRe, cRMSE",
            "sorbus evaluate samples.extxyz --reference runs/train/mine known=training_cifs/",
        ],
    )
    add_config_options(parser, positional="structure files or folders")
    parser.add_argument("--reference", metavar="WEIGHTS", help="shipped weights or a checkpoint folder; as reference=")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print each metric with its protocol; unreadable structures count and are named."""
    from pathlib import Path

    from screening.evaluate_files import EvaluateSettings, evaluate_files, headline
    from screening.table import aligned

    if arguments.reference:
        arguments.inputs.append(f"reference={arguments.reference}")
    settings, paths = resolve_config(EvaluateSettings, arguments)
    if arguments.print_config:
        return print_config(settings)
    require_inputs(paths, "evaluate", "a folder of generated structures")
    if settings.out:
        writable_folder(Path(settings.out).parent)
    report = evaluate_files(paths, settings, progress=True, say=print)
    print(aligned(report.rows))
    for error in report.unreadable:
        print(f"not read: {error}")
    if headline(report):
        print(headline(report))
    if settings.out:
        for path in report.write(settings.out):
            print(path)
    return 0
