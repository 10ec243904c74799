-- Sessions closed more than 48 hours ago.
CREATE TABLE session_history AS SELECT * FROM session WHERE 0;
CREATE UNIQUE INDEX session_history_id ON session_history (id);
CREATE INDEX session_history_started ON session_history (started, id);
CREATE INDEX session_history_organisation ON session_history (organisation_id, started, id);
CREATE INDEX session_history_username ON session_history (username, started, id);
CREATE INDEX session_history_calling ON session_history (calling_station_id, started, id);
CREATE INDEX session_history_membership ON session_history (membership_id, started, id);
CREATE INDEX session_history_stopped ON session_history (stopped);
CREATE UNIQUE INDEX session_history_unique ON session_history (unique_id) WHERE unique_id IS NOT NULL;
CREATE INDEX session_history_key ON session_history (acct_session_id, nas_id, identity, generation);
CREATE VIEW session_all AS SELECT * FROM session UNION ALL SELECT * FROM session_history;
