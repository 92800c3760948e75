-- Identifiers become UUIDs; EIDs and ICCIDs stay digits. Positions are given by the database. What belongs together is
-- declared: rows of before whose subject is gone are removed, or do without the reference.

-- Users. A subscription keeps its user. One whose user is not there gets an erased one.
INSERT INTO account (id, name, display_name, password, pin_mac, created_at)
    SELECT DISTINCT account, 'erased/' || account, '', '', NULL, 0 FROM federation f
    WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.id = f.account);
DELETE FROM vehicle_login c WHERE NOT EXISTS (SELECT 1 FROM account p WHERE p.id = c.account)
    OR NOT EXISTS (SELECT 1 FROM vehicle p WHERE p.eid = c.eid);
DELETE FROM portal_session c WHERE NOT EXISTS (SELECT 1 FROM account p WHERE p.id = c.account);
DELETE FROM login_code c WHERE NOT EXISTS (SELECT 1 FROM vehicle p WHERE p.eid = c.eid)
    OR (account IS NOT NULL AND NOT EXISTS (SELECT 1 FROM account p WHERE p.id = c.account));
DELETE FROM user_preference c WHERE NOT EXISTS (SELECT 1 FROM account p WHERE p.id = c.account);
DELETE FROM notice c WHERE NOT EXISTS (SELECT 1 FROM account p WHERE p.id = c.account);
DELETE FROM onboarding c WHERE NOT EXISTS (SELECT 1 FROM account p WHERE p.id = c.account);
UPDATE vehicle c SET session = NULL WHERE session IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM account p WHERE p.id = c.session);
-- Subscriptions and cars.
DELETE FROM preference c WHERE NOT EXISTS (SELECT 1 FROM account p WHERE p.id = c.account)
    OR NOT EXISTS (SELECT 1 FROM federation p WHERE p.id = c.federation);
DELETE FROM profile c WHERE NOT EXISTS (SELECT 1 FROM federation p WHERE p.id = c.federation)
    OR NOT EXISTS (SELECT 1 FROM vehicle p WHERE p.eid = c.eid);
DELETE FROM code_request c WHERE NOT EXISTS (SELECT 1 FROM federation p WHERE p.id = c.federation)
    OR NOT EXISTS (SELECT 1 FROM vehicle p WHERE p.eid = c.eid);
DELETE FROM hold c WHERE NOT EXISTS (SELECT 1 FROM federation p WHERE p.id = c.federation)
    OR NOT EXISTS (SELECT 1 FROM vehicle p WHERE p.eid = c.eid);
DELETE FROM sync_run c WHERE NOT EXISTS (SELECT 1 FROM federation p WHERE p.id = c.federation);
DELETE FROM report c WHERE NOT EXISTS (SELECT 1 FROM vehicle p WHERE p.eid = c.eid);
DELETE FROM vehicle_order c WHERE NOT EXISTS (SELECT 1 FROM vehicle p WHERE p.eid = c.eid);
UPDATE vehicle_order c SET federation = NULL WHERE federation IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM federation p WHERE p.id = c.federation);
-- Those of before there was a correlation are transactions of their own.
UPDATE vehicle_order SET correlation = id WHERE correlation IS NULL;
DELETE FROM history c WHERE NOT EXISTS (SELECT 1 FROM vehicle_order p WHERE p.id = c.work)
    AND NOT EXISTS (SELECT 1 FROM outbox p WHERE p.id = c.work);

-- When the MSP was last asked for the profiles of a subscription stands with it.
ALTER TABLE federation ADD COLUMN synced_at BIGINT NOT NULL DEFAULT 0;
UPDATE federation f SET synced_at = c.asked_at
    FROM (SELECT msp, token, MAX(created_at) AS asked_at FROM outbox WHERE kind = 'profile-status' GROUP BY msp, token) c
    WHERE c.msp = f.msp AND c.token = f.token;

-- Positions without gaps and repetitions, in the order of before.
UPDATE vehicle_order o SET position = n.position
    FROM (SELECT id, row_number() OVER (ORDER BY position, created_at, id) AS position FROM vehicle_order) n
    WHERE n.id = o.id;
UPDATE outbox o SET position = n.position
    FROM (SELECT id, row_number() OVER (ORDER BY position, created_at, id) AS position FROM outbox) n
    WHERE n.id = o.id;
UPDATE history o SET position = n.position
    FROM (SELECT id, row_number() OVER (ORDER BY position, at, id) AS position FROM history) n
    WHERE n.id = o.id;
ALTER TABLE audit ADD COLUMN position BIGINT;
UPDATE audit o SET position = n.position
    FROM (SELECT id, row_number() OVER (ORDER BY at, id) AS position FROM audit) n
    WHERE n.id = o.id;

DROP INDEX federation_account, profile_federation, profile_eid, code_request_car, code_request_federation,
    code_request_state, code_request_news, vehicle_vin, vehicle_session, vehicle_retired, vehicle_order_open,
    vehicle_order_position, vehicle_order_unsent, outbox_due, outbox_lane, outbox_position, outbox_token, history_work,
    history_position, audit_at, notice_account, sync_run_federation, idempotency_at, report_received,
    portal_session_account;

