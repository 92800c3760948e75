-- Certificates that vehicles asked for over AID2; the one that a vehicle may use beside the one that it has.
ALTER TABLE vehicle ADD COLUMN next_certificate TEXT;
CREATE TABLE vehicle_certificate (
    eid TEXT NOT NULL REFERENCES vehicle (eid), request_id UUID NOT NULL, request BYTEA NOT NULL, asked_at BIGINT NOT NULL,
    bootstrap BIGINT NOT NULL, chain TEXT, certificate TEXT, not_after BIGINT, issued_at BIGINT, used_at BIGINT,
    PRIMARY KEY (eid, request_id)
);
CREATE INDEX vehicle_certificate_asked ON vehicle_certificate (eid, asked_at);
