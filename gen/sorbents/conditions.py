"""What a user may ask of a generated sorbent, checked before any sampling."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gen.crystals.conditions import property_value, unknown_condition
from gen.crystals.properties import PropertySpec
from gen.sorbents.bead_dataset import joined_matrix, reduction
from gen.sorbents.beads import DIRECT, EDGE
from gen.sorbents.block_rules import Library, Rules
from gen.sorbents.catalog import Catalog
from potentials.errors import InputError

Roles = tuple[int, ...]  # connections of every bead of a cell, sorted

_METALS = ("metals", "required_metals", "excluded_metals")
_BLOCKS = tuple(f"{how}{kind}" for kind in ("nodes", "linkers") for how in ("", "required_", "allowed_", "excluded_"))
KEYS = (*_METALS, *_BLOCKS, "net", "num_beads", "max_atoms", "mofs", "cofs", "neutral")
NET_RMSD = 0.3  # of unit directions, block against net, as far as a net's node is offered a block


@dataclass(frozen=True)
class NetSlots:
    """A net that is held: its beads as `load_net` lists them, nodes and edges."""

    name: str
    roles: Roles  # in the order of the slots
    fits: np.ndarray  # [n, T] bool: blocks whose connection points suit the slot
    frac: Tensor  # [n, 3] in the reduced cell of the ideal net
    joined: Tensor  # [n, n] how often two slots are linked


@dataclass(frozen=True)
class SorbentConditions:
    """Checked conditions in the model's own terms."""

    allowed: np.ndarray  # [T] bool
    demands: tuple[
        tuple[str, frozenset[int]], ...
    ]  # what must occur, in words, and the tokens any one of which will do
    role_sets: Mapping[Roles, float]  # possible ones and their weights; empty where nets are held
    nets: tuple[NetSlots, ...]  # one of these is held; () for whatever comes
    rules: Rules
    values: Mapping[str, float] = field(default_factory=dict)  # of the properties the network is conditioned on

    def options(self, roles: Roles, library: Library, net: NetSlots | None = None) -> np.ndarray:
        """[n, T] bool: which blocks each bead may be."""
        fitting = self.allowed & (np.array(roles)[:, None] == library.connections)
        return fitting if net is None else fitting & net.fits


def parse_conditions(
    conditions: Mapping[str, Any] | None,
    library: Library,
    catalog: Catalog,
    role_sets: Mapping[Roles, int],
    properties: Sequence[PropertySpec] = (),
) -> SorbentConditions:
    """Check conditions against what a model knows.

    `metals`: "Zn" or "Zn,Cu", no other metal, and at least one of them; `required_metals`: each of them occurs;
    `excluded_metals`. `nodes`: "N16", exactly these, each at least once; `required_nodes`, `allowed_nodes` (no
    others), `excluded_nodes`; the same for `linkers`, where "direct" is the bond of two nodes without a linker.
    `net`: an RCSR symbol, or several of which one is drawn; its beads' positions are held, the cell is free.
    `num_beads`: nodes and edges in the primitive cell: 4, "4-12" or [4, 8]. `max_atoms`: of the primitive cell, 150
    by default. `mofs`, `cofs`: with and without metal, by default true and false. `neutral`: formal charges balance,
    by default true. Any other key is a property the network was trained on.

    Args:
        library: the model's blocks.
        catalog: which blocks fit which nets.
        role_sets: training frameworks of each set of roles.
        properties: what the network can be conditioned on.

    Raises:
        InputError: an unknown key, block, metal, net or property, a value that cannot be, or conditions that no
            framework meets.
    """
    given = {key: value for key, value in dict(conditions or {}).items() if value is not None}
    known = {spec.name: spec for spec in properties}
    for key in given:
        if key not in KEYS and key not in known:
            raise unknown_condition(str(key), KEYS, known)
    values = {key: property_value(known[key], value) for key, value in given.items() if key in known}
    rules = Rules(
        max_atoms=_whole("max_atoms", given.get("max_atoms", Rules.max_atoms), 1, 10_000),
        neutral=_switch("neutral", given.get("neutral", Rules.neutral)),
        mofs=_switch("mofs", given.get("mofs", Rules.mofs)),
        cofs=_switch("cofs", given.get("cofs", Rules.cofs)),
    )
    if not (rules.mofs or rules.cofs):
        raise InputError("mofs and cofs are both off: switch one on")
    allowed, demands = _block_bounds(given, library)
    metal_allowed, metal_demands = _metal_bounds(given, library)
    allowed, demands = allowed & metal_allowed, (*demands, *metal_demands)
    if not rules.mofs:
        if metal_demands:
            raise InputError(f"{metal_demands[0][0]} and mofs = false contradict: switch mofs on")
        allowed &= ~library.is_metallic
    nets = tuple(_net_slots(name, library, catalog) for name in _listed("net", given.get("net", ())))
    low, high = _span(given.get("num_beads"))
    asked = SorbentConditions(allowed, demands, {}, (), rules, values)
    if nets:
        fitting = tuple(
            net for net in nets if low <= len(net.roles) <= high and _fault(asked, library, net.roles, net) is None
        )
        if not fitting:
            net = nets[0]
            reason = _fault(asked, library, net.roles, net) or f"it has {len(net.roles)} beads, outside num_beads"
            raise InputError(f"net {net.name} cannot be filled under these conditions: {reason}")
        return SorbentConditions(allowed, demands, {}, fitting, rules, values)
    sizes = {roles: float(count) for roles, count in role_sets.items() if low <= len(roles) <= high}
    if not sizes:
        counts = sorted({len(roles) for roles in role_sets})
        raise InputError(
            f"num_beads = {given.get('num_beads')!r} fits no framework the model was trained on: "
            f"they have {counts[0]} to {counts[-1]} beads"
        )
    faults = {roles: _fault(asked, library, roles) for roles in sizes}
    possible = {roles: weight for roles, weight in sizes.items() if faults[roles] is None}
    if not possible:
        smallest = min(sizes, key=len)
        raise InputError(f"no framework meets these conditions: {faults[smallest]}; relax one of them")
    return SorbentConditions(allowed, demands, possible, (), rules, values)


