"""The store: one SQLite file that alone knows what a campaign has done.

One writing connection (a lock refuses a second driver), `synchronous=FULL`, one commit a batch, and a rollback
journal in TRUNCATE mode rather than WAL: WAL does not work on network file systems, leaves its truth in three files,
and corrupted databases in SQLite 3.7.0 to 3.51.2 when two connections checkpointed at once
(https://sqlite.org/wal.html#walresetbug). A commit costs a few milliseconds, an evaluation seconds.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from potentials.errors import InputError
from screening.candidate import Candidate, Measurement, Property, Row, Snapshot
from screening.geometry_json import decode_structure
from screening.store_file import acquire_lock, check_ours, connect, explained, is_writable, release_lock, statements
from screening.store_measurements import insert_measurement, measurements_by_id, upgrade, with_measurements
from screening.store_schema import APPLICATION_ID, SCHEMA_VERSION, TABLES

STORE_NAME = "store.sqlite"
PROPOSED = "proposed"  # name of the stage before the first


class Store:
    """One campaign's ledger. Open it with `Store.create` or `Store.open`; use it from one thread.

    Writing methods are atomic; within `with store.transaction():` several become one commit.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    # Opening and closing

    @classmethod
    def create(cls, path: str | Path, meta: Mapping[str, Any]) -> "Store":
        """Make a new store, whole or not at all, and open it for writing.

        Args:
            path: file to make; an empty file (left by a death at the very start) is taken over.
            meta: JSON-able values by key: `name`, `question`, `config`, `config_hash`, `versions`.

        Raises:
            InputError: the file exists, or cannot be written.
        """
        path = Path(path)
        if path.exists() and path.stat().st_size:
            raise InputError(f"{path} exists already: open it, or choose another folder")
        lock = acquire_lock(path)
        try:
            connection = connect(path, "rwc")
        except InputError:
            release_lock(path, lock)
            raise
        store = cls(path, connection, lock)
        try:
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            with store.transaction():
                for statement in statements(TABLES):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                for key, value in {**meta, "created": _now()}.items():
                    store.set_meta(key, value)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, path: str | Path, mode: Literal["r", "w"] = "r") -> "Store":
        """Open an existing store.

        Args:
            path: the store file.
            mode: `r` reads, also while a campaign runs; `w` takes the lock of the one driver and checks every page.

        Raises:
            InputError: the file is missing, not a store, from a newer Sorbus, damaged, not writable, or (`w`) in use.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"there is no store {path}: run `sorbus discover` first, or check the folder")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty, not a store: delete it and run `sorbus discover`")
        lock = acquire_lock(path) if mode == "w" else None
        try:
            # a reader that may write is let to roll back what a killed driver left half-written
            writable = is_writable(path)
            if mode == "w" and not writable:
                raise InputError(f"{path} is read-only: make it and its folder writable, or copy it elsewhere")
            connection = connect(path, "rw" if writable else "ro")
            try:
                check_ours(path, connection, thorough=mode == "w")
                connection.execute("PRAGMA query_only = ON" if mode == "r" else "PRAGMA journal_mode = TRUNCATE")
            except BaseException:
                connection.close()
                raise
        except BaseException:
            if lock is not None:
                release_lock(path, lock)
            raise
        store = cls(path, connection, lock)
        if mode == "w":
            store._upgrade()
        return store

    def close(self) -> None:
        """Close the file and give up the lock; safe to call twice."""
        self._connection.close()
        if self._lock is not None:
            journal = self.path.with_name(self.path.name + "-journal")
            with contextlib.suppress(OSError):
                if journal.stat().st_size == 0:  # truncated after the last commit: nothing to roll back
                    journal.unlink()
            release_lock(self.path, self._lock)
            self._lock = None

    def discard(self) -> None:
        """Delete the store, for a campaign refused before it began."""
        self._connection.close()
        for suffix in ("", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything written inside one commit: all of it or none; nested calls join the outer one.

        Raises:
            InputError: disk full, read-only, damaged, or held by another program; the store stays as it was.
        """
        if self._connection.in_transaction:
            yield
            return
        with explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    # Writing

    def set_meta(self, key: str, value: Any) -> None:
        """Set a campaign-wide JSON value."""
        with self.transaction():
            self._connection.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, json.dumps(value)),
            )

    def commit_proposal(self, proposal: Mapping[str, Any]) -> bool:
        """Add a proposal as `screening.tasks` encodes it; `False` when its index is in the store already."""
        with self.transaction():
            index, identity = proposal["index"], proposal["id"]
            self._end_lease(PROPOSED, str(index))
            if self._connection.execute("SELECT 1 FROM proposal WHERE idx = ?", (index,)).fetchone():
                return False
            if identity is not None:
                self._connection.execute(
                    "INSERT OR IGNORE INTO candidate VALUES (?, ?, ?, ?, ?)",
                    (
                        identity,
                        proposal["chemical_formula_reduced"],
                        json.dumps(proposal["elements"]),
                        proposal["nelements"],
                        proposal["nsites"],
                    ),
                )
                # of proposals that share a hash the first in order gives the geometry, whichever is made first
                ((first,),) = self._connection.execute("SELECT min(idx) FROM proposal WHERE id = ?", (identity,))
                if first is None or index < first:
                    self._connection.execute(
                        "INSERT OR REPLACE INTO geometry VALUES (?, 0, ?, ?)",
                        (identity, PROPOSED, json.dumps(proposal["structure"])),
                    )
            state, stage = ("active", None) if identity is not None else ("unbuilt", PROPOSED)
            self._connection.execute(
                "INSERT INTO proposal VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    index,
                    identity,
                    state,
                    stage,
                    proposal["failure"],
                    json.dumps(proposal["provenance"]),
                    proposal["wall_seconds"],
                    _now(),
                ),
            )
            return True

    def commit_evaluation(self, identity: str, stage: str, found: Mapping[str, Any], wall_seconds: float) -> bool:
        """Commit what a stage found for a candidate, as `screening.tasks.encode_evaluation` gives it.

        A rejected candidate leaves the funnel here. `False`, and nothing changes, when (candidate, stage) is done.
        """
        rejected = found["rejected"]
        with self.transaction():
            outcome = "measured" if rejected is None else "rejected"
            if not self._commit(identity, stage, outcome, rejected, wall_seconds):
                return False
            for item in found["properties"]:
                columns = tuple(item[key] for key in ("name", "value", "unit", "std", "method", "note"))
                self._connection.execute("INSERT OR REPLACE INTO property VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                                         (identity, stage, *columns))  # fmt: skip
            if found["structure"] is not None:
                self._connection.execute(
                    "INSERT INTO geometry SELECT ?, max(revision) + 1, ?, ? FROM geometry WHERE id = ?",
                    (identity, stage, json.dumps(found["structure"]), identity),
                )
            return True

    def commit_failure(self, identity: str, stage: str, reason: str, wall_seconds: float) -> bool:
        """Commit that a stage cannot be done for a candidate, which leaves the funnel; idempotent likewise."""
        with self.transaction():
            return self._commit(identity, stage, "failed", reason, wall_seconds)

    def lose(self, index: int, state: str, stage: str, reason: str) -> None:
        """Take an active candidate out of the funnel."""
        with self.transaction():
            self._connection.execute(
                "UPDATE proposal SET state = ?, stage = ?, reason = ?, last_modified = ? "
                "WHERE idx = ? AND state = 'active'",
                (state, stage, reason, _now(), index),
            )

    def close_stage(self, stage: str) -> None:
        """Mark a stage as measured and filtered."""
        with self.transaction():
            self._connection.execute("INSERT OR IGNORE INTO stage VALUES (?, ?)", (stage, _now()))
            self.log("stage closed", stage)

    def lease(self, stage: str, subject: str, attempt: int, deadline_s: float) -> None:
        """Note that a task was handed to a worker; its commit or death ends the lease."""
        deadline = (datetime.now(UTC) + timedelta(seconds=deadline_s)).isoformat(timespec="seconds")
        with self.transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", (stage, subject, attempt, deadline)
            )

    def void_leases(self) -> int:
        """Drop the leases of a driver that is gone (we hold its lock); returns how many there were."""
        with self.transaction():
            count = self._connection.execute("DELETE FROM lease").rowcount
            if count:
                self.log("leases voided", detail=str(count))
            return count

    def record_death(self, stage: str, subject: str, reason: str) -> int:
        """Note that a worker was lost on a task; returns how many have been, which is what poisons it."""
        with self.transaction():
            self._end_lease(stage, subject)
            deaths = self.deaths(stage).get(subject, 0) + 1
            self._connection.execute(
                "INSERT INTO death VALUES (?, ?, ?, ?, ?)", (stage, subject, deaths, reason, _now())
            )
            return deaths

    def record_decision(
        self, identity: str, verdict: Literal["approved", "rejected"], person: str, reason: str
    ) -> None:
        """Note what a person decided about a candidate (`approved`, `rejected`); earlier decisions stay on record."""
        with self.transaction():
            self._connection.execute(
                "INSERT INTO decision (id, verdict, person, reason, at) VALUES (?, ?, ?, ?, ?)",
                (identity, verdict, person, reason, _now()),
            )

    def add_measurement(self, identity: str, measurement: Measurement) -> bool:
        """Enter what a laboratory found for a candidate; `False` when the same data stand there already."""
        with self.transaction():
            added = insert_measurement(self._connection, identity, measurement)
            if added:
                self.log("measurement added", subject=identity, detail=measurement.source)
            return added

    def log(self, kind: str, stage: str = "", subject: str = "", detail: str = "") -> None:
        """Append an event."""
        with self.transaction():
            self._connection.execute(
                "INSERT INTO event (at, kind, stage, subject, detail) VALUES (?, ?, ?, ?, ?)",
                (_now(), kind, stage, subject, detail),
            )

    # Reading

    def meta(self, key: str, default: Any = None) -> Any:
        """A campaign-wide value."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else default

    def proposed(self) -> set[int]:
        """Indices whose proposal is in the store, built or not."""
        return {index for (index,) in self._rows("SELECT idx FROM proposal")}

    def survivors(self) -> list[tuple[int, str]]:
        """(index, id) of every candidate still in the funnel, by index."""
        return self._rows("SELECT idx, id FROM proposal WHERE state = 'active' ORDER BY idx")

    def site_counts(self) -> dict[str, int]:
        """Number of atoms of every candidate, by id."""
        return dict(self._rows("SELECT id, nsites FROM candidate"))

    def evaluated(self, stage: str) -> set[str]:
        """Ids that are done with a stage, whatever came of it."""
        return {identity for (identity,) in self._rows("SELECT id FROM evaluation WHERE stage = ?", stage)}

    def closed_stages(self) -> set[str]:
        """Names of the stages that are measured and filtered."""
        return {name for (name,) in self._rows("SELECT name FROM stage")}

    def deaths(self, stage: str) -> dict[str, int]:
        """Workers lost at a stage, by subject."""
        return dict(self._rows("SELECT subject, count(*) FROM death WHERE stage = ? GROUP BY subject", stage))

    def counts(self) -> dict[str, int]:
        """Proposals by state."""
        return dict(self._rows("SELECT state, count(*) FROM proposal GROUP BY state"))

    def properties(self, identity: str) -> dict[str, Property]:
        """What evaluators found for a candidate, never a laboratory; of a property found twice, the later stage's."""
        return _latest(self._property_rows("WHERE id = ?", identity), self._stage_order()).get(identity, {})

    def losses(self) -> dict[tuple[str, str], int]:
        """Proposals that left the funnel, by stage and state."""
        rows = self._rows("SELECT stage, state, count(*) FROM proposal WHERE state != 'active' GROUP BY stage, state")
        return {(stage, state): count for stage, state, count in rows}

    def stage_values(self, stage: str, name: str) -> dict[str, tuple[float | None, str]]:
        """What one stage measured of a property, with its unit, by id; later stages do not matter."""
        rows = self._rows("SELECT id, value, unit FROM property WHERE stage = ? AND name = ?", stage, name)
        return {identity: (value, unit) for identity, value, unit in rows}

    def candidate_values(self, index: int) -> dict[str, Any]:
        """A candidate as plain values for `screening.tasks.decode_candidate`, in its current geometry."""
        ((identity, provenance),) = self._rows("SELECT id, provenance FROM proposal WHERE idx = ?", index)
        ((structure,),) = self._rows(
            "SELECT structure FROM geometry WHERE id = ? ORDER BY revision DESC LIMIT 1", identity
        )
        return {
            "id": identity,
            "index": index,
            "structure": json.loads(structure),
            "provenance": json.loads(provenance),
            "properties": [vars(item) for item in self.properties(identity).values()],
        }

    def snapshot(self) -> Snapshot:
        """Everything, read at one moment; the store may go on changing.

        Raises:
            InputError: the store is damaged.
        """
        with explained(self.path):
            self._connection.execute("BEGIN")  # one read transaction: every query sees the same commit
            try:
                return self._read_snapshot()
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(f"{self.path} is damaged ({error}): restore a copy, or start afresh") from error
            finally:
                self._connection.execute("ROLLBACK")

    def _read_snapshot(self) -> Snapshot:
        config = self.meta("config")
        resolved = self.meta("resolved_settings", {})
        stages = [{**stage, "settings": resolved.get(stage["name"], stage["settings"])} for stage in config["stages"]]
        geometry = dict(self._rows("SELECT id, structure FROM geometry ORDER BY id, revision"))  # the last one stays
        computed = _latest(self._property_rows(), self._stage_order())
        measurements = measurements_by_id(self._connection)
        rows = []
        for index, identity, state, stage, reason, provenance_text in self._rows(
            "SELECT idx, id, state, stage, reason, provenance FROM proposal ORDER BY idx"
        ):
            provenance = json.loads(provenance_text)
            candidate = None
            if identity is not None:
                # a duplicate was measured under its first proposal, not under its own
                duplicate = (state, stage) == ("rejected", PROPOSED)
                known = {} if duplicate else computed.get(identity, {})
                structure = decode_structure(json.loads(geometry[identity]))
                candidate = Candidate(identity, index, structure, provenance, known)
                if not duplicate:
                    candidate = with_measurements(candidate, measurements.get(identity, ()))
            rows.append(Row(index, state, candidate, stage, reason, provenance))
        seconds = dict(self._rows("SELECT stage, sum(wall_seconds) FROM evaluation GROUP BY stage"))
        seconds[PROPOSED] = self._rows("SELECT total(wall_seconds) FROM proposal")[0][0]
        return Snapshot(
            name=self.meta("name"),
            question=self.meta("question"),
            config={**config, "stages": stages},
            config_hash=self.meta("config_hash"),
            versions=self.meta("versions"),
            stages=(PROPOSED, *(stage["name"] for stage in stages)),
            rows=tuple(rows),
            wall_seconds=seconds,
        )

    def _upgrade(self) -> None:
        """Bring a store that an older Sorbus wrote up to this one's schema."""
        try:
            with self.transaction():
                before = upgrade(self._connection)
                if before < SCHEMA_VERSION:
                    self.log("schema upgraded", detail=f"{before} -> {SCHEMA_VERSION}")
        except BaseException:
            self.close()
            raise

    def _commit(self, identity: str, stage: str, outcome: str, reason: str | None, wall_seconds: float) -> bool:
        self._end_lease(stage, identity)
        added = self._connection.execute(
            "INSERT OR IGNORE INTO evaluation VALUES (?, ?, ?, ?, ?, ?)",
            (identity, stage, outcome, reason, wall_seconds, _now()),
        ).rowcount
        if added and outcome != "measured":
            self._connection.execute(
                "UPDATE proposal SET state = ?, stage = ?, reason = ?, last_modified = ? "
                "WHERE id = ? AND state = 'active'",
                (outcome, stage, reason, _now(), identity),
            )
        return bool(added)

    def _end_lease(self, stage: str, subject: str) -> None:
        self._connection.execute("DELETE FROM lease WHERE stage = ? AND subject = ?", (stage, subject))

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with explained(self.path):
            return self._connection.execute(query, values).fetchall()

    def _property_rows(self, where: str = "", *values: Any) -> list[Any]:
        return self._rows(
            f"SELECT id, stage, name, value, unit, std, method, note FROM property {where} ORDER BY rowid", *values
        )

    def _stage_order(self) -> Sequence[str]:
        return [stage["name"] for stage in self.meta("config")["stages"]]


def _latest(rows: Sequence[Any], order: Sequence[str]) -> dict[str, dict[str, Property]]:
    """Properties by id and name from rows of the table `property`; a later stage's replaces an earlier one's."""
    found: dict[str, dict[str, Property]] = {}
    for identity, _stage, name, *values in sorted(rows, key=lambda row: order.index(row[1])):
        found.setdefault(identity, {})[name] = Property(name, *values)
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
