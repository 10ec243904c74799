-- A row that is replaced needs room in its page, else it gets a new place in every index: half of each page is left to it.
-- A batch replaces all rows of a page in one transaction, so each needs room once.
ALTER TABLE session SET (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE usage SET (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.05);
-- Rows come and go with sessions: what is gone is to be used again soon.
ALTER TABLE session_open SET (autovacuum_vacuum_scale_factor = 0.05);
