-- Times are milliseconds since 1970.
-- Counts the changes of parties and pairs: a server that sees another number reads them again.
CREATE TABLE directory (id BIGINT PRIMARY KEY, revision BIGINT NOT NULL);
INSERT INTO directory (id, revision) VALUES (1, 0);

-- What is known of a party is one JSON object: it is read and written as a whole.
CREATE TABLE party (id TEXT PRIMARY KEY, record TEXT NOT NULL, changed_at BIGINT NOT NULL);
CREATE TABLE pair (id TEXT PRIMARY KEY, record TEXT NOT NULL, changed_at BIGINT NOT NULL);

-- Which tokens belong to which pair. The key is a hash of both: the token is not in here.
CREATE TABLE token (
    key BLOB PRIMARY KEY,
    pair TEXT NOT NULL,
    -- 1: the CMP has accepted it.
    confirmed BIGINT NOT NULL,
    since BIGINT NOT NULL,
    -- When the onboarding ended; NULL: it has not.
    ended_at BIGINT
);
CREATE INDEX token_ended ON token (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX token_pending ON token (since) WHERE confirmed = 0;
CREATE INDEX token_pair ON token (pair);

CREATE TABLE call (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Who called, by its first client-id; with the request id the same call for ever.
    party TEXT NOT NULL,
    request_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    pair TEXT NOT NULL,
    target TEXT NOT NULL,
    operation TEXT NOT NULL,
    -- SHA-256 of method, path and body.
    digest BLOB NOT NULL,
    -- The names that the target gets.
    client_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    -- Calls of one token towards one target are delivered in their order. NULL once that does not matter.
    lane BLOB,
    -- Path with query and body, as long as the call may still have to be made; empty afterwards.
    path TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body BLOB,
    -- 1: the hub may deliver it by itself.
    kept BIGINT NOT NULL,
    -- Status with which the hub accepts it.
    success BIGINT NOT NULL,
    -- open: being answered; released: answered with something that may change; waiting: to be delivered; queued: behind
    -- another of its lane; done; dead: given up; dropped: by an operator, or because its token ended.
    state TEXT NOT NULL,
    -- The answer that its caller gets, also for a repetition; 0: none yet.
    status BIGINT NOT NULL,
    answer_type TEXT NOT NULL,
    answer BLOB,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    leased_until BIGINT NOT NULL,
    -- Since when it is tried: accepted, or replayed.
    since BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    last_error TEXT NOT NULL
);
CREATE UNIQUE INDEX call_key ON call (party, request_id);
CREATE INDEX call_due ON call (state, target, next_at, id);
CREATE INDEX call_lane ON call (lane, target, id) WHERE lane IS NOT NULL;
CREATE INDEX call_state ON call (state, id);
CREATE INDEX call_open ON call (state, leased_until);
CREATE INDEX call_old ON call (state, changed_at);
CREATE INDEX call_pair ON call (pair, id);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);

-- Calls of a pair, operation and day (UTC).
CREATE TABLE meter (
    day TEXT NOT NULL,
    pair TEXT NOT NULL,
    environment TEXT NOT NULL,
    operation TEXT NOT NULL,
    calls BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    PRIMARY KEY (day, pair, environment, operation)
);
