-- Who works at the operator's desk: keys of the admin API, people at the console and their sessions. Of keys, passwords
-- and cookies only hashes are here.
CREATE TABLE api_key (
    id BLOB PRIMARY KEY NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE member (
    name TEXT PRIMARY KEY NOT NULL, role TEXT NOT NULL, password TEXT, certificate TEXT UNIQUE, created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE desk_session (
    token_hash TEXT PRIMARY KEY NOT NULL, member TEXT NOT NULL REFERENCES member (name) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX desk_session_member ON desk_session (member);
CREATE INDEX desk_session_expires ON desk_session (expires_at);

-- Addresses that hear of orders and alarms, and what they have not heard yet.
CREATE TABLE webhook (
    id BLOB PRIMARY KEY NOT NULL, url TEXT NOT NULL, secret TEXT NOT NULL, created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE webhook_event (
    webhook BLOB NOT NULL REFERENCES webhook (id) ON DELETE CASCADE, event BLOB NOT NULL, body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL, last_error TEXT, created_at INTEGER NOT NULL,
    PRIMARY KEY (webhook, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_event_due ON webhook_event (next_at, event);

-- One transaction across car, CMP and MSP; MSPs that fail; names that are locked.
CREATE INDEX vehicle_order_correlation ON vehicle_order (correlation);
CREATE INDEX outbox_correlation ON outbox (correlation);
CREATE INDEX code_request_correlation ON code_request (correlation);
CREATE INDEX outbox_failing ON outbox (msp, position) WHERE state = 'due' AND attempts >= 3;
CREATE INDEX attempt_many ON attempt (since) WHERE count >= 5;
