-- What users call their cars.
CREATE TABLE car_name (
    account UUID NOT NULL REFERENCES account (id) ON DELETE CASCADE, eid TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (account, eid)
);

-- Who signs in with another identity provider (OpenID Connect): its issuer, and the user's subject there.
CREATE TABLE openid_identity (
    issuer TEXT NOT NULL, subject TEXT NOT NULL, account UUID NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    since BIGINT NOT NULL, PRIMARY KEY (issuer, subject)
);
CREATE INDEX openid_identity_account ON openid_identity (account);
