-- What is due is found for one MSP and kind at a time, so that one that is down holds up no other.
CREATE INDEX outbox_next ON outbox (msp, kind, next_at, position) WHERE state = 'due';
-- Due links are found for one MSP at a time too.
DROP INDEX federation_sync;
CREATE INDEX federation_sync ON federation (msp, synced_at, id) WHERE ended_at IS NULL;
-- What an instance has claimed is let go when it stops.
CREATE INDEX outbox_claimed ON outbox (claimed_by) WHERE state = 'due' AND claimed_until > 0;
-- What a tick looks for is read in pages.
DROP INDEX vehicle_retired;
CREATE INDEX vehicle_retired ON vehicle (retired_at, eid) WHERE retired_at IS NOT NULL;
DROP INDEX vehicle_bound;
CREATE INDEX vehicle_bound ON vehicle (bound_at, eid) WHERE bound_at IS NOT NULL;
DROP INDEX code_request_news;
CREATE INDEX code_request_news ON code_request (changed_at, id) WHERE delivered_at IS NULL;
DROP INDEX code_request_open;
CREATE INDEX code_request_open ON code_request (expires_at, id) WHERE state IN ('new', 'accepted');
DROP INDEX report_received;
CREATE INDEX report_received ON report (received_at, eid, seq, digest);
CREATE INDEX sync_run_at ON sync_run (at);
-- Lists by state.
CREATE INDEX outbox_state ON outbox (state, position) WHERE state IN ('done', 'dropped');