def match_demands(
    demands: Sequence[tuple[str, frozenset[int]]], options: np.ndarray, order: Sequence[int]
) -> dict[int, frozenset[int]] | None:
    """A bead of its own for every demand: bead -> tokens it may then be; None where there are not enough.

    Args:
        options: [n, T] bool: which blocks each bead may be.
        order: beads in the order they are tried.
    """
    suiting = [[bead for bead in order if options[bead, sorted(tokens)].any()] for _, tokens in demands]
    holder: dict[int, int] = {}  # bead -> demand; augmenting paths (Kuhn 1955)

    def place(demand: int, seen: set[int]) -> bool:
        for bead in suiting[demand]:
            if bead not in seen:
                seen.add(bead)
                if bead not in holder or place(holder[bead], seen):
                    holder[bead] = demand
                    return True
        return False

    if not all(place(demand, set()) for demand in range(len(demands))):
        return None
    return {bead: demands[demand][1] for bead, demand in holder.items()}


def _fault(asked: SorbentConditions, library: Library, roles: Roles, net: NetSlots | None = None) -> str | None:
    """Why beads of these roles cannot meet the conditions, or None."""
    options = asked.options(roles, library, net)
    for role, choice in zip(roles, options, strict=True):
        if not choice.any():
            return f"no block of {role} connections is left that may be used"
    atoms = np.where(options, library.atoms, np.iinfo(int).max).min(1)
    if atoms.sum() > asked.rules.max_atoms:
        return f"the smallest blocks make {atoms.sum()} atoms, above max_atoms = {asked.rules.max_atoms}"
    matched = match_demands(asked.demands, options, range(len(roles)))
    if matched is None:
        return f"{' and '.join(words for words, _ in asked.demands)} cannot all be placed"
    for bead, tokens in matched.items():
        atoms[bead] = min(library.atoms[token] for token in tokens if options[bead, token])
    if atoms.sum() > asked.rules.max_atoms:
        return f"what must occur makes {atoms.sum()} atoms, above max_atoms = {asked.rules.max_atoms}"
    if not asked.rules.cofs and not (options & library.is_metallic).any():
        return "no block with a metal is left that may be used"
    return None


def _block_bounds(
    given: Mapping[str, Any], library: Library
) -> tuple[np.ndarray, tuple[tuple[str, frozenset[int]], ...]]:
    """Which blocks may occur, and which must."""
    allowed = np.ones(len(library.names), dtype=bool)
    demands: list[tuple[str, frozenset[int]]] = []
    for kind in ("nodes", "linkers"):
        mine = (library.connections == EDGE) == (kind == "linkers")
        for key in (kind, f"allowed_{kind}", f"excluded_{kind}", f"required_{kind}"):
            if key not in given:
                continue
            tokens = [_token(key, name, library, mine) for name in _listed(key, given[key])]
            named = np.isin(np.arange(len(mine)), tokens)
            if key in (kind, f"allowed_{kind}"):
                allowed &= named | ~mine
            elif key == f"excluded_{kind}":
                allowed &= ~named
            if key in (kind, f"required_{kind}"):
                demands += [(f"{key} {library.names[token]}", frozenset({token})) for token in tokens]
        if not (allowed & mine).any():
            raise InputError(f"no block is left for {kind}: relax allowed_{kind} or excluded_{kind}")
    for words, wanted in demands:
        if not allowed[sorted(wanted)].any():
            raise InputError(f"{words} is excluded by another condition: drop one of the two")
    return allowed, tuple(dict.fromkeys(demands))


