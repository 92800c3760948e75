-- When a vehicle's certificate was bound: connections with another one end. Looked up every second.
ALTER TABLE vehicle ADD COLUMN bound_at INTEGER;
CREATE INDEX vehicle_bound ON vehicle (bound_at) WHERE bound_at IS NOT NULL;
