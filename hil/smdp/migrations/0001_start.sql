-- One row per profile of the inventory; body is the order in JSON, the other columns are for finding it.
CREATE TABLE orders (
    iccid TEXT PRIMARY KEY NOT NULL,
    state TEXT NOT NULL,
    eid TEXT,
    matching_id TEXT UNIQUE,
    version BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX orders_eid ON orders (eid);
-- Each BPP that was given out: installation results are verified with it.
CREATE TABLE bindings (
    transaction_id TEXT PRIMARY KEY NOT NULL,
    iccid TEXT NOT NULL,
    eid TEXT NOT NULL,
    public_key TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
-- Notifications that verified, once each.
CREATE TABLE notifications (
    eid TEXT NOT NULL,
    seq_number BIGINT NOT NULL,
    digest TEXT NOT NULL,
    iccid TEXT,
    outcome TEXT NOT NULL,
    der TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (eid, seq_number, digest)
);
