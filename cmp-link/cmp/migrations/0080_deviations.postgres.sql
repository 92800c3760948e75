-- What MSPs do otherwise than AID.02 has it and is tolerated, counted.
CREATE TABLE deviation (
    msp TEXT NOT NULL, kind TEXT NOT NULL, count BIGINT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT NOT NULL,
    PRIMARY KEY (msp, kind)
);

-- Links whose token the MSP did not know when it was asked for an activation code.
CREATE TABLE doubt (
    federation UUID PRIMARY KEY REFERENCES federation (id) ON DELETE CASCADE, since BIGINT NOT NULL, code BIGINT NOT NULL
);

-- Since when the MSP says of a profile what it says, and why.
CREATE TABLE judgement (
    iccid TEXT NOT NULL, federation UUID NOT NULL REFERENCES federation (id) ON DELETE CASCADE, since BIGINT NOT NULL,
    reason TEXT, PRIMARY KEY (federation, iccid)
);

-- Statuses that an MSP hears of once per profile, and has heard of.
CREATE TABLE status_told (
    iccid TEXT NOT NULL, federation UUID NOT NULL REFERENCES federation (id) ON DELETE CASCADE, status TEXT NOT NULL,
    PRIMARY KEY (federation, iccid, status)
);