def _metal_bounds(
    given: Mapping[str, Any], library: Library
) -> tuple[np.ndarray, tuple[tuple[str, frozenset[int]], ...]]:
    """Which blocks the conditions on metals leave, and the metals that must occur, in nodes where nodes hold them."""
    asked = {key: _listed(key, given.get(key, ())) for key in _METALS}
    for key, symbols in asked.items():
        for symbol in symbols:
            if symbol not in library.metals:
                raise InputError(
                    f"{key}: no block of the library holds {symbol!r}{_hint(symbol, library.metals)}: "
                    f"use some of {', '.join(library.metals)}"
                )
    for symbol in asked["required_metals"]:
        if symbol in asked["excluded_metals"] or (asked["metals"] and symbol not in asked["metals"]):
            raise InputError(
                f"required_metals asks for {symbol}, which another condition excludes: drop one of the two"
            )
    allowed = np.ones(len(library.names), dtype=bool)
    for token, block in enumerate(library.blocks):
        held = set(block.metals) if block is not None else set()
        allowed[token] = not held & set(asked["excluded_metals"]) and (
            not asked["metals"] or held <= set(asked["metals"])
        )
    is_node = library.connections != EDGE

    def demand(words: str, symbols: Iterable[str]) -> tuple[str, frozenset[int]]:
        tokens = frozenset(t for symbol in symbols for t in library.with_metal(symbol) if allowed[t])
        nodes = frozenset(t for t in tokens if is_node[t])
        if not tokens:
            raise InputError(f"{words}: no block that holds it is left: relax metals or excluded_metals")
        return words, nodes or tokens

    demands = [demand(f"required_metals {symbol}", [symbol]) for symbol in asked["required_metals"]]
    if asked["metals"] and not asked["required_metals"]:
        demands.append(demand(f"metals {','.join(asked['metals'])}", asked["metals"]))
    return allowed, tuple(demands)


def _net_slots(name: str, library: Library, catalog: Catalog) -> NetSlots:
    from gen.sorbents.library import load_net

    if name not in catalog.nets:
        raise InputError(
            f"net: {name!r} is not among the {len(catalog.nets)} nets the library can fill"
            f"{_hint(name, catalog.nets)}: use RCSR symbols such as pcu, fcu, tbo"
        )
    net = load_net(name)
    atoms = net.atoms
    slots = {slot.tag: slot for slot in catalog.nets[name].nodes}
    token = {block: t for t, block in enumerate(library.names)}
    fits = np.zeros((len(atoms), len(library.names)), dtype=bool)
    for row, tag in enumerate(atoms.get_tags().tolist()):
        if tag < 0:
            fits[row] = library.connections == EDGE
            continue
        fits[row, [token[b] for b, rmsd in slots[tag].fits.items() if rmsd < NET_RMSD and b in token]] = True
    basis = reduction(atoms.cell[:])
    frac = torch.from_numpy(atoms.get_scaled_positions() @ np.linalg.inv(basis) % 1.0).float()
    linked = tuple(
        (int(end.index), edge)
        for edge in np.flatnonzero(atoms.get_tags() < 0).tolist()
        for end in net.neighbor_list[edge]
    )
    joined = joined_matrix(linked, len(atoms))
    return NetSlots(name, tuple(int(n) for n in atoms.info["cn"]), fits, frac, joined)


def _token(key: str, name: str, library: Library, mine: np.ndarray) -> int:
    names = [library.names[t] for t in np.flatnonzero(mine)]
    if name in names:
        return library.names.index(name)
    kind = "linker" if EDGE in library.connections[mine] else "node"
    if name in library.names:
        raise InputError(f"{key}: {name} is not a {kind}: ask for it under the other kind of block")
    shown = [n for n in names if n != DIRECT]
    raise InputError(
        f"{key}: no {kind} of the library is called {name!r}{_hint(name, names)}: use names such as {shown[0]}"
    )


def _listed(key: str, value: Any) -> tuple[str, ...]:
    """Names as a list, or as one text with commas."""
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{key} = {value!r} is not a list of names: write it as A,B or [A, B]")
    return tuple(dict.fromkeys(names))


def _hint(name: str, names: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{key} = {value!r} is neither true nor false")
    return value


def _whole(key: str, value: Any, low: int, high: int) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal():
        raise InputError(f"{key} = {value!r} is not a whole number: give {low} to {high}")
    if not low <= int(text) <= high:
        raise InputError(f"{key} = {value} is outside {low} to {high}")
    return int(text)


def _span(value: Any) -> tuple[int, int]:
    """Smallest and largest bead count of 4, "4-12" or [4, 12]."""
    if value is None:
        return 1, 10_000
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise InputError(f"num_beads = {value!r} is not a range: write it as 4-12 or [4, 12]")
        first, last = value
    else:
        first, dash, last = str(value).partition("-")
        last = last if dash else first
    low, high = _whole("num_beads", first, 1, 10_000), _whole("num_beads", last, 1, 10_000)
    if low > high:
        raise InputError(f"num_beads = {value!r} is an empty range: write the smaller count first")
    return low, high
