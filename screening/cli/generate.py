"""`sorbus generate`: new crystals or porous frameworks from the diffusion models, or put together at random."""

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Any

from potentials.errors import InputError
from screening.cli.arguments import (
    add_config_options,
    print_config,
    resolve_config,
    split_inputs,
    verb_parser,
    writable_folder,
)

if TYPE_CHECKING:
    from screening.generation import GenerateSettings


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "generate",
        "Generate new structures: crystals by diffusion, sorbents by diffusion of building blocks.",
        [
            "sorbus generate count=16 seed=1",
            "sorbus generate count=8 conditions.chemical_system=Li-P-S out=runs/lps",
            "sorbus generate count=4 --condition composition=SrTiO3 steps=250",
            "sorbus generate count=8 --condition space_group=225 --condition required_elements=Li,O",
            "sorbus generate --checkpoint runs/finetune/crystals --condition band_gap=2.0 --guidance 2",
            "sorbus generate --fix host.cif --fix-sites 0,1 --condition num_atoms=7   # complete the rest",
            "sorbus generate --start known.cif --noise 0.3    # variations of a structure",
            "sorbus generate count=16 --screen 8              # the most stable of eight candidates each",
            "sorbus generate model=sorbents count=16 conditions.void_fraction=0.7     # porous frameworks",
            "sorbus generate model=sorbents --condition net=pcu --condition metals=Zn,Cu",
            "sorbus generate model=sorbents --fix pcu:N16:E14 --fix-what nodes         # redraw the linkers",
            "sorbus generate model=template count=10          # frameworks put together at random",
            "sorbus generate model=zeolites --decorate si_al=10,cation=Na             # new frameworks, with Al and Na",
            "sorbus generate model=zeolites --framework SOD --decorate si_al=5 count=4",
        ],
    )
    add_config_options(parser)
    parser.add_argument("--checkpoint", metavar="MODEL", help="shipped weights or a checkpoint folder")
    parser.add_argument(
        "--condition",
        action="append",
        metavar="NAME=VALUE",
        help="num_atoms, chemical_system, composition, required_elements, allowed_elements, excluded_elements, "
        "space_group, or a property of the checkpoint; of sorbents: metals, nodes, linkers, net, num_beads, max_atoms, "
        "void_fraction and others (docs/generate_sorbents.md); may be repeated",
    )
    parser.add_argument("--guidance", metavar="WEIGHT", help="weight of property conditions (1 plain, default 2)")
    parser.add_argument(
        "--fix", metavar="FILE", help="structure, part of which is kept and completed; of sorbents: beads, or a recipe"
    )
    parser.add_argument("--fix-sites", metavar="0,1,…", help="its sites to keep, counted from 0 (default all)")
    parser.add_argument(
        "--fix-what",
        metavar="LIST",
        help="some of species,coordinates,lattice (default all); of sorbents: nodes,linkers,coordinates,lattice",
    )
    parser.add_argument("--start", metavar="FILE", help="structure to start from")
    parser.add_argument("--noise", metavar="LEVEL", help="noise level of the start, above 0 up to 1 (default 0.3)")
    parser.add_argument("--species-noise", metavar="SHARE", help="share of its elements drawn again (default 0)")
    parser.add_argument(
        "--screen",
        metavar="N",
        help="of crystals: draw N candidates for each and return the one a fast potential finds most stable",
    )
    parser.add_argument(
        "--screen-limit", metavar="EV", help="the first candidate at most this high above the hull (eV/atom) instead"
    )
    parser.add_argument("--framework", metavar="NET", help="of zeolites: a known net (sod, FAU) or a silica file")
    parser.add_argument(
        "--decorate",
        metavar="NAME=VALUE,…",
        help="of zeolites: aluminium and cations; si_al or aluminium, cation, supercell=2x1x1 (docs/zeolites.md)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Generate, write, and say what was lost on the way."""
    from screening.generation import GenerateSettings, generate

    paths, _ = split_inputs(arguments)
    if paths:
        raise InputError(f"generate takes key=value settings, not {paths[0]!r}: a settings file goes behind --config")
    settings = _with_flags(resolve_config(GenerateSettings, arguments)[0], arguments)
    if arguments.print_config:
        return print_config(settings)
    folder = writable_folder(settings.out)
    batch = generate(settings, progress=True)
    for path in batch.write(folder):
        print(path)
    _report_losses(batch.failures)
    print(f"{len(batch.structures)} of {settings.count} structures in {folder}")
    return 0


def _with_flags(settings: "GenerateSettings", arguments: argparse.Namespace) -> "GenerateSettings":
    """The settings with what the flags say on top of them."""
    import yaml

    from potentials.config import parse_config
    from screening.generation import GenerateSettings

    conditions, options = dict(settings.conditions), dict(settings.settings)
    for text in arguments.condition or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"--condition {text!r} is not NAME=VALUE: write it as band_gap=2.0 or space_group=225")
        try:
            conditions[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            conditions[name.strip()] = value
    flags = {
        "checkpoint": arguments.checkpoint,
        "guidance": _number("--guidance", arguments.guidance),
        "fix": arguments.fix,
        "fix_sites": _sites(arguments.fix_sites),
        "fix_what": None if arguments.fix_what is None else arguments.fix_what.replace(",", " ").split(),
        "start": arguments.start,
        "start_noise": _number("--noise", arguments.noise),
        "species_noise": _number("--species-noise", arguments.species_noise),
        "screen": _screen(arguments, options.get("screen")),
        "framework": arguments.framework,
        "decoration": _decoration(arguments.decorate),
    }
    options |= {name: value for name, value in flags.items() if value is not None}
    values = {**settings.model_dump(), "conditions": conditions, "settings": options}
    return parse_config(GenerateSettings, values, "command line")


def _number(flag: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{flag} {text!r} is not a number") from None


def _sites(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdecimal() for part in parts):
        raise InputError(f"--fix-sites {text!r} is not a list of site numbers: write it as 0,1,4")
    return tuple(int(part) for part in parts)


def _screen(arguments: argparse.Namespace, given: Any) -> dict[str, Any] | None:
    """The screen's settings with what the flags say on top of them; None without any."""
    candidates, limit = arguments.screen, _number("--screen-limit", arguments.screen_limit)
    if candidates is not None and not (candidates.isdecimal() and int(candidates) > 0):
        raise InputError(f"--screen {candidates!r} is not a number of candidates: write it as --screen 8")
    flags = {"candidates": None if candidates is None else int(candidates), "limit": limit}
    settings = {**(given or {}), **{name: value for name, value in flags.items() if value is not None}}
    return settings or None


def _decoration(text: str | None) -> dict[str, Any] | None:
    """`si_al=10,cation=Na,supercell=2x1x1` as settings; what they may be is checked with the other settings."""
    import yaml

    if text is None:
        return None
    found: dict[str, Any] = {}
    for part in text.replace(" ", "").split(","):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise InputError(f"--decorate {text!r} is not NAME=VALUE,…: write it as si_al=10,cation=Na")
        repeats = value.split("x")
        if name == "supercell" and all(repeat.isdecimal() for repeat in repeats):
            found[name] = [int(repeat) for repeat in repeats]
        else:
            try:
                found[name] = yaml.safe_load(value)
            except yaml.YAMLError:
                found[name] = value
    return found


def _report_losses(failures: list[Any]) -> None:
    for reason, count in Counter(failures).most_common(5):
        print(f"lost {count}: {reason}")
