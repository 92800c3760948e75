-- What operators are still to be told of downloads (ES2+.HandleDownloadProgressInfo), in the order in which it happened.
CREATE TABLE progress (
    id INTEGER PRIMARY KEY NOT NULL,
    operator TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL
);
CREATE INDEX progress_due ON progress (due_at, id);