ALTER TABLE account ALTER COLUMN id TYPE UUID USING id::uuid;
ALTER TABLE vehicle ALTER COLUMN session TYPE UUID USING session::uuid,
    ADD FOREIGN KEY (session) REFERENCES account (id) ON DELETE SET NULL;
ALTER TABLE attempt ALTER COLUMN last TYPE UUID USING last::uuid;
ALTER TABLE vehicle_login ALTER COLUMN account TYPE UUID USING account::uuid,
    ADD FOREIGN KEY (eid) REFERENCES vehicle (eid),
    ADD FOREIGN KEY (account) REFERENCES account (id) ON DELETE CASCADE;
ALTER TABLE portal_session ALTER COLUMN account TYPE UUID USING account::uuid,
    ADD FOREIGN KEY (account) REFERENCES account (id) ON DELETE CASCADE;
ALTER TABLE login_code ALTER COLUMN login_id TYPE UUID USING login_id::uuid,
    ALTER COLUMN account TYPE UUID USING account::uuid,
    ADD FOREIGN KEY (eid) REFERENCES vehicle (eid),
    ADD FOREIGN KEY (account) REFERENCES account (id) ON DELETE CASCADE;
ALTER TABLE user_preference ALTER COLUMN account TYPE UUID USING account::uuid,
    ADD FOREIGN KEY (account) REFERENCES account (id) ON DELETE CASCADE;
ALTER TABLE notice ALTER COLUMN id TYPE UUID USING id::uuid, ALTER COLUMN account TYPE UUID USING account::uuid,
    ADD FOREIGN KEY (account) REFERENCES account (id) ON DELETE CASCADE;
ALTER TABLE onboarding ALTER COLUMN sid TYPE UUID USING sid::uuid, ALTER COLUMN account TYPE UUID USING account::uuid,
    ALTER COLUMN token TYPE UUID USING token::uuid,
    ADD FOREIGN KEY (account) REFERENCES account (id) ON DELETE CASCADE;
ALTER TABLE federation ALTER COLUMN id TYPE UUID USING id::uuid, ALTER COLUMN token TYPE UUID USING token::uuid,
    ALTER COLUMN account TYPE UUID USING account::uuid,
    ADD FOREIGN KEY (account) REFERENCES account (id);
ALTER TABLE preference ALTER COLUMN account TYPE UUID USING account::uuid,
    ALTER COLUMN federation TYPE UUID USING federation::uuid,
    ADD FOREIGN KEY (account) REFERENCES account (id) ON DELETE CASCADE,
    ADD FOREIGN KEY (federation) REFERENCES federation (id) ON DELETE CASCADE;
ALTER TABLE profile ALTER COLUMN federation TYPE UUID USING federation::uuid,
    ADD FOREIGN KEY (federation) REFERENCES federation (id) ON DELETE CASCADE,
    ADD FOREIGN KEY (eid) REFERENCES vehicle (eid);
-- The user of a request is that of its subscription.
ALTER TABLE code_request ALTER COLUMN id TYPE UUID USING id::uuid,
    ALTER COLUMN car_request TYPE UUID USING car_request::uuid, ALTER COLUMN account TYPE UUID USING account::uuid,
    ALTER COLUMN federation TYPE UUID USING federation::uuid,
    ALTER COLUMN correlation TYPE UUID USING correlation::uuid,
    ADD FOREIGN KEY (federation) REFERENCES federation (id) ON DELETE CASCADE,
    ADD FOREIGN KEY (eid) REFERENCES vehicle (eid);
ALTER TABLE hold ALTER COLUMN federation TYPE UUID USING federation::uuid,
    ADD FOREIGN KEY (federation) REFERENCES federation (id) ON DELETE CASCADE,
    ADD FOREIGN KEY (eid) REFERENCES vehicle (eid);
ALTER TABLE sync_run ALTER COLUMN id TYPE UUID USING id::uuid, ALTER COLUMN federation TYPE UUID USING federation::uuid,
    ADD FOREIGN KEY (federation) REFERENCES federation (id) ON DELETE CASCADE;
-- A car may report whatever user it wants.
ALTER TABLE report ALTER COLUMN account TYPE UUID USING account::uuid,
    ADD FOREIGN KEY (eid) REFERENCES vehicle (eid);
-- An order outlives the user and the subscription that it is about.
ALTER TABLE vehicle_order ALTER COLUMN id TYPE UUID USING id::uuid, ALTER COLUMN account TYPE UUID USING account::uuid,
    ALTER COLUMN federation TYPE UUID USING federation::uuid,
    ALTER COLUMN correlation TYPE UUID USING correlation::uuid, ALTER COLUMN correlation SET NOT NULL,
    ALTER COLUMN position DROP DEFAULT, ALTER COLUMN position ADD GENERATED BY DEFAULT AS IDENTITY,
    ADD UNIQUE (position),
    ADD FOREIGN KEY (federation) REFERENCES federation (id) ON DELETE SET NULL,
    ADD FOREIGN KEY (eid) REFERENCES vehicle (eid);
