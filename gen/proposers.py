"""The proposers a campaign may name, each one line: what it is called, where it lives, what settings it takes."""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gen.proposal import Proposer
from potentials.config import parse_config
from potentials.errors import InputError


@dataclass(frozen=True)
class ProposerEntry:
    """A registry line. Classes are written `module:name` and imported when the proposer is loaded."""

    name: str
    proposer: str  # takes its settings as the only argument
    settings: str  # a `Config` subclass


PROPOSERS: Mapping[str, ProposerEntry] = {
    entry.name: entry
    for entry in (
        ProposerEntry("template", "gen.sorbents.template:TemplateProposer", "gen.sorbents.template:TemplateSettings"),
        ProposerEntry("crystals", "gen.crystals.proposer:CrystalProposer", "gen.crystals.proposer:CrystalSettings"),
        ProposerEntry("files", "gen.sorbents.files:FilesProposer", "gen.sorbents.files:FilesSettings"),
        ProposerEntry("sorbents", "gen.sorbents.proposer:SorbentProposer", "gen.sorbents.proposer:SorbentSettings"),
        ProposerEntry("zeolites", "gen.zeolites.proposer:ZeoliteProposer", "gen.zeolites.proposer:ZeoliteSettings"),
    )
}


def load_proposer(name: str, settings: Mapping[str, Any] | None = None) -> Proposer:
    """The proposer called `name`, with its settings checked.

    Args:
        name: a short name of `PROPOSERS`.
        settings: values for the proposer's own settings class; what is left out has its default.

    Raises:
        InputError: no such proposer or setting (the nearest is named), or a value it refuses.
    """
    if name not in PROPOSERS:
        nearest = difflib.get_close_matches(name, PROPOSERS, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(PROPOSERS)}"
        raise InputError(f"no proposer is called {name!r}: {hint}")
    entry = PROPOSERS[name]
    checked = parse_config(_resolve(entry.settings), dict(settings or {}), f"settings of the proposer {name!r}")
    return _resolve(entry.proposer)(checked)


def _resolve(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
