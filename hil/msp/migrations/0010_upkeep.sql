-- What is due is found by an index, each CMP's and the SM-DP+'s on its own.
CREATE INDEX outbox_cmp ON outbox (client_id, next_at, id) WHERE state = 'waiting' AND kind <> 'cancel-order';
CREATE INDEX outbox_smdp ON outbox (next_at, id) WHERE state = 'waiting' AND kind = 'cancel-order';
DROP INDEX outbox_next;
DROP INDEX outbox_lane;
-- What is left of a process that ended, and what is old.
CREATE INDEX answered_claimed ON answered (client_id) WHERE status = 0;
CREATE INDEX answered_at ON answered (at);
CREATE INDEX ac_request_open ON ac_request (created_at) WHERE state = 'open';
-- What decisions look for.
CREATE INDEX ac_request_token ON ac_request (msp_token, created_at);
CREATE INDEX pool_subscription ON pool (subscription, position);
