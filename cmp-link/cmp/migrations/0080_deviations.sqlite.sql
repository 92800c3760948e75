-- What MSPs do otherwise than AID.02 has it and is tolerated, counted.
CREATE TABLE deviation (
    msp TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
    PRIMARY KEY (msp, kind)
) STRICT, WITHOUT ROWID;

-- Links whose token the MSP did not know when it was asked for an activation code.
CREATE TABLE doubt (
    federation BLOB PRIMARY KEY NOT NULL REFERENCES federation (id) ON DELETE CASCADE, since INTEGER NOT NULL,
    code INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Since when the MSP says of a profile what it says, and why.
CREATE TABLE judgement (
    iccid TEXT NOT NULL, federation BLOB NOT NULL REFERENCES federation (id) ON DELETE CASCADE, since INTEGER NOT NULL,
    reason TEXT, PRIMARY KEY (federation, iccid)
) STRICT, WITHOUT ROWID;

-- Statuses that an MSP hears of once per profile, and has heard of.
CREATE TABLE status_told (
    iccid TEXT NOT NULL, federation BLOB NOT NULL REFERENCES federation (id) ON DELETE CASCADE, status TEXT NOT NULL,
    PRIMARY KEY (federation, iccid, status)
) STRICT, WITHOUT ROWID;
