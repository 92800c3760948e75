-- An order is read and written on one transaction, so it needs no version any more. Ids, keys and signed data are bytes.
CREATE TABLE new_orders (
    iccid TEXT PRIMARY KEY NOT NULL,
    profile_type TEXT NOT NULL,
    state TEXT NOT NULL,
    eid TEXT,
    matching_id TEXT UNIQUE,
    -- The DownloadOrder that made it, for its repetitions.
    call TEXT,
    -- 1: the inventory had the profile at the last start.
    in_inventory BIGINT NOT NULL,
    body TEXT NOT NULL
);
INSERT INTO new_orders (iccid, profile_type, state, eid, matching_id, call, in_inventory, body)
    SELECT iccid, json_extract(body, '$.profile_type'), state, eid, matching_id, json_extract(body, '$.call'), 0, body
    FROM orders;
DROP TABLE orders;
ALTER TABLE new_orders RENAME TO orders;
CREATE INDEX orders_eid ON orders (eid);
CREATE INDEX orders_call ON orders (call, eid);
CREATE INDEX orders_available ON orders (in_inventory, state, profile_type, iccid);

CREATE TABLE new_bindings (
    transaction_id BLOB PRIMARY KEY NOT NULL CHECK (length(transaction_id) = 16),
    iccid TEXT NOT NULL REFERENCES orders (iccid),
    eid TEXT NOT NULL,
    public_key BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
INSERT INTO new_bindings (transaction_id, iccid, eid, public_key, created_at)
    SELECT unhex(transaction_id), iccid, eid, unhex(public_key), created_at FROM bindings;
DROP TABLE bindings;
ALTER TABLE new_bindings RENAME TO bindings;
CREATE INDEX bindings_iccid ON bindings (iccid);

-- The ICCID is the card's word: it need not be a profile of ours, so it refers to nothing.
CREATE TABLE new_notifications (
    eid TEXT NOT NULL,
    seq_number BIGINT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    iccid TEXT,
    outcome TEXT NOT NULL,
    der BLOB NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (eid, seq_number, digest)
);
INSERT INTO new_notifications (eid, seq_number, digest, iccid, outcome, der, received_at)
    SELECT eid, seq_number, unhex(digest), iccid, outcome, unhex(der), received_at FROM notifications;
DROP TABLE notifications;
ALTER TABLE new_notifications RENAME TO notifications;

-- An earlier version would otherwise take these tables for its own, and fail at each call instead of at its start.
DROP TABLE IF EXISTS _sqlx_migrations;
-- Left by a start of an earlier version that was cut short.
DROP TABLE IF EXISTS log_reserve;
