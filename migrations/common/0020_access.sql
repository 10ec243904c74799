-- Access: NASes, groups and what they check and say.
CREATE TABLE nas (
    id                    UUID PRIMARY KEY,
    organisation_id       UUID NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    name                  TEXT NOT NULL,
    short_name            TEXT NOT NULL DEFAULT '',
    type                  TEXT NOT NULL DEFAULT 'other',
    family                TEXT NOT NULL DEFAULT 'generic',
    network               TEXT,               -- 'address/length', canonical; NULL when found by identifier alone
    identifier            TEXT,               -- NAS-Identifier or Called-Station-Id, for NASes behind NAT
    secret                TEXT NOT NULL,      -- sealed
    next_secret           TEXT,               -- sealed; accepted beside the first during a change
    message_authenticator TEXT NOT NULL CHECK (message_authenticator IN ('observe', 'require', 'off')),
    signs_replies         BOOLEAN NOT NULL,   -- false leaves Message-Authenticator out, for devices that break on it
    limits_proxy_state    BOOLEAN NOT NULL,   -- Proxy-State without Message-Authenticator is dropped
    reject_delay_ms       BIGINT NOT NULL,
    flips_octets          BOOLEAN NOT NULL,   -- Input means download on this device
    is_enabled            BOOLEAN NOT NULL,
    ports                 BIGINT,
    server                TEXT,
    community             TEXT,
    description           TEXT NOT NULL DEFAULT '',
    coa_port              BIGINT NOT NULL,
    restarted_at          TIMESTAMPTZ,        -- last Accounting-On or -Off: sessions begun before it are closed
    created               TIMESTAMPTZ NOT NULL,
    modified              TIMESTAMPTZ NOT NULL,
    CHECK (network IS NOT NULL OR identifier IS NOT NULL)
);
CREATE INDEX nas_organisation ON nas (organisation_id, id);
CREATE UNIQUE INDEX nas_place ON nas (organisation_id, COALESCE(network, ''), COALESCE(identifier, ''));

-- Which other organisation a request through this NAS belongs to.
CREATE TABLE nas_route (
    id              UUID PRIMARY KEY,
    nas_id          UUID NOT NULL REFERENCES nas (id) ON DELETE CASCADE,
    kind            TEXT NOT NULL CHECK (kind IN ('ssid', 'realm', 'identifier')),
    value           TEXT NOT NULL,
    organisation_id UUID NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    UNIQUE (nas_id, kind, value)
);

-- What a NAS was seen to do: the ground for "safe to require Message-Authenticator" and "which secret is in use".
CREATE TABLE nas_observation (
    nas_id              UUID PRIMARY KEY REFERENCES nas (id) ON DELETE CASCADE,
    first_seen          TIMESTAMPTZ NOT NULL,
    last_seen           TIMESTAMPTZ NOT NULL,
    signed              BIGINT NOT NULL,
    unsigned            BIGINT NOT NULL,
    last_unsigned       TIMESTAMPTZ,
    unsigned_proxy      BIGINT NOT NULL,
    secret_mismatches   BIGINT NOT NULL,
    last_mismatch       TIMESTAMPTZ,
    used_secret         TIMESTAMPTZ,
    used_next_secret    TIMESTAMPTZ
);

