-- Many customers of an MSP, each with a subscription, a link, a profile and a report. The texts in braces are filled in.
CREATE TEMP TABLE n (i INTEGER PRIMARY KEY);
WITH RECURSIVE count (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM count WHERE i < {count})
    INSERT INTO n (i) SELECT i FROM count;
-- 89049034 and 22 digits are {remainder} modulo 97 where the digits are 0.
CREATE TEMP TABLE car (i INTEGER PRIMARY KEY, eid TEXT NOT NULL);
INSERT INTO car (i, eid) SELECT i, printf('89049034%022d%02d', i, 98 - ({remainder} + i) % 97 * 100 % 97) FROM n;

INSERT INTO customer (user_name, password, created_at) SELECT printf('crowd-%d', i), '$none', {now} - i FROM n;
INSERT INTO subscription (id, user_name, msisdn, kind, max_profiles, swap, eligible, state, created_at)
    SELECT printf('crowd-%d', i), printf('crowd-%d', i), printf('4917%09d', i), 'private', 5, 'candidate', 1, 'active',
    {now} - i FROM n;
INSERT INTO onboarding (msp_token, client_id, user_name, sid, state, created_at, changed_at, subscription)
    SELECT printf('01920000-0000-4000-8000-%012x', i), '{cmp}', printf('crowd-%d', i),
    printf('01940000-0000-4000-8000-%012x', i), 'active', {now} - i, {now}, printf('crowd-%d', i) FROM n;
INSERT INTO profile (iccid, msp_token, eid, matching_id, state, network, created_at, used_at)
    SELECT printf('8986%015d', i), printf('01920000-0000-4000-8000-%012x', i), eid, printf('M%d', i), 'installed', 1,
    {now} - i, {now} FROM car;
INSERT INTO ac_request (client_id, request_id, msp_token, correlation_id, eid, delivery, state, iccid, created_at)
    SELECT '{cmp}', printf('01930000-0000-4000-8000-%012x', i), printf('01920000-0000-4000-8000-%012x', i),
    printf('01950000-0000-4000-8000-%012x', i), eid, 'sync', 'done', printf('8986%015d', i), {now} - i FROM car;
INSERT INTO status (at, client_id, msp_token, iccid, eid, status, correlation_id)
    SELECT {now}, '{cmp}', printf('01920000-0000-4000-8000-%012x', i), printf('8986%015d', i), eid, 'installed',
    printf('01950000-0000-4000-8000-%012x', i) FROM car;
-- Most calls are done; a tenth waits for a CMP that is away.
INSERT INTO outbox (client_id, kind, msp_token, request_id, correlation_id, body, state, attempts, next_at, created_at,
    last_error)
    SELECT '{cmp}', 'send-msp-token', printf('01920000-0000-4000-8000-%012x', i),
    printf('01960000-0000-4000-8000-%012x', i), printf('01970000-0000-4000-8000-%012x', i), '{}',
    CASE WHEN i % 10 = 0 THEN 'waiting' ELSE 'done' END, 1, {now} + 600000, {now}, '' FROM n;
INSERT INTO audit (at, actor, action, detail) SELECT {now}, 'operator', 'customer added', printf('crowd-%d', i) FROM n;
