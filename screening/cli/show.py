"""`sorbus show`: the ranking of a run, its losses, or everything known of one candidate."""

import argparse

from screening.cli.arguments import verb_parser


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "show",
        "Show a run: its ranking, its losses with reasons, or one candidate in full.",
        [
            "sorbus show runs/co2_flue_gas",
            "sorbus show runs/co2_flue_gas --losses",
            "sorbus show runs/co2_flue_gas --candidate 3f2a      # an id, its first letters, or a proposal number",
        ],
    )
    parser.add_argument("folder", help="a run folder with store.sqlite")
    parser.add_argument("--candidate", metavar="ID", help="id, unique beginning of one, or proposal number")
    parser.add_argument("--losses", action="store_true", help="every candidate that left the funnel, and why")
    parser.add_argument("--top", type=int, default=10, help="rows of the ranking (default 10)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what is asked for."""
    from screening import summary
    from screening.discovery import read_snapshot

    snapshot = read_snapshot(arguments.folder)
    if arguments.candidate is not None:
        print(summary.candidate_text(snapshot, arguments.candidate))
    elif arguments.losses:
        print(summary.losses_text(snapshot))
    else:
        print(summary.ranking_text(snapshot, arguments.top))
    return 0
