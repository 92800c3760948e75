-- Times are Unix milliseconds. Identifiers are UUIDs in text, EIDs and ICCIDs their digits.
CREATE TABLE vehicle (
    eid TEXT PRIMARY KEY, added_at BIGINT NOT NULL, last_seen BIGINT, software TEXT, card TEXT
);
CREATE TABLE account (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL,
    password TEXT NOT NULL, pin_mac TEXT, created_at BIGINT NOT NULL
);
-- Failed attempts at a PIN or a password.
CREATE TABLE attempt (
    key TEXT PRIMARY KEY, count BIGINT NOT NULL, since BIGINT NOT NULL, last TEXT
);
-- Who logged in to which vehicle: only for them it may ask for codes.
CREATE TABLE vehicle_login (
    eid TEXT NOT NULL, account TEXT NOT NULL, first_at BIGINT NOT NULL, PRIMARY KEY (eid, account)
);
CREATE TABLE portal_session (
    token_hash TEXT PRIMARY KEY, account TEXT NOT NULL, expires_at BIGINT NOT NULL
);
CREATE TABLE onboarding (
    sid TEXT PRIMARY KEY, msp TEXT NOT NULL, account TEXT NOT NULL, state TEXT NOT NULL,
    return_state TEXT NOT NULL UNIQUE, token TEXT, error TEXT,
    created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL
);
CREATE TABLE federation (
    id TEXT PRIMARY KEY, msp TEXT NOT NULL, token TEXT NOT NULL, account TEXT NOT NULL,
    phone_number TEXT NOT NULL, iv TEXT NOT NULL, subscription_type TEXT NOT NULL,
    customer_group TEXT, since BIGINT NOT NULL, ended_at BIGINT, ended_reason TEXT,
    UNIQUE (msp, token)
);
CREATE INDEX federation_account ON federation (account);
CREATE TABLE profile (
    iccid TEXT NOT NULL, federation TEXT NOT NULL, eid TEXT NOT NULL, state TEXT NOT NULL,
    msp_state TEXT NOT NULL, last_used BIGINT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (iccid, federation)
);
CREATE INDEX profile_federation ON profile (federation);
CREATE TABLE code_request (
    id TEXT PRIMARY KEY, car_request TEXT NOT NULL, eid TEXT NOT NULL, account TEXT NOT NULL,
    federation TEXT NOT NULL, correlation TEXT NOT NULL, replace_iccid TEXT, state TEXT NOT NULL,
    code TEXT, iccid TEXT, swapped TEXT, error_code BIGINT, error TEXT,
    created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, delivered_at BIGINT
);
CREATE INDEX code_request_car ON code_request (eid, car_request);
CREATE INDEX code_request_federation ON code_request (federation);
-- The digest tells a repetition from a vehicle that counts from the start again.
CREATE TABLE report (
    eid TEXT NOT NULL, seq BIGINT NOT NULL, digest TEXT NOT NULL, iccid TEXT, account TEXT,
    status TEXT NOT NULL, code BIGINT NOT NULL, received_at BIGINT NOT NULL,
    PRIMARY KEY (eid, seq, digest)
);
CREATE TABLE vehicle_order (
    id TEXT PRIMARY KEY, eid TEXT NOT NULL, kind TEXT NOT NULL, iccid TEXT, account TEXT,
    reason TEXT NOT NULL, state TEXT NOT NULL, code BIGINT, created_at BIGINT NOT NULL,
    sent_at BIGINT, closed_at BIGINT
);
CREATE INDEX vehicle_order_open ON vehicle_order (eid, state);
-- Calls to MSPs that are due until they were answered; a lane keeps its order.
CREATE TABLE outbox (
    id TEXT PRIMARY KEY, position BIGINT NOT NULL, msp TEXT NOT NULL, lane TEXT NOT NULL,
    kind TEXT NOT NULL, token TEXT NOT NULL, correlation TEXT NOT NULL, body TEXT NOT NULL,
    attempts BIGINT NOT NULL, next_at BIGINT NOT NULL, dead BIGINT NOT NULL, last_error TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (dead, next_at);
CREATE INDEX outbox_lane ON outbox (msp, lane, position);
CREATE TABLE idempotency (
    client TEXT NOT NULL, request_id TEXT NOT NULL, digest TEXT NOT NULL, status BIGINT NOT NULL,
    body TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (client, request_id)
);
CREATE TABLE audit (
    id TEXT PRIMARY KEY, at BIGINT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    detail TEXT NOT NULL
);
