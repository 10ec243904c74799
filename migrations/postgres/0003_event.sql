-- Events in an order that no later commit can slip into: position is (transaction id, sequence), and readers stop
-- below the oldest transaction still running.
CREATE TABLE event (
    major           BIGINT NOT NULL DEFAULT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT),
    minor           BIGINT GENERATED ALWAYS AS IDENTITY,
    kind            TEXT NOT NULL,
    organisation_id UUID,
    subject         UUID NOT NULL,
    detail          TEXT,
    at              TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (major, minor)
);
