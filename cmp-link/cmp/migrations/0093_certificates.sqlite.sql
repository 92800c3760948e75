-- Certificates that vehicles asked for over AID2; the one that a vehicle may use beside the one that it has.
ALTER TABLE vehicle ADD COLUMN next_certificate TEXT;
CREATE TABLE vehicle_certificate (
    eid TEXT NOT NULL REFERENCES vehicle (eid), request_id BLOB NOT NULL, request BLOB NOT NULL, asked_at INTEGER NOT NULL,
    bootstrap INTEGER NOT NULL, chain TEXT, certificate TEXT, not_after INTEGER, issued_at INTEGER, used_at INTEGER,
    PRIMARY KEY (eid, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX vehicle_certificate_asked ON vehicle_certificate (eid, asked_at);
