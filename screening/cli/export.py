"""`sorbus export`: take candidates and their numbers out of a run, for other programs."""

import argparse

from screening.cli.arguments import verb_parser


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "export",
        "Export a run as CSV, extended XYZ, JSON (OPTIMADE field names) or a folder of CIFs.",
        [
            "sorbus export runs/co2_flue_gas candidates.extxyz",
            "sorbus export runs/co2_flue_gas all.csv --all",
            "sorbus export runs/co2_flue_gas cifs/",
        ],
    )
    parser.add_argument("folder", help="a run folder with store.sqlite")
    parser.add_argument("target", help="file ending in .csv, .json, .extxyz, or a folder for CIFs")
    parser.add_argument("--all", action="store_true", help="also candidates that left the funnel")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the file and say how many rows it holds."""
    from screening.discovery import read_snapshot
    from screening.export_formats import export_snapshot

    count, path = export_snapshot(read_snapshot(arguments.folder), arguments.target, everything=arguments.all)
    print(f"{count} candidates in {path}")
    return 0
