"""The command-line grammar: one sub-parser a verb, built without importing anything heavy."""

import argparse
import importlib
import importlib.metadata

# Verb -> module of screening.cli that has `add_parser(subparsers)`; the order is that of the help page.
VERBS = {
    "discover": "discover",
    "generate": "generate",
    "dataset": "dataset",
    "train": "train",
    "finetune": "finetune",
    "evaluate": "evaluate",
    "improve": "improve",
    "relax": "relax",
    "adsorb": "adsorb",
    "measure": "measure",
    "show": "show",
    "export": "export",
    "report": "report",
}


def build_parser() -> argparse.ArgumentParser:
    """The whole `sorbus` parser."""
    parser = argparse.ArgumentParser(
        prog="sorbus",
        description="Ask for a material; get generated, relaxed, simulated and ranked candidates.",
        epilog="Try: sorbus discover configs/discover/co2_flue_gas.yaml",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for module in VERBS.values():
        importlib.import_module(f"screening.cli.{module}").add_parser(verbs)
    return parser


class _Version(argparse.Action):
    """Look the version up only when asked: reading package metadata takes longer than the rest of `--help`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"sorbus {importlib.metadata.version('sorbus')}")
        parser.exit()
