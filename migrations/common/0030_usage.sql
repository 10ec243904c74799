-- Usage: sessions (open, and closed in the last 48 hours), running counters, attempts, and how far each journal is applied.
-- What an interim report changes is in no index: on PostgreSQL its row is then replaced within its page (0033).
CREATE TABLE session (
    id                    UUID PRIMARY KEY,
    organisation_id       UUID NOT NULL,
    nas_id                UUID NOT NULL,      -- the nil UUID where a client posted the session of a NAS that is not registered
    membership_id         UUID,
    generation            BIGINT NOT NULL,   -- grows when a NAS uses an id again
    started               TIMESTAMPTZ NOT NULL,
    updated               TIMESTAMPTZ NOT NULL,
    stopped               TIMESTAMPTZ,        -- in no index, so that an end replaces the row within its page too
    interval_seconds      BIGINT,
    session_seconds       BIGINT NOT NULL,
    input_octets          BIGINT NOT NULL,    -- from the client, whatever the device calls it
    output_octets         BIGINT NOT NULL,    -- to the client
    input_packets         BIGINT NOT NULL,
    output_packets        BIGINT NOT NULL,
    wraps                 BIGINT NOT NULL,   -- inferred wraps of 32-bit counters without Gigawords
    reported              TIMESTAMPTZ NOT NULL, -- event time of the newest report applied
    reports               BIGINT NOT NULL,
    version               BIGINT NOT NULL,   -- grows with every write: who wrote what he remembered sees whether it still stood
    acct_session_id       TEXT NOT NULL,
    identity              TEXT NOT NULL,      -- the device's MAC, else Calling-Station-Id, else User-Name: tells re-used ids apart
    unique_id             TEXT,               -- a client's own; otherwise the id's 32 hex digits
    username              TEXT,
    realm                 TEXT,
    group_name            TEXT,
    nas_ip_address        TEXT NOT NULL,
    nas_identifier        TEXT,
    nas_port_id           TEXT,
    nas_port_type         TEXT,
    service_type          TEXT,
    framed_protocol       TEXT,
    authentication        TEXT,
    called_station_id     TEXT,
    calling_station_id    TEXT,
    connection_info_start TEXT,
    connection_info_stop  TEXT,
    framed_ip_address     TEXT,
    framed_ipv6_address   TEXT,
    framed_ipv6_prefix    TEXT,
    delegated_ipv6_prefix TEXT,
    framed_interface_id   TEXT,
    multi_session_id      TEXT,
    class                 TEXT,               -- hex
    terminate_cause       TEXT,
    other                 TEXT,               -- attributes without a column, JSON by name
    ledger                TEXT NOT NULL       -- JSON: the reports that totals, days, start and stop follow from
);
-- Each index costs every session its place in it: these are the ones that a list or the writer asks.
-- The id first: people and other programs look for sessions by it alone.
CREATE UNIQUE INDEX session_key ON session (acct_session_id, nas_id, identity, generation);
-- Lists are read newest first from a place on: each index that serves one ends with (started, id).
CREATE INDEX session_started ON session (started, id);
CREATE INDEX session_organisation ON session (organisation_id, started, id);
CREATE INDEX session_username ON session (username, started, id);
CREATE INDEX session_calling ON session (calling_station_id, started, id);
CREATE INDEX session_membership ON session (membership_id, started, id);
CREATE UNIQUE INDEX session_unique ON session (unique_id) WHERE unique_id IS NOT NULL;

-- Which sessions are open: a narrow row from begin to end. An index of the sessions themselves would cost each end a new
-- place in all the others.
CREATE TABLE session_open (
    id              UUID PRIMARY KEY,
    organisation_id UUID NOT NULL,
    nas_id          UUID NOT NULL,
    started         TIMESTAMPTZ NOT NULL,
    nas_ip_address  TEXT NOT NULL
);
CREATE INDEX session_open_started ON session_open (started, id);
-- What a restart closes, of the whole NAS and of one box behind it.
CREATE INDEX session_open_box ON session_open (nas_id, nas_ip_address, id);

-- Running totals of a membership; period is the organisation's local day.
CREATE TABLE usage (
    membership_id UUID NOT NULL,
    period        TEXT NOT NULL,
    seconds       BIGINT NOT NULL,
    input_octets  BIGINT NOT NULL,
    output_octets BIGINT NOT NULL,
    PRIMARY KEY (membership_id, period)
);
CREATE INDEX usage_period ON usage (period);

CREATE TABLE attempt (
    id                 UUID PRIMARY KEY,
    at                 TIMESTAMPTZ NOT NULL,
    node               TEXT NOT NULL,
    organisation_id    UUID,
    nas_id             UUID,
    nas_address        TEXT NOT NULL,
    membership_id      UUID,
    username           TEXT,
    mac                TEXT,
    called_station_id  TEXT,
    calling_station_id TEXT,
    acct_session_id    TEXT,
    method             TEXT,
    verdict            TEXT NOT NULL CHECK (verdict IN ('accept', 'challenge', 'refuse', 'drop')),
    word               TEXT,                  -- the Refusal or Dropped word
    trace              TEXT NOT NULL          -- JSON: each check, its input, its verdict
);
CREATE INDEX attempt_username ON attempt (username, at);
CREATE INDEX attempt_mac ON attempt (mac, at) WHERE mac IS NOT NULL;
CREATE INDEX attempt_session ON attempt (acct_session_id, at) WHERE acct_session_id IS NOT NULL;
CREATE INDEX attempt_at ON attempt (at);

CREATE TABLE journal_checkpoint (
    node     TEXT NOT NULL,
    journal  TEXT NOT NULL,
    position BIGINT NOT NULL,
    modified TIMESTAMPTZ NOT NULL,
    latest   TIMESTAMPTZ,                     -- the latest moment at which a report up to here came in
    PRIMARY KEY (node, journal)
);

-- Reports that could not become a session; kept whole so that nothing acknowledged is lost.
CREATE TABLE report_unreadable (
    node     TEXT NOT NULL,
    journal  TEXT NOT NULL,
    position BIGINT NOT NULL,
    reason   TEXT NOT NULL,
    octets   TEXT NOT NULL,
    at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (node, journal, position)
);

-- The latest Accounting-On or -Off of each box behind a NAS ('' = the report did not say): sessions begun before it
-- are closed by definition; settled when their rows say so too.
CREATE TABLE nas_restart (
    nas_id            UUID NOT NULL,
    nas_ip_address    TEXT NOT NULL,
    nas_identifier    TEXT NOT NULL,
    called_station_id TEXT NOT NULL,
    at                TIMESTAMPTZ NOT NULL,
    settled           BOOLEAN NOT NULL,
    PRIMARY KEY (nas_id, nas_ip_address, nas_identifier, called_station_id)
);
CREATE INDEX nas_restart_unsettled ON nas_restart (at) WHERE NOT settled;
