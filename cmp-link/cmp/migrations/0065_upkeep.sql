-- What is made comes first: to remove an index locks its table on PostgreSQL, and that shall be short. An instance of an
-- earlier version can't write to a table while an index on it is made.
--
-- What is due is found for one MSP and kind at a time, so that one that is down holds up no other.
CREATE INDEX outbox_next ON outbox (msp, kind, next_at, position) WHERE state = 'due';
-- What an instance has claimed is let go when it stops.
CREATE INDEX outbox_claimed ON outbox (claimed_by) WHERE state = 'due' AND claimed_until > 0;
-- Lists by state.
CREATE INDEX outbox_state ON outbox (state, position) WHERE state IN ('done', 'dropped');
-- Due links are found for one MSP at a time too.
CREATE INDEX federation_due ON federation (msp, synced_at, id) WHERE ended_at IS NULL;
-- What a tick looks for is read in pages.
CREATE INDEX vehicle_retired_page ON vehicle (retired_at, eid) WHERE retired_at IS NOT NULL;
CREATE INDEX vehicle_bound_page ON vehicle (bound_at, eid) WHERE bound_at IS NOT NULL;
CREATE INDEX code_request_news_page ON code_request (changed_at, id) WHERE delivered_at IS NULL;
CREATE INDEX code_request_open_page ON code_request (expires_at, id) WHERE state IN ('new', 'accepted');
CREATE INDEX report_received_page ON report (received_at, eid, seq, digest);
CREATE INDEX sync_run_at ON sync_run (at);
DROP INDEX federation_sync;
DROP INDEX vehicle_retired;
DROP INDEX vehicle_bound;
DROP INDEX code_request_news;
DROP INDEX code_request_open;
DROP INDEX report_received;
