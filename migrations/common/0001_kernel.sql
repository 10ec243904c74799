-- Kernel: nodes, the key ids this database was sealed with, settings, and what was true when.
-- A node's row is a lease: one running process at a time is the node, so that a data folder that was copied is noticed.
CREATE TABLE node (
    id          TEXT PRIMARY KEY,           -- 32 hex digits, from the data folder
    name        TEXT NOT NULL,              -- for people: host and data folder
    place       TEXT NOT NULL,              -- the very folder, on the host since its last start; '' where that is unknown
    boot        TEXT NOT NULL,              -- 32 hex digits, drawn by the process at its start; '' once it has ended well
    started     TIMESTAMPTZ NOT NULL,
    seen        TIMESTAMPTZ NOT NULL
);

-- A database whose key is missing from the ring must be refused, not half read.
CREATE TABLE key_seen (
    key_id      TEXT PRIMARY KEY,
    first_used  TIMESTAMPTZ NOT NULL
);

-- organisation_id NULL is the global default; values are JSON. is_sealed: the value is a secret (a key of a payment or
-- text message service) and lies sealed; no version of it holds the value.
CREATE TABLE setting (
    id              UUID PRIMARY KEY,
    organisation_id UUID,
    name            TEXT NOT NULL,
    value           TEXT NOT NULL,
    is_sealed       BOOLEAN NOT NULL DEFAULT FALSE,
    modified        TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX setting_global ON setting (name) WHERE organisation_id IS NULL;
CREATE UNIQUE INDEX setting_organisation ON setting (organisation_id, name) WHERE organisation_id IS NOT NULL;

-- One version of a deciding row: its deciding fields as JSON, no secrets, valid_to NULL while current. An import makes
-- several for each person, so an index more is felt there: the key finds what a row was at a time, too.
CREATE TABLE history (
    id              UUID NOT NULL,
    kind            TEXT NOT NULL,
    row_id          UUID NOT NULL,
    organisation_id UUID,
    person_id       UUID,
    valid_from      TIMESTAMPTZ NOT NULL,
    valid_to        TIMESTAMPTZ,
    fields          TEXT NOT NULL,
    PRIMARY KEY (row_id, valid_from, id)
);
CREATE UNIQUE INDEX history_current ON history (row_id) WHERE valid_to IS NULL;
CREATE INDEX history_person ON history (person_id) WHERE person_id IS NOT NULL;
