-- Plans: what a group's people get. terms: JSON, checked when it is saved.
CREATE TABLE access_plan (
    id              UUID PRIMARY KEY,
    organisation_id UUID NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    name            TEXT NOT NULL UNIQUE,
    terms           TEXT NOT NULL,
    when_spent_id   UUID REFERENCES access_plan (id),   -- takes its place when a limit is spent
    created         TIMESTAMPTZ NOT NULL,
    modified        TIMESTAMPTZ NOT NULL
);
CREATE INDEX access_plan_organisation ON access_plan (organisation_id, id);

ALTER TABLE access_group ADD COLUMN plan_id UUID REFERENCES access_plan (id);
-- An expression (CEL) that has to hold of a request, beside the group's checks.
ALTER TABLE access_group ADD COLUMN condition TEXT;
CREATE INDEX access_group_plan ON access_group (plan_id) WHERE plan_id IS NOT NULL;

-- What an organisation decided at a moment: few rows, read whole.
CREATE INDEX history_organisation ON history (organisation_id, valid_from) WHERE person_id IS NULL;
