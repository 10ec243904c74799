-- Identity: people are global; what an organisation holds of a person hangs on the membership.
CREATE TABLE organisation (
    id          UUID PRIMARY KEY,
    name        TEXT NOT NULL,
    slug        TEXT NOT NULL UNIQUE,
    is_active   BOOLEAN NOT NULL,
    namespace   TEXT NOT NULL CHECK (namespace IN ('shared', 'own')),
    time_zone   TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    email       TEXT,
    url         TEXT NOT NULL DEFAULT '',
    created     TIMESTAMPTZ NOT NULL,
    modified    TIMESTAMPTZ NOT NULL
);

CREATE TABLE person (
    id                   UUID PRIMARY KEY,
    first_name           TEXT NOT NULL DEFAULT '',
    last_name            TEXT NOT NULL DEFAULT '',
    birth_date           TEXT,
    location             TEXT NOT NULL DEFAULT '',
    bio                  TEXT NOT NULL DEFAULT '',
    url                  TEXT NOT NULL DEFAULT '',
    company              TEXT NOT NULL DEFAULT '',
    notes                TEXT NOT NULL DEFAULT '',
    language             TEXT,
    is_active            BOOLEAN NOT NULL,
    is_staff             BOOLEAN NOT NULL,
    is_superuser         BOOLEAN NOT NULL,
    last_login           TIMESTAMPTZ,
    password_updated     TIMESTAMPTZ,
    password_based_token BOOLEAN,
    created              TIMESTAMPTZ NOT NULL,
    modified             TIMESTAMPTZ NOT NULL
);

-- realm NULL is the namespace shared by the server; an organisation id is that organisation's own. folded is what is
-- compared; twin is folded in small letters (made by us, because engines differ beyond ASCII): it finds people by any
-- name, and usernames that differ in capital letters only.
CREATE TABLE identifier (
    id          UUID NOT NULL,
    person_id   UUID NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    realm       UUID REFERENCES organisation (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('username', 'email', 'phone', 'mac')),
    value       TEXT NOT NULL,
    folded      TEXT NOT NULL,
    twin        TEXT NOT NULL,
    is_verified BOOLEAN NOT NULL,
    is_primary  BOOLEAN NOT NULL,
    created     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (person_id, id)
);
CREATE UNIQUE INDEX identifier_shared ON identifier (kind, folded) WHERE realm IS NULL;
CREATE UNIQUE INDEX identifier_own ON identifier (realm, kind, folded) WHERE realm IS NOT NULL;
CREATE INDEX identifier_twin ON identifier (twin);

-- form: 'hashed' (value is a hash string), 'recoverable' (sealed clear text), 'nt' (sealed NT hash),
-- 'pending' (sealed clear text of an import, waiting for the job that hashes it).
CREATE TABLE credential (
    id          UUID PRIMARY KEY,
    person_id   UUID NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    form        TEXT NOT NULL CHECK (form IN ('hashed', 'recoverable', 'nt', 'pending')),
    value       TEXT NOT NULL,
    created     TIMESTAMPTZ NOT NULL,
    modified    TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX credential_person ON credential (person_id);
CREATE INDEX credential_pending ON credential (created) WHERE form = 'pending';

CREATE TABLE membership (
    id              UUID PRIMARY KEY,
    person_id       UUID NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    organisation_id UUID NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    is_manager      BOOLEAN NOT NULL,
    is_owner        BOOLEAN NOT NULL,
    is_enabled      BOOLEAN NOT NULL,
    expires         TIMESTAMPTZ,
    method          TEXT NOT NULL DEFAULT '',
    is_verified     BOOLEAN NOT NULL,
    verified        TIMESTAMPTZ,
    created         TIMESTAMPTZ NOT NULL,
    modified        TIMESTAMPTZ NOT NULL,
    UNIQUE (person_id, organisation_id)
);
CREATE INDEX membership_organisation ON membership (organisation_id, id);

-- RADIUS and API tokens; stored as digests.
CREATE TABLE token (
    id             UUID PRIMARY KEY,
    membership_id  UUID NOT NULL REFERENCES membership (id) ON DELETE CASCADE,
    kind           TEXT NOT NULL,
    digest         TEXT NOT NULL UNIQUE,
    can_auth       BOOLEAN NOT NULL,
    password_based BOOLEAN,
    created        TIMESTAMPTZ NOT NULL,
    expires        TIMESTAMPTZ,
    used           TIMESTAMPTZ
);
CREATE INDEX token_membership ON token (membership_id);

-- Codes sent by text message: the rows stay, as the record of which numbers were verified.
CREATE TABLE phone_code (
    id            UUID PRIMARY KEY,
    membership_id UUID NOT NULL REFERENCES membership (id) ON DELETE CASCADE,
    phone_number  TEXT NOT NULL,
    digest        TEXT NOT NULL,
    address       TEXT NOT NULL,
    attempts      BIGINT NOT NULL,
    is_verified   BOOLEAN NOT NULL,
    valid_until   TIMESTAMPTZ NOT NULL,
    created       TIMESTAMPTZ NOT NULL
);
CREATE INDEX phone_code_membership ON phone_code (membership_id, created);

-- What staff may do in the REST API and its pages, beyond what managers of an organisation may: groups of permissions,
-- and permissions of one person. A permission is a word such as 'view_nas'.
CREATE TABLE permission_group (
    id       UUID PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    created  TIMESTAMPTZ NOT NULL,
    modified TIMESTAMPTZ NOT NULL
);

CREATE TABLE permission_group_permission (
    permission_group_id UUID NOT NULL REFERENCES permission_group (id) ON DELETE CASCADE,
    permission          TEXT NOT NULL,
    PRIMARY KEY (permission_group_id, permission)
);

CREATE TABLE permission_group_member (
    permission_group_id UUID NOT NULL REFERENCES permission_group (id) ON DELETE CASCADE,
    person_id           UUID NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    PRIMARY KEY (permission_group_id, person_id)
);
CREATE INDEX permission_group_member_person ON permission_group_member (person_id);

CREATE TABLE person_permission (
    person_id  UUID NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (person_id, permission)
);
