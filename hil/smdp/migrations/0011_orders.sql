-- What lists show of a profile, and by what orders that are over are found.
ALTER TABLE orders ADD COLUMN file TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN expires_at BIGINT;
UPDATE orders SET changed_at = COALESCE(json_extract(body, '$.changed_at'), 0);
CREATE INDEX orders_file ON orders (file, in_inventory);
CREATE INDEX orders_expiry ON orders (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX orders_gone ON orders (changed_at)
    WHERE in_inventory = 0 AND state IN ('available', 'deleted', 'error', 'unavailable');
CREATE INDEX bindings_age ON bindings (created_at);
CREATE INDEX notifications_age ON notifications (received_at);

-- Packages whose ICCID an earlier file of the inventory has, too.
CREATE TABLE further (
    iccid TEXT NOT NULL,
    file TEXT NOT NULL,
    profile_type TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (iccid, file)
);
CREATE INDEX further_type ON further (profile_type, iccid);
CREATE INDEX further_file ON further (file);
