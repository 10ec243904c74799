-- Events in commit order: SQLite has one writer, so the rowid is that order.
CREATE TABLE event (
    major           BIGINT NOT NULL DEFAULT 0,
    minor           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind            TEXT NOT NULL,
    organisation_id UUID,
    subject         UUID NOT NULL,
    detail          TEXT,
    at              TIMESTAMPTZ NOT NULL
);
