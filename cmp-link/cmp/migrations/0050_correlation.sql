-- The transaction that an order belongs to.
ALTER TABLE vehicle_order ADD COLUMN correlation TEXT;
