-- What a user is told about his sessions.
ALTER TABLE portal_session ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE portal_session ADD COLUMN browser TEXT;
CREATE INDEX portal_session_account ON portal_session (account);
