"""The store's table of measurements: entering them, reading them, and bringing an older store up to date."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from potentials.files import sha256_json
from screening.candidate import Candidate, Measurement
from screening.experiments.as_properties import measured_properties
from screening.store_file import statements
from screening.store_schema import SCHEMA_VERSION, UPGRADES


def schema_version(connection: sqlite3.Connection) -> int:
    """Which schema the file has."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def upgrade(connection: sqlite3.Connection) -> int:
    """Bring the tables of an older store up to date, inside the caller's transaction; returns the version it had."""
    before = schema_version(connection)
    for version in range(before, SCHEMA_VERSION):
        for statement in statements(UPGRADES[version]):
            connection.execute(statement)
    if before < SCHEMA_VERSION:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return before


def insert_measurement(connection: sqlite3.Connection, identity: str, measurement: Measurement) -> bool:
    """Enter a measurement; `False`, and nothing changes, when the same data stand there already."""
    values = (
        identity,
        sha256_json([measurement.source, dict(measurement.data)]),
        measurement.source,
        measurement.material,
        json.dumps(dict(measurement.data), allow_nan=False),
        measurement.added,
    )
    added = connection.execute(
        "INSERT OR IGNORE INTO measurement (id, sha256, source, material, data, at) VALUES (?, ?, ?, ?, ?, ?)", values
    ).rowcount
    return bool(added)


def measurements_by_id(connection: sqlite3.Connection) -> dict[str, tuple[Measurement, ...]]:
    """Every measurement in the order entered, by candidate; none in a store from before there was the table."""
    if schema_version(connection) < 2:
        return {}
    found: dict[str, list[Measurement]] = {}
    query = "SELECT id, source, material, data, at FROM measurement ORDER BY number"
    for identity, source, material, data, added in connection.execute(query):
        found.setdefault(identity, []).append(Measurement(source, material, _object(data), added))
    return {identity: tuple(items) for identity, items in found.items()}


def with_measurements(candidate: Candidate, measurements: tuple[Measurement, ...]) -> Candidate:
    """The candidate with what was measured on it put before what was computed of the same name."""
    if not measurements:
        return candidate
    measured = measured_properties(measurements, candidate.properties)
    superseded = {name: item for name, item in candidate.properties.items() if name in measured}
    return replace(
        candidate,
        properties={**candidate.properties, **measured},
        superseded=superseded,
        measurements=measurements,
    )


def _object(text: str) -> Mapping[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("a measurement is not a JSON object")
    return value
