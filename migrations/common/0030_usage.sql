-- Usage: sessions (open, and closed in the last 48 hours), running counters, attempts, and how far each journal is applied.
CREATE TABLE session (
    id                    UUID PRIMARY KEY,
    organisation_id       UUID NOT NULL,
    nas_id                UUID NOT NULL,      -- the nil UUID where a client posted the session of a NAS that is not registered
    membership_id         UUID,
    acct_session_id       TEXT NOT NULL,
    identity              TEXT NOT NULL,      -- the device's MAC, else Calling-Station-Id, else User-Name: tells re-used ids apart
    generation            BIGINT NOT NULL,   -- grows when a NAS uses an id again
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
    started               TIMESTAMPTZ NOT NULL,
    updated               TIMESTAMPTZ NOT NULL,
    stopped               TIMESTAMPTZ,
    interval_seconds      BIGINT,
    session_seconds       BIGINT NOT NULL,
    input_octets          BIGINT NOT NULL,    -- from the client, whatever the device calls it
    output_octets         BIGINT NOT NULL,    -- to the client
    input_packets         BIGINT NOT NULL,
    output_packets        BIGINT NOT NULL,
    wraps                 BIGINT NOT NULL,   -- inferred wraps of 32-bit counters without Gigawords
    terminate_cause       TEXT,
    reported              TIMESTAMPTZ NOT NULL, -- event time of the newest report applied
    reports               BIGINT NOT NULL,
    ledger                TEXT NOT NULL,      -- JSON: the reports that totals, days, start and stop follow from
    other                 TEXT,               -- attributes without a column, JSON by name
    UNIQUE (nas_id, acct_session_id, identity, generation)
);
-- Lists are read newest first from a place on: each index that serves one ends with (started, id).
CREATE INDEX session_started ON session (started, id);
CREATE INDEX session_organisation ON session (organisation_id, started, id);
CREATE INDEX session_username ON session (username, started, id);
CREATE INDEX session_calling ON session (calling_station_id, started, id);
CREATE INDEX session_membership ON session (membership_id, started, id);
CREATE INDEX session_open ON session (started, id) WHERE stopped IS NULL;
CREATE INDEX session_open_organisation ON session (organisation_id, started, id) WHERE stopped IS NULL;
CREATE INDEX session_acct ON session (acct_session_id);
CREATE UNIQUE INDEX session_unique ON session (unique_id) WHERE unique_id IS NOT NULL;
-- What a restart closes, of the whole NAS and of one box behind it.
CREATE INDEX session_open_nas ON session (nas_id, id) WHERE stopped IS NULL;
CREATE INDEX session_open_box ON session (nas_id, nas_ip_address, id) WHERE stopped IS NULL;
CREATE INDEX session_stopped ON session (stopped) WHERE stopped IS NOT NULL;

-- Running totals: counter is 'seconds', 'input_octets' or 'output_octets'; period is the organisation's local day.
CREATE TABLE usage (
    membership_id UUID NOT NULL,
    counter       TEXT NOT NULL,
    period        TEXT NOT NULL,
    value         BIGINT NOT NULL,
    PRIMARY KEY (membership_id, counter, period)
);

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