ALTER TABLE outbox ALTER COLUMN id TYPE UUID USING id::uuid, ALTER COLUMN token TYPE UUID USING token::uuid,
    ALTER COLUMN correlation TYPE UUID USING correlation::uuid,
    ALTER COLUMN position ADD GENERATED BY DEFAULT AS IDENTITY,
    ADD UNIQUE (position);
ALTER TABLE history DROP COLUMN id;
ALTER TABLE history ALTER COLUMN work TYPE UUID USING work::uuid,
    ALTER COLUMN position ADD GENERATED BY DEFAULT AS IDENTITY,
    ADD PRIMARY KEY (position);
ALTER TABLE idempotency ALTER COLUMN request_id TYPE UUID USING request_id::uuid;
ALTER TABLE audit DROP COLUMN id;
ALTER TABLE audit ALTER COLUMN position SET NOT NULL;
ALTER TABLE audit ALTER COLUMN position ADD GENERATED BY DEFAULT AS IDENTITY,
    ADD PRIMARY KEY (position);
SELECT setval(pg_get_serial_sequence('vehicle_order', 'position'), COALESCE(MAX(position), 0) + 1, false) FROM vehicle_order;
SELECT setval(pg_get_serial_sequence('outbox', 'position'), COALESCE(MAX(position), 0) + 1, false) FROM outbox;
SELECT setval(pg_get_serial_sequence('history', 'position'), COALESCE(MAX(position), 0) + 1, false) FROM history;
SELECT setval(pg_get_serial_sequence('audit', 'position'), COALESCE(MAX(position), 0) + 1, false) FROM audit;

-- Who decides which subscription has a profile inserts its ICCID here for the time of the transaction.
CREATE TABLE profile_lock (iccid TEXT NOT NULL PRIMARY KEY);

-- What is looked for by something else than its key.
CREATE INDEX account_erased ON account (name COLLATE "C");
CREATE INDEX vehicle_vin ON vehicle (vin);
CREATE INDEX vehicle_session ON vehicle (session);
CREATE INDEX vehicle_retired ON vehicle (retired_at) WHERE retired_at IS NOT NULL;
CREATE INDEX attempt_since ON attempt (since);
CREATE INDEX vehicle_login_account ON vehicle_login (account);
CREATE INDEX portal_session_account ON portal_session (account);
CREATE INDEX portal_session_expires ON portal_session (expires_at);
CREATE INDEX login_code_account ON login_code (account) WHERE account IS NOT NULL;
CREATE INDEX login_code_expires ON login_code (expires_at);
CREATE INDEX notice_account ON notice (account, at);
CREATE INDEX notice_at ON notice (at);
CREATE INDEX onboarding_account ON onboarding (account);
CREATE INDEX onboarding_token ON onboarding (msp, token) WHERE token IS NOT NULL;
CREATE INDEX onboarding_expires ON onboarding (expires_at) WHERE state <> 'done';
CREATE INDEX federation_account ON federation (account);
CREATE INDEX federation_sync ON federation (synced_at, id) WHERE ended_at IS NULL;
CREATE INDEX federation_ended ON federation (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX preference_federation ON preference (federation);
CREATE INDEX profile_federation ON profile (federation);
CREATE INDEX profile_eid ON profile (eid);
CREATE INDEX code_request_car ON code_request (eid, car_request);
CREATE INDEX code_request_federation ON code_request (federation, created_at);
CREATE INDEX code_request_open ON code_request (expires_at) WHERE state IN ('new', 'accepted');
CREATE INDEX code_request_undelivered ON code_request (eid) WHERE delivered_at IS NULL;
CREATE INDEX code_request_news ON code_request (changed_at) WHERE delivered_at IS NULL;
CREATE INDEX sync_run_federation ON sync_run (federation, at);
CREATE INDEX report_received ON report (received_at);
CREATE INDEX report_iccid ON report (iccid) WHERE iccid IS NOT NULL;
CREATE INDEX vehicle_order_car ON vehicle_order (eid, position);
CREATE INDEX vehicle_order_open ON vehicle_order (eid, position) WHERE state = 'open';
CREATE INDEX vehicle_order_position ON vehicle_order (position) WHERE state = 'open';
CREATE INDEX vehicle_order_unsent ON vehicle_order (created_at, position) WHERE state = 'open' AND sent_at IS NULL;
CREATE INDEX vehicle_order_federation ON vehicle_order (federation) WHERE federation IS NOT NULL;
CREATE INDEX outbox_due ON outbox (position) WHERE state = 'due';
CREATE INDEX outbox_lane ON outbox (msp, lane, position) WHERE state = 'due';
CREATE INDEX outbox_lane_all ON outbox (msp, lane, position);
CREATE INDEX outbox_dead ON outbox (position) WHERE state = 'dead';
CREATE INDEX outbox_token ON outbox (msp, token);
CREATE INDEX outbox_closed ON outbox (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX history_work ON history (work, position);
CREATE INDEX idempotency_at ON idempotency (at);
CREATE INDEX audit_at ON audit (at, position);

-- An earlier release would not find its steps, and stops, instead of taking everything for unknown.
DROP TABLE IF EXISTS _sqlx_migrations;
