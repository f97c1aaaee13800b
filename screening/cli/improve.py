"""`sorbus improve crystals`: the generator learns from what the digital twin has verified."""

import argparse

from screening.cli.arguments import add_config_options, print_config, resolve_config, verb_parser, writable_folder


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "improve",
        "Sample, relax and verify, keep metastable unique novel crystals under an element cap, retrain, repeat.",
        [
            "sorbus improve crystals",
            "sorbus improve crystals rounds=4 samples=500 out=runs/improve/mine",
            "sorbus improve crystals model=runs/train/mine train.updates=3000",
        ],
    )
    parser.add_argument("subject", choices=["crystals"], help="what to improve")
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the loop, or go on with an interrupted one, and tabulate the rounds."""
    from pathlib import Path

    from gen.crystals.improve import ImproveConfig, improve_crystals
    from potentials.errors import InputError
    from screening.table import aligned, write_table

    settings, paths = resolve_config(ImproveConfig, arguments)
    if paths:
        raise InputError(f"improve takes key=value settings, not {paths[0]!r}: a settings file goes behind --config")
    if arguments.print_config:
        return print_config(settings)
    folder = writable_folder(settings.out)
    rounds = improve_crystals(settings, say=lambda line: print(line, flush=True), progress=False)
    rows = [{"round": r.round, "added": r.added, **r.metrics, **r.drift} for r in rounds]
    print(aligned(rows))
    print(write_table(rows, folder / "rounds.csv").path)
    print(
        f"what was added: {folder / 'manifest.jsonl'}; the model: {Path(folder) / f'round_{settings.rounds}' / 'model'}"
    )
    return 0
