-- Misbehaviours that were asked for (docs/msp-control.md). remaining NULL: until it is cleared.
CREATE TABLE misbehaviour (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    -- NULL: wherever the name can act
    operation TEXT,
    -- NULL: towards every CMP
    client_id TEXT,
    remaining BIGINT,
    skip BIGINT NOT NULL,
    -- millionths
    probability BIGINT NOT NULL,
    seed BIGINT NOT NULL,
    -- opportunities so far, and how many were taken
    seen BIGINT NOT NULL,
    fired BIGINT NOT NULL,
    -- JSON
    parameters TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- What was done on purpose, and what the other side said to it.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    misbehaviour BIGINT,
    name TEXT NOT NULL,
    operation TEXT NOT NULL,
    client_id TEXT NOT NULL,
    -- HTTP status of the answer to a call of ours, 0 if there was none
    status BIGINT,
    code TEXT,
    note TEXT NOT NULL
);

-- Who did what, and why.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
);
