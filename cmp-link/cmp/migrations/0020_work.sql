-- Orders and calls keep what happened to them; calls are claimed by one instance of several.
ALTER TABLE vehicle ADD COLUMN vin TEXT;
ALTER TABLE vehicle ADD COLUMN retired_at BIGINT;
ALTER TABLE vehicle ADD COLUMN retired_reason TEXT;
ALTER TABLE vehicle ADD COLUMN replaced_by TEXT;
CREATE INDEX vehicle_vin ON vehicle (vin);
-- The subscription that serves a user: in one car, or with an empty EID in all others.
CREATE TABLE preference (
    account TEXT NOT NULL, eid TEXT NOT NULL, federation TEXT NOT NULL, PRIMARY KEY (account, eid)
);
-- A user deleted his profile in this car: none comes until he says so.
CREATE TABLE hold (
    federation TEXT NOT NULL, eid TEXT NOT NULL, since BIGINT NOT NULL, PRIMARY KEY (federation, eid)
);
CREATE INDEX profile_eid ON profile (eid);
CREATE INDEX code_request_state ON code_request (state, expires_at);
ALTER TABLE code_request ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX code_request_news ON code_request (changed_at) WHERE delivered_at IS NULL;
-- A position orders what has the same time.
ALTER TABLE vehicle_order ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vehicle_order ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vehicle_order ADD COLUMN federation TEXT;
CREATE INDEX vehicle_order_position ON vehicle_order (position);
CREATE INDEX vehicle_order_unsent ON vehicle_order (created_at) WHERE state = 'open' AND sent_at IS NULL;
-- Calls that were answered stay for a time.
ALTER TABLE outbox ADD COLUMN state TEXT NOT NULL DEFAULT 'due';
ALTER TABLE outbox ADD COLUMN closed_at BIGINT;
ALTER TABLE outbox ADD COLUMN claimed_by TEXT;
ALTER TABLE outbox ADD COLUMN claimed_until BIGINT NOT NULL DEFAULT 0;
UPDATE outbox SET state = 'dead' WHERE dead = 1;
DROP INDEX outbox_due;
DROP INDEX outbox_lane;
ALTER TABLE outbox DROP COLUMN dead;
CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 'due';
CREATE INDEX outbox_lane ON outbox (msp, lane, position) WHERE state = 'due';
CREATE INDEX outbox_position ON outbox (position);
CREATE INDEX outbox_token ON outbox (msp, token);
-- What happened to an order or a call.
CREATE TABLE history (
    id TEXT PRIMARY KEY, position BIGINT NOT NULL, work TEXT NOT NULL, at BIGINT NOT NULL,
    event TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX history_work ON history (work, position);
CREATE INDEX history_position ON history (position);
ALTER TABLE audit ADD COLUMN reason TEXT;
CREATE INDEX audit_at ON audit (at);
CREATE TABLE notice (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, at BIGINT NOT NULL, kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX notice_account ON notice (account, at);
CREATE TABLE sync_run (
    id TEXT PRIMARY KEY, federation TEXT NOT NULL, at BIGINT NOT NULL, outcome TEXT NOT NULL,
    findings TEXT NOT NULL
);
CREATE INDEX sync_run_federation ON sync_run (federation, at);
-- Whether somebody asked for a repetition is looked up by time when old rows are removed.
CREATE INDEX idempotency_at ON idempotency (at);
CREATE INDEX report_received ON report (received_at);
