-- A small store as schema version 2 wrote it. It must stay readable; never edit, add a file per version.
PRAGMA application_id = 1397899859;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE candidate (
    id    TEXT PRIMARY KEY,  -- content hash of the structure as proposed
    chemical_formula_reduced TEXT NOT NULL,
    elements  TEXT NOT NULL,  -- JSON list
    nelements INTEGER NOT NULL,
    nsites    INTEGER NOT NULL
);
INSERT INTO "candidate" VALUES('15f2affbdb4bd34f','ClNa','["Cl", "Na"]',2,2);
INSERT INTO "candidate" VALUES('51853eafa1056d55','ClNa','["Cl", "Na"]',2,2);
CREATE TABLE death (  -- workers lost on a task: the poison list
    stage   TEXT NOT NULL,
    subject TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    reason  TEXT NOT NULL,
    at      TEXT NOT NULL,
    PRIMARY KEY (stage, subject, attempt)
);
INSERT INTO "death" VALUES('one','51853eafa1056d55',1,'killed','2026-11-20T22:24:49.786+00:00');
CREATE TABLE decision (  -- what people decided
    number  INTEGER PRIMARY KEY,
    id      TEXT NOT NULL REFERENCES candidate (id),
    verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'rejected')),
    person  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      TEXT NOT NULL
);
INSERT INTO "decision" VALUES(1,'15f2affbdb4bd34f','approved','Ada','stable','2026-11-20T22:24:49.850+00:00');
CREATE TABLE evaluation (
    id      TEXT NOT NULL REFERENCES candidate (id),
    stage   TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('measured', 'rejected', 'failed')),
    reason  TEXT,
    wall_seconds REAL NOT NULL,
    committed TEXT NOT NULL,
    PRIMARY KEY (id, stage)  -- done once, whatever happens
);
INSERT INTO "evaluation" VALUES('15f2affbdb4bd34f','one','measured',NULL,2.0,'2026-11-20T22:24:49.714+00:00');
INSERT INTO "evaluation" VALUES('51853eafa1056d55','one','failed','its worker was killed by SIGKILL, 2 times',3.0,'2026-11-20T22:24:49.750+00:00');
CREATE TABLE event (  -- what happened, in order; never changed
    number  INTEGER PRIMARY KEY,
    at      TEXT NOT NULL,
    kind    TEXT NOT NULL,
    stage   TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
);
INSERT INTO "event" VALUES(1,'2026-11-20T22:24:49.678+00:00','stage closed','proposed','','');
CREATE TABLE geometry (
    id        TEXT NOT NULL REFERENCES candidate (id),
    revision  INTEGER NOT NULL,  -- 0: as proposed; each evaluator that moves atoms adds one
    stage     TEXT NOT NULL,
    structure TEXT NOT NULL,  -- JSON, see geometry_json
    PRIMARY KEY (id, revision)
);
INSERT INTO "geometry" VALUES('15f2affbdb4bd34f',0,'proposed','{"lattice_vectors": [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]], "species_at_sites": ["Na", "Cl"], "fractional_site_positions": [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]}');
INSERT INTO "geometry" VALUES('51853eafa1056d55',0,'proposed','{"lattice_vectors": [[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]], "species_at_sites": ["Na", "Cl"], "fractional_site_positions": [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]}');
INSERT INTO "geometry" VALUES('15f2affbdb4bd34f',1,'one','{"lattice_vectors": [[4.5, 0.0, 0.0], [0.0, 4.5, 0.0], [0.0, 0.0, 4.5]], "species_at_sites": ["Na", "Cl"], "fractional_site_positions": [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]}');
CREATE TABLE lease (  -- handed to a worker, not yet answered; void when the driver is gone
    stage   TEXT NOT NULL,
    subject TEXT NOT NULL,  -- candidate id, or proposal number at the stage "proposed"
    attempt INTEGER NOT NULL,
    deadline TEXT NOT NULL,
    PRIMARY KEY (stage, subject)
);
INSERT INTO "lease" VALUES('two','15f2affbdb4bd34f',1,'2026-11-20T22:25:49+00:00');
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
INSERT INTO "measurement" VALUES(1,'51853eafa1056d55','fb4101ae12fbf37d20168a9e3bdc24ffd2dc54cd77752304a4e3ad1c999a58a3','10.1000/xyz','rock salt','{"type": "figure", "name": "a", "value": 1.7, "unit": "eV", "std": 0.1, "method": "balance"}','2026-11-21T00:50:00+00:00');
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,  -- name, question, config, config_hash, resolved_settings, versions, created
    value TEXT NOT NULL
);
INSERT INTO "meta" VALUES('name','"test"');
INSERT INTO "meta" VALUES('question','"Which?"');
INSERT INTO "meta" VALUES('config','{"seed": 1, "stages": [{"name": "one", "settings": {}}, {"name": "two", "settings": {}}]}');
INSERT INTO "meta" VALUES('config_hash','"abc"');
INSERT INTO "meta" VALUES('versions','{"python": "3"}');
INSERT INTO "meta" VALUES('created','"2026-11-20T22:24:49.446+00:00"');
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
INSERT INTO "property" VALUES('15f2affbdb4bd34f','one','a',1.5,'eV',0.25,'method','note');
INSERT INTO "property" VALUES('15f2affbdb4bd34f','one','b',NULL,'Å',NULL,'','no atoms');
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
INSERT INTO "proposal" VALUES(0,'15f2affbdb4bd34f','active',NULL,NULL,'{"proposer": "test", "index": 0}',0.5,'2026-11-20T22:24:49.494+00:00');
INSERT INTO "proposal" VALUES(1,'51853eafa1056d55','failed','one','its worker was killed by SIGKILL, 2 times','{"proposer": "test", "index": 1}',0.5,'2026-11-20T22:24:49.750+00:00');
INSERT INTO "proposal" VALUES(2,NULL,'unbuilt','proposed','no partner','{}',0.1,'2026-11-20T22:24:49.578+00:00');
INSERT INTO "proposal" VALUES(3,'15f2affbdb4bd34f','rejected','proposed','identical to proposal 0','{"proposer": "test", "index": 3}',0.5,'2026-11-20T22:24:49.638+00:00');
CREATE TABLE stage (
    name   TEXT PRIMARY KEY,
    closed TEXT NOT NULL  -- all its candidates measured and filtered
);
INSERT INTO "stage" VALUES('proposed','2026-11-20T22:24:49.678+00:00');
CREATE INDEX proposal_by_id ON proposal (id);
CREATE INDEX property_by_value ON property (name, value);
CREATE TRIGGER event_is_kept BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_is_fixed BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
COMMIT;
