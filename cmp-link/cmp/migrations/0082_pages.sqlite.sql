-- What users call their cars.
CREATE TABLE car_name (
    account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE, eid TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (account, eid)
) STRICT, WITHOUT ROWID;

-- Who signs in with another identity provider (OpenID Connect): its issuer, and the user's subject there.
CREATE TABLE openid_identity (
    issuer TEXT NOT NULL, subject TEXT NOT NULL, account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    since INTEGER NOT NULL, PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX openid_identity_account ON openid_identity (account);
