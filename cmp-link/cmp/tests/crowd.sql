-- Many users with a car, a linked subscription and a profile each, for nobody to ask about: what a tick, a login or a call
-- must not cost more for. The texts in braces are numbers. Nothing of it is due: every MSP was asked just now.
CREATE TEMP TABLE n (i INTEGER PRIMARY KEY);
WITH RECURSIVE count (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM count WHERE i < {count})
    INSERT INTO n (i) SELECT i FROM count;
-- 89049034 and 22 digits are {remainder} modulo 97 where the digits are 0.
CREATE TEMP TABLE car (i INTEGER PRIMARY KEY, eid TEXT NOT NULL);
INSERT INTO car (i, eid) SELECT i, printf('89049034%022d%02d', i, 98 - ({remainder} + i) % 97 * 100 % 97) FROM n;

INSERT INTO account (id, name, display_name, password, pin_mac, created_at)
    SELECT unhex(printf('0190%028x', i)), printf('crowd-%d', i), 'One of many', '$none', printf('%064x', i), {now} FROM n;
INSERT INTO vehicle (eid, added_at, last_seen, software, certificate, bound_at)
    SELECT eid, {now} - 1000000000, {now}, 'aid-agent', printf('%064x', i), {now} - 1000000000 FROM car;
INSERT INTO vehicle_login (eid, account, first_at)
    SELECT eid, unhex(printf('0190%028x', i)), {now} FROM car;
INSERT INTO federation (id, msp, token, account, phone_number, iv, subscription_type, customer_group, since, synced_at,
    ended_at)
    SELECT unhex(printf('0191%028x', i)), 'Mobile One', unhex(printf('0192%028x', i)), unhex(printf('0190%028x', i)),
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==', 'AAAAAAAAAAAAAAAA', 'private', NULL, {now}, {now},
    CASE WHEN i % 100 = 3 THEN {now} END FROM n;
INSERT INTO profile (iccid, federation, eid, state, msp_state, last_used, created_at)
    SELECT printf('8986%015d', i), unhex(printf('0191%028x', i)), eid, 'disabled', 'valid', {now}, {now} FROM car;
-- A tenth of them got the profile lately.
INSERT INTO code_request (id, car_request, eid, account, federation, correlation, state, code, iccid, created_at, expires_at,
    delivered_at, changed_at)
    SELECT unhex(printf('0193%028x', i)), unhex(printf('0194%028x', i)), eid, unhex(printf('0190%028x', i)),
    unhex(printf('0191%028x', i)), unhex(printf('0195%028x', i)), 'used', NULL, printf('8986%015d', i), {now}, {now},
    {now}, {now} FROM car WHERE i % 10 = 0;
INSERT INTO outbox (id, msp, lane, kind, token, correlation, body, attempts, next_at, state, created_at, closed_at)
    SELECT unhex(printf('0193%028x', i)), 'Mobile One', printf('code/%d', i), 'activation-code-request',
    unhex(printf('0192%028x', i)), unhex(printf('0195%028x', i)), '{}', 0, {now}, 'done', {now}, {now} FROM n WHERE i % 10 = 0;
INSERT INTO report (eid, seq, digest, iccid, status, code, received_at)
    SELECT eid, 4294967296 + i, 'installed', printf('8986%015d', i), 'installed', 0, {now} FROM car WHERE i % 10 = 0;
INSERT INTO idempotency (client, request_id, digest, status, body, at)
    SELECT 'mspone', unhex(printf('0196%028x', i)), 'd', 200, '', {now} FROM n WHERE i % 10 = 0;
INSERT INTO audit (at, actor, action, detail)
    SELECT {now}, 'Mobile One', 'linked', printf('crowd-%d', i) FROM n WHERE i % 10 = 0;
-- Another MSP is down, so that calls wait for it, some behind others; cars that are away have not done their orders.
INSERT INTO outbox (id, msp, lane, kind, token, correlation, body, attempts, next_at, state, created_at)
    SELECT unhex(printf('0197%028x', i)), 'Mobile Down', printf('status/%d', i / 2), 'status',
    unhex(printf('0198%028x', i)), unhex(printf('0195%028x', i)), '{}', 3, {now} + 3600000, 'due', {now} FROM n
    WHERE i % 20 < 2;
INSERT INTO vehicle_order (id, eid, kind, iccid, reason, state, created_at, sent_at, correlation)
    SELECT unhex(printf('0199%028x', i)), eid, 'delete', printf('8986%015d', i), 'test', 'open', {now} - 86400000,
    {now} - 86400000, unhex(printf('0195%028x', i)) FROM car WHERE i % 10 = 5;
INSERT INTO code_request (id, car_request, eid, account, federation, correlation, state, code, iccid, created_at, expires_at,
    delivered_at, changed_at)
    SELECT unhex(printf('019a%028x', i)), unhex(printf('019b%028x', i)), eid, unhex(printf('0190%028x', i)),
    unhex(printf('0191%028x', i)), unhex(printf('0195%028x', i)), 'accepted', NULL, NULL, {now}, {now} + 36000000,
    NULL, {now} FROM car WHERE i % 10 = 7;
DROP TABLE car;
DROP TABLE n;
