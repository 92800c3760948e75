-- Identifiers become the 16 bytes of their UUIDs; EIDs and ICCIDs stay digits. Positions are given by the database. What
-- belongs together is declared. SQLite makes its tables anew for that: the old ones are put aside, and dropped once their
-- rows are in the new ones.
ALTER TABLE vehicle RENAME TO old_vehicle;
ALTER TABLE account RENAME TO old_account;
ALTER TABLE attempt RENAME TO old_attempt;
ALTER TABLE vehicle_login RENAME TO old_vehicle_login;
ALTER TABLE portal_session RENAME TO old_portal_session;
ALTER TABLE login_code RENAME TO old_login_code;
ALTER TABLE user_preference RENAME TO old_user_preference;
ALTER TABLE notice RENAME TO old_notice;
ALTER TABLE onboarding RENAME TO old_onboarding;
ALTER TABLE federation RENAME TO old_federation;
ALTER TABLE preference RENAME TO old_preference;
ALTER TABLE profile RENAME TO old_profile;
ALTER TABLE code_request RENAME TO old_code_request;
ALTER TABLE hold RENAME TO old_hold;
ALTER TABLE sync_run RENAME TO old_sync_run;
ALTER TABLE report RENAME TO old_report;
ALTER TABLE vehicle_order RENAME TO old_vehicle_order;
ALTER TABLE outbox RENAME TO old_outbox;
ALTER TABLE history RENAME TO old_history;
ALTER TABLE idempotency RENAME TO old_idempotency;
ALTER TABLE audit RENAME TO old_audit;

-- Users.
CREATE TABLE account (
    id BLOB PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL,
    password TEXT NOT NULL, pin_mac TEXT, created_at INTEGER NOT NULL
) STRICT;
INSERT INTO account (id, name, display_name, password, pin_mac, created_at)
    SELECT unhex(replace(id, '-', '')), name, display_name, password, pin_mac, created_at FROM old_account;
-- A subscription keeps its user. One whose user is not there gets an erased one.
INSERT INTO account (id, name, display_name, password, pin_mac, created_at)
    SELECT DISTINCT unhex(replace(account, '-', '')), 'erased/' || account, '', '', NULL, 0 FROM old_federation
    WHERE true ON CONFLICT DO NOTHING;

-- Cars. The unit that took the place of another one need not be known yet.
CREATE TABLE vehicle (
    eid TEXT PRIMARY KEY NOT NULL, added_at INTEGER NOT NULL, last_seen INTEGER, software TEXT, card TEXT,
    vin TEXT, retired_at INTEGER, retired_reason TEXT, replaced_by TEXT, certificate TEXT,
    session BLOB REFERENCES account (id) ON DELETE SET NULL
) STRICT;
INSERT INTO vehicle (eid, added_at, last_seen, software, card, vin, retired_at, retired_reason, replaced_by,
    certificate, session)
    SELECT eid, added_at, last_seen, software, card, vin, retired_at, retired_reason, replaced_by, certificate,
    (SELECT a.id FROM account a WHERE a.id = unhex(replace(session, '-', ''))) FROM old_vehicle;

-- Failed attempts at a PIN or a password. A row without any is there to be locked.
CREATE TABLE attempt (
    key TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL, since INTEGER NOT NULL, last BLOB
) STRICT;
INSERT INTO attempt (key, count, since, last)
    SELECT key, count, since, unhex(replace(last, '-', '')) FROM old_attempt;

CREATE TABLE vehicle_login (
    eid TEXT NOT NULL REFERENCES vehicle (eid), account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    first_at INTEGER NOT NULL, PRIMARY KEY (eid, account)
) STRICT, WITHOUT ROWID;
INSERT INTO vehicle_login (eid, account, first_at)
    SELECT o.eid, a.id, o.first_at FROM old_vehicle_login o
    JOIN account a ON a.id = unhex(replace(o.account, '-', '')) JOIN vehicle v ON v.eid = o.eid;

