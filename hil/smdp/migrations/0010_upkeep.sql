-- The first available profile, of any type or of one, is found by an index.
CREATE INDEX orders_first ON orders (in_inventory, state, iccid);
CREATE INDEX orders_type ON orders (profile_type) WHERE in_inventory = 1;
