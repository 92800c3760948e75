-- The SHA-256 of a vehicle's only certificate, and who is logged in to it.
ALTER TABLE vehicle ADD COLUMN certificate TEXT;
ALTER TABLE vehicle ADD COLUMN session TEXT;
CREATE INDEX vehicle_session ON vehicle (session);
-- Codes that cars show, for a login that is approved on a page; at most one of a vehicle.
CREATE TABLE login_code (
    eid TEXT PRIMARY KEY, code TEXT NOT NULL UNIQUE, login_id TEXT NOT NULL, state TEXT NOT NULL,
    account TEXT, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL
);
-- What users like, in their AID User Profile.
CREATE TABLE user_preference (
    account TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (account, name)
);
