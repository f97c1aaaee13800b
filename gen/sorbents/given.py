"""A framework named on a command line: a bead row in a file, or a recipe that the library builds."""

import json
from pathlib import Path

from gen.sorbents.assembly import assemble
from gen.sorbents.beads import BeadRow, Beads
from gen.sorbents.catalog import Catalog, load_catalog
from gen.sorbents.recipe import Recipe
from potentials.errors import InputError


def read_beads(name: str) -> Beads:
    """Beads of a framework.

    Args:
        name: a JSON file as `sorbus generate model=sorbents` writes into `beads/`, or a recipe of the template
            such as `pcu:N16:E14` (net, nodes, linkers; "+" between classes, "direct" for no linker).

    Raises:
        InputError: no such file or recipe, or one that cannot be read or assembled.
    """
    path = Path(name)
    if not path.is_file():
        if name.count(":") == 2 and path.suffix != ".json":
            return assemble(parse_recipe(name, load_catalog()), load_catalog()).beads
        raise InputError(f"{name!r} is neither a file of beads nor a recipe such as pcu:N16:E14")
    try:
        return BeadRow.from_json(json.loads(path.read_text(encoding="utf-8"))).beads
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} holds no beads ({reason}): name a file of the folder beads/") from None


def parse_recipe(key: str, catalog: Catalog) -> Recipe:
    """The recipe of a key.

    Raises:
        InputError: a net or block the library does not have, or not as many as the net has classes.
    """
    net, nodes, edges = (part.split("+") for part in key.split(":"))
    if net[0] not in catalog.nets:
        raise InputError(f"{key}: {net[0]!r} is not among the nets the library can fill: use a symbol such as pcu")
    slots = catalog.nets[net[0]]
    for names, classes, kind in ((nodes, slots.nodes, "node"), (edges, slots.edges, "edge")):
        if len(names) != len(classes):
            raise InputError(f"{key}: net {net[0]} has {len(classes)} {kind} classes, not {len(names)}: name each")
    for name in (*nodes, *edges):
        if name != "direct" and name not in catalog.blocks:
            raise InputError(f"{key}: no building block is called {name!r}: use names such as N16 and E14")
    return Recipe(net[0], tuple(nodes), tuple(None if edge == "direct" else edge for edge in edges))
