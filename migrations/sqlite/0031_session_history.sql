-- Sessions closed more than 48 hours ago.
CREATE TABLE session_history AS SELECT * FROM session WHERE 0;
CREATE UNIQUE INDEX session_history_id ON session_history (id);
CREATE INDEX session_history_stopped ON session_history (stopped);
CREATE INDEX session_history_username ON session_history (username, started);
CREATE INDEX session_history_calling ON session_history (calling_station_id, started);
CREATE INDEX session_history_key ON session_history (nas_id, acct_session_id, identity);
CREATE VIEW session_all AS SELECT * FROM session UNION ALL SELECT * FROM session_history;
