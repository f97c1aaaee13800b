"""`sorbus report`: write a run's ranking and HTML report again, from its store."""

import argparse

from screening.cli.arguments import verb_parser


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "report",
        "Write ranking.csv, the CIFs and report.html of a run again, also while it is unfinished.",
        ["sorbus report runs/co2_flue_gas"],
    )
    parser.add_argument("folder", help="a run folder with store.sqlite")
    parser.add_argument("--out", metavar="FOLDER", help="write there instead of into the run folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the report and print where it is."""
    from screening.discovery import read_snapshot, write_results

    result = write_results(read_snapshot(arguments.folder), arguments.out or arguments.folder)
    print(result.folder / "report.html")
    return 0
