-- What lets a user in to a vehicle while that has no connection: the newest one of each user and vehicle. A revoked one
-- stays until the vehicle has acknowledged that, or until long after its end; a user's reference outlives the user here.
CREATE TABLE verifier (
    eid TEXT NOT NULL, account UUID NOT NULL, id UUID NOT NULL, expires_at BIGINT NOT NULL, revoked_at BIGINT,
    PRIMARY KEY (eid, account)
);
CREATE INDEX verifier_account ON verifier (account);
CREATE INDEX verifier_expires ON verifier (expires_at);
CREATE INDEX verifier_revoked ON verifier (revoked_at, eid, account) WHERE revoked_at IS NOT NULL;
