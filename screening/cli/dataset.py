"""`sorbus dataset mofs|zeolites`: make the training set of the sorbent generator, or of the silica generator."""

import argparse
from pathlib import Path

from potentials.errors import InputError
from screening.cli.arguments import add_config_options, print_config, resolve_config, split_inputs, verb_parser


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb and its kind to the command line."""
    examples = [
        "sorbus dataset mofs configs/dataset/mofs.yaml",
        "sorbus dataset mofs configs/dataset/mofs.yaml count=200 out=runs/dataset/small.jsonl.gz",
        "sorbus dataset mofs configs/dataset/mofs.yaml start=100000 count=20000   # a second machine, same folder",
        "sorbus dataset mofs configs/dataset/mofs.yaml --merge-only",
    ]
    silica = ["sorbus dataset zeolites configs/dataset/zeolites.yaml"]
    parser = verb_parser(verbs, "dataset", "Make a training set: frameworks, or silica nets.", examples + silica)
    kinds = parser.add_subparsers(dest="kind", metavar="mofs|zeolites", required=True)
    summary = "Assemble, check, label and deduplicate frameworks for the sorbent generator. Run again to go on."
    sub = verb_parser(kinds, "mofs", summary, examples)
    add_config_options(sub, positional="a YAML file")
    sub.add_argument("--merge-only", action="store_true", help="make nothing new, merge the parts that are there")
    sub.set_defaults(run=run)
    summary = "Relax silica nets of the RCSR and the IZA atlas, shaken and in supercells. Run again to go on."
    sub = verb_parser(kinds, "zeolites", summary, silica)
    add_config_options(sub, positional="a YAML file")
    sub.set_defaults(run=run_zeolites)


def run(arguments: argparse.Namespace) -> int:
    """Make the missing rows of the range, merge all parts, and say what was lost."""
    from screening.sorbent_dataset.build import build_part
    from screening.sorbent_dataset.merge import merge_parts, summary_path
    from screening.sorbent_dataset.settings import SorbentDatasetSettings

    paths, _ = split_inputs(arguments)
    if len(paths) > 1:
        raise InputError(f"dataset takes one settings file, not {len(paths)}: {', '.join(paths)}")
    settings, _ = resolve_config(SorbentDatasetSettings, arguments, paths[0] if paths else None)
    if arguments.print_config:
        return print_config(settings)
    if not arguments.merge_only:
        build_part(settings, progress=True)
    summary = merge_parts(settings)
    for reason, number in summary["rejected"].items():
        print(f"lost {number}: {reason}")
    print(f"{summary['rows']} rows of {summary['drawn']} draws in {settings.out}")
    print(f"summary in {summary_path(Path(settings.out))}")
    return 0


def run_zeolites(arguments: argparse.Namespace) -> int:
    """Relax the nets that are still missing, write the table, and say what went into it."""
    from gen.zeolites.dataset import ZeoliteDataConfig, build_zeolite_table

    paths, _ = split_inputs(arguments)
    if len(paths) > 1:
        raise InputError(f"dataset takes one settings file, not {len(paths)}: {', '.join(paths)}")
    settings, _ = resolve_config(ZeoliteDataConfig, arguments, paths[0] if paths else None)
    if arguments.print_config:
        return print_config(settings)
    counts = build_zeolite_table(settings, progress=True)
    for name, number in counts.items():
        print(f"{name}: {number}")
    print(f"training cells in {settings.out}")
    return 0
