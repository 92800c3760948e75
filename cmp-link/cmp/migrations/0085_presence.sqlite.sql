-- Whether a vehicle is connected, since when, and through which running instance. Apart from the table of vehicles, so
-- that what a connection writes waits for no decision about the vehicle.
CREATE TABLE presence (
    eid TEXT PRIMARY KEY NOT NULL, instance BLOB NOT NULL, connected_at INTEGER NOT NULL, heard_at INTEGER NOT NULL,
    disconnected_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX presence_online ON presence (instance) WHERE disconnected_at IS NULL;
CREATE INDEX presence_silent ON presence (heard_at, eid);

-- Running instances. Each renews its row; the vehicles of one that does not do so any more are disconnected.
CREATE TABLE instance (
    id BLOB PRIMARY KEY NOT NULL, name TEXT NOT NULL, started_at INTEGER NOT NULL, beat_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
