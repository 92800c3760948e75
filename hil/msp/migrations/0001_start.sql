-- Times are milliseconds since 1970. "IF NOT EXISTS": databases from before migrations were counted have these tables.
CREATE TABLE IF NOT EXISTS onboarding (
    msp_token TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    user_name TEXT NOT NULL,
    sid TEXT NOT NULL,
    -- pending (the CMP has not confirmed), active, refused, invalidated
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS onboarding_user ON onboarding (user_name);

CREATE TABLE IF NOT EXISTS profile (
    iccid TEXT NOT NULL,
    msp_token TEXT NOT NULL,
    eid TEXT NOT NULL,
    matching_id TEXT NOT NULL,
    -- prepared, installed, failed, deleted, swapped, cancelled
    state TEXT NOT NULL,
    -- 1: the network lets it in
    network BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (msp_token, iccid, created_at)
);
CREATE INDEX IF NOT EXISTS profile_iccid ON profile (iccid);

CREATE TABLE IF NOT EXISTS ac_request (
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    msp_token TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    eid TEXT NOT NULL,
    replace_iccid TEXT,
    -- sync, async: how the answer travels
    delivery TEXT NOT NULL,
    -- open, done, failed
    state TEXT NOT NULL,
    -- what downloadOrder reserved
    iccid TEXT,
    activation_code TEXT,
    swapped_iccid TEXT,
    error TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, request_id)
);

CREATE TABLE IF NOT EXISTS status (
    seq INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    client_id TEXT NOT NULL,
    msp_token TEXT NOT NULL,
    iccid TEXT NOT NULL,
    eid TEXT NOT NULL,
    status TEXT NOT NULL,
    correlation_id TEXT NOT NULL
);

-- One row for each CMP-request-id of a CMP; status 0 while it is being worked on.
CREATE TABLE IF NOT EXISTS answered (
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (client_id, request_id)
);

-- What still has to be sent; done and dead rows stay for support.
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY,
    client_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    msp_token TEXT NOT NULL,
    request_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    body TEXT NOT NULL,
    -- waiting, done, dead
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_error TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_next ON outbox (state, next_at);