CREATE TABLE access_group (
    id              UUID PRIMARY KEY,
    organisation_id UUID NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    name            TEXT NOT NULL UNIQUE,
    description     TEXT NOT NULL DEFAULT '',
    is_default      BOOLEAN NOT NULL,
    created         TIMESTAMPTZ NOT NULL,
    modified        TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX access_group_default ON access_group (organisation_id) WHERE is_default;
CREATE INDEX access_group_organisation ON access_group (organisation_id);

-- priority: the lowest number is looked at first. username instead of a membership: somebody whom nobody has made yet;
-- the row waits for them, and decides nothing until then.
CREATE TABLE group_member (
    id            UUID PRIMARY KEY,
    membership_id UUID REFERENCES membership (id) ON DELETE CASCADE,
    username      TEXT,
    group_id      UUID NOT NULL REFERENCES access_group (id) ON DELETE CASCADE,
    priority      BIGINT NOT NULL,
    created       TIMESTAMPTZ NOT NULL,
    UNIQUE (membership_id, group_id),
    CHECK ((membership_id IS NULL) <> (username IS NULL))
);
CREATE INDEX group_member_group ON group_member (group_id);
CREATE UNIQUE INDEX group_member_username ON group_member (username, group_id) WHERE username IS NOT NULL;

-- Checks and replies. The owner is a membership, a group, or a username of the organisation that nobody has yet (such a
-- row decides nothing until somebody does). Not unique by attribute: several Cisco-AVPair are normal.
CREATE TABLE access_check (
    id              UUID PRIMARY KEY,
    organisation_id UUID NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    membership_id   UUID REFERENCES membership (id) ON DELETE CASCADE,
    group_id        UUID REFERENCES access_group (id) ON DELETE CASCADE,
    username        TEXT,
    position        BIGINT NOT NULL,
    attribute       TEXT NOT NULL,
    op              TEXT NOT NULL,
    value           TEXT NOT NULL,      -- sealed where is_sealed says so
    is_sealed       BOOLEAN NOT NULL,   -- the attribute is a secret, such as Tunnel-Password
    created         TIMESTAMPTZ NOT NULL,
    modified        TIMESTAMPTZ NOT NULL,
    CHECK (CASE WHEN membership_id IS NULL THEN 0 ELSE 1 END + CASE WHEN group_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN username IS NULL THEN 0 ELSE 1 END = 1)
);
CREATE INDEX access_check_membership ON access_check (membership_id, position) WHERE membership_id IS NOT NULL;
CREATE INDEX access_check_group ON access_check (group_id, position) WHERE group_id IS NOT NULL;
CREATE INDEX access_check_username ON access_check (organisation_id, username, position) WHERE username IS NOT NULL;

CREATE TABLE access_reply (
    id              UUID PRIMARY KEY,
    organisation_id UUID NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    membership_id   UUID REFERENCES membership (id) ON DELETE CASCADE,
    group_id        UUID REFERENCES access_group (id) ON DELETE CASCADE,
    username        TEXT,
    position        BIGINT NOT NULL,
    attribute       TEXT NOT NULL,
    op              TEXT NOT NULL,
    value           TEXT NOT NULL,      -- sealed where is_sealed says so
    is_sealed       BOOLEAN NOT NULL,   -- the attribute is a secret, such as Tunnel-Password
    created         TIMESTAMPTZ NOT NULL,
    modified        TIMESTAMPTZ NOT NULL,
    CHECK (CASE WHEN membership_id IS NULL THEN 0 ELSE 1 END + CASE WHEN group_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN username IS NULL THEN 0 ELSE 1 END = 1)
);
CREATE INDEX access_reply_membership ON access_reply (membership_id, position) WHERE membership_id IS NOT NULL;
CREATE INDEX access_reply_group ON access_reply (group_id, position) WHERE group_id IS NOT NULL;
CREATE INDEX access_reply_username ON access_reply (organisation_id, username, position) WHERE username IS NOT NULL;

-- Who may not even try at the moment. subject: membership id, MAC or NAS id, as kind says.
CREATE TABLE access_lock (
    id              UUID PRIMARY KEY,
    organisation_id UUID REFERENCES organisation (id) ON DELETE CASCADE,
    kind            TEXT NOT NULL CHECK (kind IN ('user', 'device', 'nas')),
    subject         TEXT NOT NULL,
    failures        BIGINT NOT NULL,
    until           TIMESTAMPTZ NOT NULL,
    created         TIMESTAMPTZ NOT NULL,
    UNIQUE (kind, subject)
);
