-- Who signs in at the operator's console. Sessions are stored as the SHA-256 of their cookie.
CREATE TABLE member (
    name TEXT PRIMARY KEY,
    -- viewer, operator, admin
    role TEXT NOT NULL,
    -- Argon2id in PHC form
    password TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE desk_session (
    cookie TEXT PRIMARY KEY,
    member TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX desk_session_member ON desk_session (member);
CREATE INDEX desk_session_end ON desk_session (expires_at);

-- Why something was done; empty where nobody said.
ALTER TABLE audit ADD COLUMN reason TEXT NOT NULL DEFAULT '';

-- Lists are read in parts, from either end.
CREATE INDEX onboarding_age ON onboarding (created_at, msp_token);
CREATE INDEX subscription_age ON subscription (created_at, id);
CREATE INDEX profile_age ON profile (created_at, iccid);
CREATE INDEX ac_request_age ON ac_request (created_at, request_id);
CREATE INDEX ac_request_state ON ac_request (state, created_at, request_id);
-- Few are waiting or given up among many that are done. An index by the state itself would draw the search for what is due.
CREATE INDEX outbox_waiting ON outbox (id) WHERE state = 'waiting';
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
-- What is looked for: a subscription by its number, a vehicle, a request by its id alone.
CREATE INDEX subscription_number ON subscription (msisdn, created_at, id);
CREATE INDEX profile_eid ON profile (eid, created_at);
CREATE INDEX ac_request_id ON ac_request (request_id, created_at);
CREATE INDEX outbox_link ON outbox (msp_token, id);
CREATE INDEX status_iccid ON status (iccid, seq);
CREATE INDEX status_token ON status (msp_token, seq);
CREATE INDEX progress_iccid ON progress (iccid, seq);
-- A transaction.
CREATE INDEX ac_request_correlation ON ac_request (correlation_id, created_at);
CREATE INDEX status_correlation ON status (correlation_id);
CREATE INDEX outbox_correlation ON outbox (correlation_id);
