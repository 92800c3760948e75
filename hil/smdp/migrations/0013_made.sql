-- Profiles that were made from a template, with what the operator's network needs to know of them.
CREATE TABLE made (
    iccid TEXT PRIMARY KEY NOT NULL REFERENCES orders (iccid),
    template TEXT NOT NULL,
    number BIGINT NOT NULL,
    -- JSON: IMSI, keys, PINs.
    secrets TEXT NOT NULL,
    package BLOB NOT NULL,
    metadata BLOB NOT NULL,
    own_keys BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (template, number)
);

-- The next number of each template. Numbers are used once, also when a profile is forgotten.
CREATE TABLE template_next (
    template TEXT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL
);
