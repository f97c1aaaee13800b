"""Opening a run folder: a new store, or the one that is there if its configuration fits."""

import importlib.metadata
import os
import platform
import socket
import sqlite3
from pathlib import Path

from potentials.config import config_hash
from potentials.errors import InputError
from screening.campaign_config import CampaignConfig, differing_keys
from screening.store import PROPOSED, STORE_NAME, Store
from screening.store_file import acquire_lock, release_lock

_PACKAGES = ("sorbus", "torch", "chgnet", "e3nn", "pymatgen", "ase", "raspalib", "pyzeo", "pormake", "smact", "numpy")


def open_run(config: CampaignConfig, folder: Path) -> tuple[Store, bool]:
    """The store of `folder`, open for writing, and whether it is new. Leases of a driver that is gone are void.

    Raises:
        InputError: the store holds a campaign whose finished work does not fit `config` (the keys are named), is
            in use by another driver, or cannot be used as a store.
    """
    path = folder / STORE_NAME
    values = config.model_dump(mode="json")
    if not path.exists() or path.stat().st_size == 0:
        meta = {
            "name": config.name,
            "question": config.question,
            "config": values,
            "config_hash": config_hash(config),
            "versions": versions(),
        }
        store, new = Store.create(path, meta), True
    else:
        store, new = Store.open(path, "w"), False
    try:
        if not new:
            _fit(store, config, folder)
        store.log("driver started", detail=f"process {os.getpid()} on {socket.gethostname()}, {config_hash(config)}")
    except BaseException:
        store.close()
        raise
    return store, new


def _fit(store: Store, config: CampaignConfig, folder: Path) -> None:
    stored, values = store.meta("config"), config.model_dump(mode="json")
    names = [stage["name"] for stage in stored["stages"]]
    closed = store.closed_stages()
    finished = sum(name in closed for name in names)
    begun = max([n + 1 for n, name in enumerate(names) if name in closed or store.evaluated(name)], default=0)
    changed = differing_keys(stored, values, begun, finished) if store.proposed() else []
    if changed:
        raise InputError(
            f"{folder} holds work done with other settings ({'; '.join(changed)}): put them back, "
            "choose another name or output folder, or start over with --fresh"
        )
    with store.transaction():
        if stored != values:
            store.set_meta("config", values)
            store.set_meta("config_hash", config_hash(config))
            store.set_meta("question", config.question)
            store.log("configuration changed", detail=config_hash(config))
        before, now = store.meta("versions"), versions()
        if before != now:
            # both stay visible: numbers of one campaign then come from two versions
            merged = {name: _merge(before.get(name), now.get(name)) for name in {**before, **now}}
            store.set_meta("versions", merged)
            store.log("versions changed", detail=str(now))
        store.void_leases()


def where_it_stands(store: Store, config: CampaignConfig) -> str:
    """One line for a person who runs the command again."""
    closed = store.closed_stages()
    if PROPOSED not in closed:
        return f"resuming: {len(store.proposed())} of {config.proposer.count} proposals made"
    for stage in config.stages:
        if stage.name not in closed:
            done = store.evaluated(stage.name)
            total = len(done | {identity for _, identity in store.survivors()})
            return f"resuming: {len(done)} of {total} candidates through stage {stage.name}"
    return f"nothing left to measure: {config.proposer.count} proposals are through all {len(config.stages)} stages"


def set_aside(folder: Path) -> Path | None:
    """Rename a run folder to the first free `<folder>.1`, `.2`, ...; `None` when there is nothing to set aside.

    Raises:
        InputError: a campaign runs in it, or it cannot be renamed.
    """
    path = folder / STORE_NAME
    if not path.exists():
        return None
    lock = acquire_lock(path)
    try:
        number = next(n for n in range(1, 10_000) if not folder.with_name(f"{folder.name}.{n}").exists())
        return folder.rename(folder.with_name(f"{folder.name}.{number}"))
    except OSError as error:
        raise InputError(f"cannot rename {folder}: {error.strerror}: rename or remove it yourself") from error
    finally:
        release_lock(path, lock)


def versions() -> dict[str, str]:
    """Versions of what produces the numbers, without importing any of it."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _merge(before: str | None, now: str | None) -> str:
    if before is None or now is None or now in before.split(", then "):
        return before or now or ""
    return f"{before}, then {now}"
