-- Enrol: batches of people made together. 'pending': made, and not one row imported yet. source: the file itself,
-- sealed because passwords stand in it; kept only where a client of the REST API hands the file over in one request and
-- may ask for it later. An import from the command line leaves it NULL: the operator has the file, and source_digest
-- tells whether it is the same one.
CREATE TABLE batch (
    id              UUID PRIMARY KEY,
    organisation_id UUID NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    name            TEXT NOT NULL,
    strategy        TEXT NOT NULL CHECK (strategy IN ('csv', 'prefix')),
    status          TEXT NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'taken_back')),
    prefix          TEXT,
    source          TEXT,
    source_digest   TEXT,               -- SHA-256 of the file: a resumed import must read the same bytes
    options         TEXT NOT NULL,      -- JSON: how the file is read
    rows_total      BIGINT NOT NULL,
    rows_done       BIGINT NOT NULL,    -- rows committed, in file order
    rows_skipped    BIGINT NOT NULL,
    group_id        UUID REFERENCES access_group (id) ON DELETE SET NULL,
    expires         TIMESTAMPTZ,
    notes           TEXT NOT NULL DEFAULT '',
    created         TIMESTAMPTZ NOT NULL,
    modified        TIMESTAMPTZ NOT NULL,
    UNIQUE (organisation_id, name)
);

-- created_person: made by this batch; false means merely matched, and taking the batch back leaves the person alone.
-- line: where the person stands in the file. generated: username and password, sealed, of a row that gave no password,
-- until they were handed over. batch_id refers to a batch: none is ever deleted, and a foreign
-- key would look it up for each of a million rows.
CREATE TABLE batch_person (
    batch_id           UUID NOT NULL,
    person_id          UUID NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    created_person     BOOLEAN NOT NULL,
    created_membership BOOLEAN NOT NULL,
    line               BIGINT NOT NULL,
    generated          TEXT,
    PRIMARY KEY (batch_id, person_id)
);
CREATE INDEX batch_person_person ON batch_person (person_id);
CREATE INDEX batch_person_generated ON batch_person (batch_id, person_id) WHERE generated IS NOT NULL;