CREATE TABLE portal_session (
    token_hash TEXT PRIMARY KEY NOT NULL, account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL, created_at INTEGER NOT NULL DEFAULT 0, browser TEXT
) STRICT;
INSERT INTO portal_session (token_hash, account, expires_at, created_at, browser)
    SELECT o.token_hash, a.id, o.expires_at, o.created_at, o.browser FROM old_portal_session o
    JOIN account a ON a.id = unhex(replace(o.account, '-', ''));

CREATE TABLE login_code (
    eid TEXT PRIMARY KEY NOT NULL REFERENCES vehicle (eid), code TEXT NOT NULL UNIQUE, login_id BLOB NOT NULL,
    state TEXT NOT NULL, account BLOB REFERENCES account (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
) STRICT;
INSERT INTO login_code (eid, code, login_id, state, account, created_at, expires_at)
    SELECT o.eid, o.code, unhex(replace(o.login_id, '-', '')), o.state, a.id, o.created_at, o.expires_at
    FROM old_login_code o JOIN vehicle v ON v.eid = o.eid
    LEFT JOIN account a ON a.id = unhex(replace(o.account, '-', ''))
    WHERE o.account IS NULL OR a.id IS NOT NULL;

CREATE TABLE user_preference (
    account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
INSERT INTO user_preference (account, name, value)
    SELECT a.id, o.name, o.value FROM old_user_preference o JOIN account a ON a.id = unhex(replace(o.account, '-', ''));

CREATE TABLE notice (
    id BLOB PRIMARY KEY NOT NULL, account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    at INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
INSERT INTO notice (id, account, at, kind, detail)
    SELECT unhex(replace(o.id, '-', '')), a.id, o.at, o.kind, o.detail FROM old_notice o
    JOIN account a ON a.id = unhex(replace(o.account, '-', ''));

-- Subscriptions: on their way, and there.
CREATE TABLE onboarding (
    sid BLOB PRIMARY KEY NOT NULL, msp TEXT NOT NULL, account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    state TEXT NOT NULL, return_state TEXT NOT NULL UNIQUE, token BLOB, error TEXT,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
) STRICT;
INSERT INTO onboarding (sid, msp, account, state, return_state, token, error, created_at, expires_at)
    SELECT unhex(replace(o.sid, '-', '')), o.msp, a.id, o.state, o.return_state, unhex(replace(o.token, '-', '')), o.error,
    o.created_at, o.expires_at FROM old_onboarding o JOIN account a ON a.id = unhex(replace(o.account, '-', ''));

-- When the MSP was last asked for the profiles of a subscription stands with it.
CREATE TABLE federation (
    id BLOB PRIMARY KEY NOT NULL, msp TEXT NOT NULL, token BLOB NOT NULL, account BLOB NOT NULL REFERENCES account (id),
    phone_number TEXT NOT NULL, iv TEXT NOT NULL, subscription_type TEXT NOT NULL, customer_group TEXT,
    since INTEGER NOT NULL, ended_at INTEGER, ended_reason TEXT, synced_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (msp, token)
) STRICT;
INSERT INTO federation (id, msp, token, account, phone_number, iv, subscription_type, customer_group, since, ended_at,
    ended_reason, synced_at)
    SELECT unhex(replace(id, '-', '')), msp, unhex(replace(token, '-', '')), unhex(replace(account, '-', '')), phone_number,
    iv, subscription_type, customer_group, since, ended_at, ended_reason,
    (SELECT COALESCE(MAX(c.created_at), 0) FROM old_outbox c WHERE c.msp = f.msp AND c.token = f.token
    AND c.kind = 'profile-status') FROM old_federation f;

-- The subscription that serves a user: in one car, or with an empty EID in all others.
CREATE TABLE preference (
    account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE, eid TEXT NOT NULL,
    federation BLOB NOT NULL REFERENCES federation (id) ON DELETE CASCADE, PRIMARY KEY (account, eid)
) STRICT, WITHOUT ROWID;
INSERT INTO preference (account, eid, federation)
    SELECT a.id, o.eid, f.id FROM old_preference o JOIN account a ON a.id = unhex(replace(o.account, '-', ''))
    JOIN federation f ON f.id = unhex(replace(o.federation, '-', ''));

CREATE TABLE profile (
    iccid TEXT NOT NULL, federation BLOB NOT NULL REFERENCES federation (id) ON DELETE CASCADE,
    eid TEXT NOT NULL REFERENCES vehicle (eid), state TEXT NOT NULL, msp_state TEXT NOT NULL,
    last_used INTEGER NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (iccid, federation)
) STRICT;
INSERT INTO profile (iccid, federation, eid, state, msp_state, last_used, created_at)
    SELECT o.iccid, f.id, o.eid, o.state, o.msp_state, o.last_used, o.created_at FROM old_profile o
    JOIN federation f ON f.id = unhex(replace(o.federation, '-', '')) JOIN vehicle v ON v.eid = o.eid;

-- The user of a request is that of its subscription.
CREATE TABLE code_request (
    id BLOB PRIMARY KEY NOT NULL, car_request BLOB NOT NULL, eid TEXT NOT NULL REFERENCES vehicle (eid),
    account BLOB NOT NULL, federation BLOB NOT NULL REFERENCES federation (id) ON DELETE CASCADE,
    correlation BLOB NOT NULL, replace_iccid TEXT, state TEXT NOT NULL, code TEXT, iccid TEXT, swapped TEXT,
    error_code INTEGER, error TEXT, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, delivered_at INTEGER,
    changed_at INTEGER NOT NULL
) STRICT;
INSERT INTO code_request (id, car_request, eid, account, federation, correlation, replace_iccid, state, code, iccid,
    swapped, error_code, error, created_at, expires_at, delivered_at, changed_at)
    SELECT unhex(replace(o.id, '-', '')), unhex(replace(o.car_request, '-', '')), o.eid,
    unhex(replace(o.account, '-', '')), f.id, unhex(replace(o.correlation, '-', '')), o.replace_iccid, o.state, o.code,
    o.iccid, o.swapped, o.error_code, o.error, o.created_at, o.expires_at, o.delivered_at, o.changed_at
    FROM old_code_request o JOIN federation f ON f.id = unhex(replace(o.federation, '-', ''))
    JOIN vehicle v ON v.eid = o.eid;

CREATE TABLE hold (
    federation BLOB NOT NULL REFERENCES federation (id) ON DELETE CASCADE, eid TEXT NOT NULL REFERENCES vehicle (eid),
    since INTEGER NOT NULL, PRIMARY KEY (federation, eid)
) STRICT, WITHOUT ROWID;
INSERT INTO hold (federation, eid, since)
    SELECT f.id, o.eid, o.since FROM old_hold o JOIN federation f ON f.id = unhex(replace(o.federation, '-', ''))
    JOIN vehicle v ON v.eid = o.eid;

CREATE TABLE sync_run (
    id BLOB PRIMARY KEY NOT NULL, federation BLOB NOT NULL REFERENCES federation (id) ON DELETE CASCADE,
    at INTEGER NOT NULL, outcome TEXT NOT NULL, findings TEXT NOT NULL
) STRICT;
INSERT INTO sync_run (id, federation, at, outcome, findings)
    SELECT unhex(replace(o.id, '-', '')), f.id, o.at, o.outcome, o.findings FROM old_sync_run o
    JOIN federation f ON f.id = unhex(replace(o.federation, '-', ''));

-- A car may report whatever user it wants.
CREATE TABLE report (
    eid TEXT NOT NULL REFERENCES vehicle (eid), seq INTEGER NOT NULL, digest TEXT NOT NULL, iccid TEXT, account BLOB,
    status TEXT NOT NULL, code INTEGER NOT NULL, received_at INTEGER NOT NULL, PRIMARY KEY (eid, seq, digest)
) STRICT;
INSERT INTO report (eid, seq, digest, iccid, account, status, code, received_at)
    SELECT o.eid, o.seq, o.digest, o.iccid, unhex(replace(o.account, '-', '')), o.status, o.code, o.received_at
    FROM old_report o JOIN vehicle v ON v.eid = o.eid;

-- An order outlives the user and the subscription that it is about. Those of before there was a correlation are
-- transactions of their own.
CREATE TABLE vehicle_order (
    position INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, eid TEXT NOT NULL REFERENCES vehicle (eid),
    kind TEXT NOT NULL, iccid TEXT, account BLOB, reason TEXT NOT NULL, state TEXT NOT NULL, code INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL, sent_at INTEGER, closed_at INTEGER,
    federation BLOB REFERENCES federation (id) ON DELETE SET NULL, correlation BLOB NOT NULL
) STRICT;
INSERT INTO vehicle_order (position, id, eid, kind, iccid, account, reason, state, code, attempts, created_at, sent_at,
    closed_at, federation, correlation)
    SELECT row_number() OVER (ORDER BY o.position, o.created_at, o.id), unhex(replace(o.id, '-', '')), o.eid, o.kind,
    o.iccid, unhex(replace(o.account, '-', '')), o.reason, o.state, o.code, o.attempts, o.created_at, o.sent_at,
    o.closed_at, f.id, unhex(replace(COALESCE(o.correlation, o.id), '-', '')) FROM old_vehicle_order o
    JOIN vehicle v ON v.eid = o.eid LEFT JOIN federation f ON f.id = unhex(replace(o.federation, '-', ''));

CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, msp TEXT NOT NULL, lane TEXT NOT NULL,
    kind TEXT NOT NULL, token BLOB NOT NULL, correlation BLOB NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'due', last_error TEXT, created_at INTEGER NOT NULL,
    closed_at INTEGER, claimed_by TEXT, claimed_until INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO outbox (position, id, msp, lane, kind, token, correlation, body, attempts, next_at, state, last_error,
    created_at, closed_at, claimed_by, claimed_until)
    SELECT row_number() OVER (ORDER BY position, created_at, id), unhex(replace(id, '-', '')), msp, lane, kind,
    unhex(replace(token, '-', '')), unhex(replace(correlation, '-', '')), body, attempts, next_at, state, last_error,
    created_at, closed_at, claimed_by, claimed_until FROM old_outbox;

-- Of an order or a call.
CREATE TABLE history (
    position INTEGER PRIMARY KEY AUTOINCREMENT, work BLOB NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
INSERT INTO history (position, work, at, event, detail)
    SELECT row_number() OVER (ORDER BY position, at, id), unhex(replace(work, '-', '')), at, event, detail
    FROM old_history h WHERE EXISTS (SELECT 1 FROM old_vehicle_order o JOIN vehicle v ON v.eid = o.eid WHERE o.id = h.work)
    OR EXISTS (SELECT 1 FROM old_outbox o WHERE o.id = h.work);

CREATE TABLE idempotency (
    client TEXT NOT NULL, request_id BLOB NOT NULL, digest TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (client, request_id)
) STRICT;
INSERT INTO idempotency (client, request_id, digest, status, body, at)
    SELECT client, unhex(replace(request_id, '-', '')), digest, status, body, at FROM old_idempotency;

CREATE TABLE audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    detail TEXT NOT NULL, reason TEXT
) STRICT;
INSERT INTO audit (position, at, actor, action, detail, reason)
    SELECT row_number() OVER (ORDER BY at, id), at, actor, action, detail, reason FROM old_audit;

DROP TABLE old_vehicle;
DROP TABLE old_account;
DROP TABLE old_attempt;
DROP TABLE old_vehicle_login;
DROP TABLE old_portal_session;
DROP TABLE old_login_code;
DROP TABLE old_user_preference;
DROP TABLE old_notice;
DROP TABLE old_onboarding;
DROP TABLE old_federation;
DROP TABLE old_preference;
DROP TABLE old_profile;
DROP TABLE old_code_request;
DROP TABLE old_hold;
DROP TABLE old_sync_run;
DROP TABLE old_report;
DROP TABLE old_vehicle_order;
DROP TABLE old_outbox;
DROP TABLE old_history;
DROP TABLE old_idempotency;
DROP TABLE old_audit;
-- Earlier releases left it where their start was cut short.
DROP TABLE IF EXISTS log_reserve;

-- What is looked for by something else than its key.
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
