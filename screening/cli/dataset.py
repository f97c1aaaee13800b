"""`sorbus dataset mofs|real|zeolites|distill`: make the training set of a generator, or of a distilled potential."""

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
        "sorbus dataset real sample=100   # real frameworks of public pools, cut into blocks",
    ]
    silica = ["sorbus dataset zeolites configs/dataset/zeolites.yaml"]
    distill = [
        "sorbus dataset distill configs/train/distill_data.yaml",
        "sorbus dataset distill mine.yaml teacher='{name: external, python: envs/mace/bin/python, model: mace}'",
    ]
    what = "Make a training set: frameworks, silica nets, or structures labelled by a slow potential."
    parser = verb_parser(verbs, "dataset", what, examples + silica + distill)
    kinds = parser.add_subparsers(dest="kind", metavar="mofs|real|zeolites|distill", required=True)
    summary = "Assemble, check, label and deduplicate frameworks for the sorbent generator. Run again to go on."
    sub = verb_parser(kinds, "mofs", summary, examples[:-1])
    add_config_options(sub, positional="a YAML file")
    sub.add_argument("--merge-only", action="store_true", help="make nothing new, merge the parts that are there")
    sub.set_defaults(run=_run_mofs)
    summary = "Cut real frameworks into the library's blocks; rows for those that decompose, and the share that does."
    sub = verb_parser(kinds, "real", summary, examples[-1:])
    add_config_options(sub, positional="a YAML file")
    sub.set_defaults(run=_run_real)
    summary = "Relax silica nets of the RCSR and the IZA atlas, shaken and in supercells. Run again to go on."
    sub = verb_parser(kinds, "zeolites", summary, silica)
    add_config_options(sub, positional="a YAML file")
    sub.set_defaults(run=_run_zeolites)
    summary = "Label perturbed and relaxing structures with a teacher, to train a fast potential. Run again to go on."
    sub = verb_parser(kinds, "distill", summary, distill)
    add_config_options(sub, positional="a YAML file")
    sub.add_argument("--fresh", action="store_true", help="start over instead of resuming")
    sub.set_defaults(run=_run_distill)


def _run_mofs(arguments: argparse.Namespace) -> int:
    """Make the missing rows of the range, merge all parts, and say what was lost."""
    from screening.sorbent_dataset.build import build_part
    from screening.sorbent_dataset.merge import merge_parts, summary_path
    from screening.sorbent_dataset.settings import SorbentDatasetSettings

    settings, _ = resolve_config(SorbentDatasetSettings, arguments, _settings_file(arguments))
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


def _run_real(arguments: argparse.Namespace) -> int:
    """Decompose a sample of every pool and print what came of it."""
    from screening.sorbent_dataset.merge import summary_path
    from screening.sorbent_dataset.real_frameworks import RealSettings, decompose_pools

    settings, _ = resolve_config(RealSettings, arguments, _settings_file(arguments))
    if arguments.print_config:
        return print_config(settings)
    summary = decompose_pools(settings, progress=True)
    for name, found in summary["sources"].items():
        print(f"{name}: {found['looked_at']} looked at, {found['decomposed']}, {found['net_known']} with a known net")
        for reason, number in found["reasons"].items():
            print(f"  lost {number}: {reason}")
    print(f"{summary['rows']} rows in {settings.out}, summary in {summary_path(Path(settings.out))}")
    return 0


def _run_zeolites(arguments: argparse.Namespace) -> int:
    """Relax the nets that are still missing, write the table, and say what went into it."""
    from gen.zeolites.dataset import ZeoliteDataConfig, build_zeolite_table

    settings, _ = resolve_config(ZeoliteDataConfig, arguments, _settings_file(arguments))
    if arguments.print_config:
        return print_config(settings)
    for name, number in build_zeolite_table(settings, progress=True).items():
        print(f"{name}: {number}")
    print(f"training cells in {settings.out}")
    return 0


def _run_distill(arguments: argparse.Namespace) -> int:
    """Label what is still missing, write both sets, and say what went into them."""
    from potentials.distillation import HELD_OUT, TRAIN, label_structures
    from potentials.distillation_config import DistillationConfig

    config, _ = resolve_config(DistillationConfig, arguments, _settings_file(arguments))
    if arguments.print_config:
        return print_config(config)
    summary = label_structures(config, resume=not arguments.fresh, progress=True)
    for reason, number in summary["dropped"].items():
        print(f"left out {number}: {reason}")
    frames, structures = summary["frames"], summary["structures"]
    print(f"{structures['labelled']} of {structures['planned']} structures labelled by {summary['teacher']}")
    print(f"{frames['training']['all']} frames in {config.out / TRAIN}")
    print(f"{frames['held_out']['all']} of compositions held out in {config.out / HELD_OUT}")
    return 0


def _settings_file(arguments: argparse.Namespace) -> str | None:
    paths, _ = split_inputs(arguments)
    if len(paths) > 1:
        raise InputError(f"dataset takes one settings file, not {len(paths)}: {', '.join(paths)}")
    return paths[0] if paths else None
