-- What is wanted of a session that is going on: that it ends, that its NAS lets it go on under another plan, or that its NAS
-- says whether it is going on at all. A row waits until a node has asked the NAS, and then says what came of it.
CREATE TABLE session_order (
    id                UUID PRIMARY KEY,
    organisation_id   UUID NOT NULL,
    session_id        UUID NOT NULL,
    nas_id            UUID NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('disconnect', 'change', 'query')),
    reason            TEXT NOT NULL,
    plan_id           UUID,                -- of a change: the plan that holds from now on
    created           TIMESTAMPTZ NOT NULL,
    node              TEXT,                -- who asks
    taken             TIMESTAMPTZ,
    finished          TIMESTAMPTZ,
    outcome           TEXT,                -- ack, nak, silence, …
    error_cause       BIGINT,
    named_by          TEXT,                -- the attributes that named the session in the last question
    tries             BIGINT NOT NULL,
    round_trip_micros BIGINT
);
-- One of a kind at a time: who wants the same again is served by the one that waits.
CREATE UNIQUE INDEX session_order_waiting ON session_order (session_id, kind) WHERE finished IS NULL;
CREATE INDEX session_order_session ON session_order (session_id, created);
CREATE INDEX session_order_created ON session_order (created);
