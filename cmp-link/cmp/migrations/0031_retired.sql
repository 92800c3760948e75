-- Who was retired lately is looked up every second.
CREATE INDEX vehicle_retired ON vehicle (retired_at) WHERE retired_at IS NOT NULL;
