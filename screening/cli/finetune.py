"""`sorbus finetune crystals`: teach the crystal generator a property from a table of your own."""

import argparse
import shlex

from screening.cli.arguments import add_config_options, print_config, resolve_config, split_inputs, verb_parser


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb and its kind to the command line."""
    examples = [
        "sorbus finetune crystals --data mine.csv --property band_gap",
        "sorbus finetune crystals --data mine.csv --property band_gap --property density train.epochs=40",
        "sorbus finetune crystals --data mine.csv --from runs/train/mine --adapters-only out=runs/finetune/gap",
        "sorbus generate --checkpoint runs/finetune/crystals --condition band_gap=2.0",
    ]
    parser = verb_parser(verbs, "finetune", "Fine-tune the crystal generator on your own crystals.", examples)
    kinds = parser.add_subparsers(dest="kind", metavar="crystals", required=True)
    summary = "Fine-tune the crystal generator on a CSV with a `cif` or `file` column and one column a property."
    sub = verb_parser(kinds, "crystals", summary, examples)
    add_config_options(sub)
    sub.add_argument("--data", metavar="TABLE", help="CSV, or a folder that holds one")
    sub.add_argument(
        "--property",
        action="append",
        metavar="COLUMN",
        help="column to steer by, may be repeated; density, volume_per_atom and space_group need no column",
    )
    sub.add_argument("--from", dest="base", metavar="MODEL", help="shipped weights or a checkpoint folder")
    sub.add_argument("--adapters-only", action="store_true", help="leave the network as it is, train what is added")
    sub.add_argument("--fresh", action="store_true", help="start over instead of resuming")
    sub.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fine-tune; rows that cannot be used are listed and the others train. Run again to resume."""
    from gen.crystals.finetune import FinetuneConfig, finetune_crystals
    from potentials.config import parse_config
    from potentials.errors import InputError

    paths, _ = split_inputs(arguments)
    if paths:
        raise InputError(f"finetune takes key=value settings, not {paths[0]!r}: the table goes behind --data")
    settings, _ = resolve_config(FinetuneConfig, arguments)
    values = settings.model_dump()
    values |= {"data": arguments.data} if arguments.data else {}
    values |= {"base": arguments.base} if arguments.base else {}
    values |= {"properties": tuple(arguments.property)} if arguments.property else {}
    values |= {"adapters_only": True} if arguments.adapters_only else {}
    config = parse_config(FinetuneConfig, values, "command line")
    if arguments.print_config:
        return print_config(config)
    folder = finetune_crystals(config, resume=not arguments.fresh, command=_command(arguments))
    bad = (folder / "bad_rows.txt").read_text(encoding="utf-8").splitlines()
    if bad:
        print(f"{len(bad)} rows of {config.data} were left out, see {folder / 'bad_rows.txt'}")
    print(f"model in {folder}")
    names = config.properties or ("…",)
    print(f"next: sorbus generate --checkpoint {folder} --condition {names[0]}=VALUE")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """The command as typed, for the model card."""
    words = ["sorbus", "finetune", "crystals"]
    words += ["--data", arguments.data] if arguments.data else []
    words += [word for name in arguments.property or () for word in ("--property", name)]
    words += ["--from", arguments.base] if arguments.base else []
    words += ["--adapters-only"] if arguments.adapters_only else []
    words += ["--config", arguments.config] if arguments.config else []
    return shlex.join([*words, *arguments.inputs])
