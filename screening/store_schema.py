"""Tables of the store. OPTIMADE's names where it has one; JSON in text columns; times in ISO 8601, UTC."""

APPLICATION_ID = 0x53524253  # "SRBS" in the file header: this SQLite file is ours
SCHEMA_VERSION = 2  # PRAGMA user_version

# A proposal is a place in the order asked for, a candidate a structure: two proposals may be the same candidate.
TABLES = """
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,  -- name, question, config, config_hash, resolved_settings, versions, created
    value TEXT NOT NULL
);
CREATE TABLE candidate (
    id    TEXT PRIMARY KEY,  -- content hash of the structure as proposed
    chemical_formula_reduced TEXT NOT NULL,
    elements  TEXT NOT NULL,  -- JSON list
    nelements INTEGER NOT NULL,
    nsites    INTEGER NOT NULL
);
CREATE TABLE proposal (
    idx    INTEGER PRIMARY KEY,  -- place in the order asked for
    id     TEXT REFERENCES candidate (id),  -- NULL: unbuilt
    state  TEXT NOT NULL CHECK (state IN ('active', 'rejected', 'not selected', 'failed', 'unbuilt')),
    stage  TEXT,  -- where it was lost
    reason TEXT,  -- why
    provenance    TEXT NOT NULL,  -- JSON
    wall_seconds  REAL NOT NULL,
    last_modified TEXT NOT NULL
);
CREATE INDEX proposal_by_id ON proposal (id);
CREATE TABLE geometry (
    id        TEXT NOT NULL REFERENCES candidate (id),
    revision  INTEGER NOT NULL,  -- 0: as proposed; each evaluator that moves atoms adds one
    stage     TEXT NOT NULL,
    structure TEXT NOT NULL,  -- JSON, see geometry_json
    PRIMARY KEY (id, revision)
);
CREATE TABLE evaluation (
    id      TEXT NOT NULL REFERENCES candidate (id),
    stage   TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('measured', 'rejected', 'failed')),
    reason  TEXT,
    wall_seconds REAL NOT NULL,
    committed TEXT NOT NULL,
    PRIMARY KEY (id, stage)  -- done once, whatever happens
);
CREATE TABLE property (
    id     TEXT NOT NULL REFERENCES candidate (id),
    stage  TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  REAL,  -- NULL: could not be measured, `note` says why
    unit   TEXT NOT NULL,
    std    REAL,
    method TEXT NOT NULL,
    note   TEXT NOT NULL,
    PRIMARY KEY (id, stage, name)
);
CREATE INDEX property_by_value ON property (name, value);
CREATE TABLE stage (
    name   TEXT PRIMARY KEY,
    closed TEXT NOT NULL  -- all its candidates measured and filtered
);
CREATE TABLE lease (  -- handed to a worker, not yet answered; void when the driver is gone
    stage   TEXT NOT NULL,
    subject TEXT NOT NULL,  -- candidate id, or proposal number at the stage "proposed"
    attempt INTEGER NOT NULL,
    deadline TEXT NOT NULL,
    PRIMARY KEY (stage, subject)
);
CREATE TABLE death (  -- workers lost on a task: the poison list
    stage   TEXT NOT NULL,
    subject TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    reason  TEXT NOT NULL,
    at      TEXT NOT NULL,
    PRIMARY KEY (stage, subject, attempt)
);
CREATE TABLE decision (  -- what people decided
    number  INTEGER PRIMARY KEY,
    id      TEXT NOT NULL REFERENCES candidate (id),
    verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'rejected')),
    person  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      TEXT NOT NULL
);
CREATE TABLE measurement (  -- what laboratories found
    number   INTEGER PRIMARY KEY,
    id       TEXT NOT NULL REFERENCES candidate (id),
    sha256   TEXT NOT NULL,  -- of `data`: nothing is entered twice
    source   TEXT NOT NULL,  -- DOI, or the file
    material TEXT NOT NULL,  -- as the source names it
    data     TEXT NOT NULL,  -- JSON, see experiments.record
    at       TEXT NOT NULL,
    UNIQUE (id, sha256)
);
CREATE TABLE event (  -- what happened, in order; never changed
    number  INTEGER PRIMARY KEY,
    at      TEXT NOT NULL,
    kind    TEXT NOT NULL,
    stage   TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
);
CREATE TRIGGER event_is_kept BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_is_fixed BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
"""

# What turns a store of version n into one of n + 1, by n. Reading alone changes nothing.
UPGRADES = {
    1: """
CREATE TABLE measurement (
    number   INTEGER PRIMARY KEY,
    id       TEXT NOT NULL REFERENCES candidate (id),
    sha256   TEXT NOT NULL,
    source   TEXT NOT NULL,
    material TEXT NOT NULL,
    data     TEXT NOT NULL,
    at       TEXT NOT NULL,
    UNIQUE (id, sha256)
);
""",
}
