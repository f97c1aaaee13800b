"""`sorbus export`: candidates out of a run, a trained potential out of Sorbus, or the plugin that runs it in LAMMPS."""

import argparse

from screening.cli.arguments import verb_parser


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "export",
        "Export a run as CSV, extended XYZ, JSON (OPTIMADE field names) or CIFs; a potential as a program; "
        "or LAMMPS's pair style for such programs.",
        [
            "sorbus export runs/co2_flue_gas candidates.extxyz",
            "sorbus export runs/co2_flue_gas all.csv --all",
            "sorbus export runs/co2_flue_gas cifs/",
            "sorbus export potential runs/potential exported/",
            "sorbus export pair-style envs/lammps sorbusplugin.so",
        ],
    )
    parser.add_argument(
        "what",
        nargs="+",
        metavar="[potential|pair-style] FOLDER TARGET",
        help="a run folder and a file ending in .csv, .json, .extxyz or a folder for CIFs; "
        "or the word potential, a checkpoint folder, and the folder to write; "
        "or the word pair-style, the environment, prefix or source tree of a LAMMPS, and the .so file to write",
    )
    parser.add_argument("--all", action="store_true", help="also candidates that left the funnel")
    parser.add_argument("--precision", choices=["float32", "float64"], help="of an exported potential")
    parser.add_argument("--device", default="cpu", help="where an exported potential will run (default cpu)")
    parser.add_argument("--no-compile", action="store_true", help="of a potential write the portable graph only")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the file or folder and say what it holds."""
    from potentials.errors import InputError

    match arguments.what:
        case ["potential", checkpoint, target]:
            return _export_potential(arguments, checkpoint, target)
        case ["pair-style", lammps, target]:
            return _export_pair_style(lammps, target)
        case [folder, target]:
            return _export_run(arguments, folder, target)
    given = " ".join(arguments.what)
    raise InputError(f"cannot export {given!r}: write [potential|pair-style] FOLDER TARGET")


def _export_run(arguments: argparse.Namespace, folder: str, target: str) -> int:
    from screening.discovery import read_snapshot
    from screening.export_formats import export_snapshot

    count, path = export_snapshot(read_snapshot(folder), target, everything=arguments.all)
    print(f"{count} candidates in {path}")
    return 0


def _export_potential(arguments: argparse.Namespace, checkpoint: str, target: str) -> int:
    from potentials.export_potential import export_potential

    compiled = not arguments.no_compile
    if compiled:
        print("compiling, which takes minutes")
    folder = export_potential(
        checkpoint, target, precision=arguments.precision, device=arguments.device, compile=compiled
    )
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".pt2", ".json"))
    print(f"{', '.join(names)} in {folder}")
    return 0


def _export_pair_style(lammps: str, target: str) -> int:
    from potentials.lammps_pair import build_pair_style

    print(f"plugin load {build_pair_style(target, lammps)}    # in LAMMPS, then pair_style sorbus")
    return 0
