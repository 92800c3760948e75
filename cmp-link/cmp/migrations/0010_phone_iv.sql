-- Initialisation vectors of phone numbers, by key: under one key none may come twice (AID.02 7.3).
-- The digest tells a repetition of the same number from a second number.
CREATE TABLE phone_iv (
    msp TEXT NOT NULL, key_id TEXT NOT NULL, iv TEXT NOT NULL, digest TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (msp, key_id, iv)
);
