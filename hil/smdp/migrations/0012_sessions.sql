-- Sessions of cards that have proved themselves: from the offer until the BPP. One that is over stays without its
-- content until nobody can begin it again.
CREATE TABLE sessions (
    transaction_id BLOB PRIMARY KEY NOT NULL CHECK (length(transaction_id) = 16),
    eid TEXT NOT NULL,
    touched_at BIGINT NOT NULL,
    body TEXT
);
CREATE INDEX sessions_eid ON sessions (eid, touched_at) WHERE body IS NOT NULL;
CREATE INDEX sessions_age ON sessions (touched_at);

-- With which transaction ids and challenges are made, so that a session that has only begun needs no row.
CREATE TABLE session_key (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    secret BLOB NOT NULL CHECK (length(secret) = 32)
);
