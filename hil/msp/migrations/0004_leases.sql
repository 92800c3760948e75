-- Until when a call is being answered, or a synchronous order worked on (ms since 1970): whoever repeats it afterwards
-- takes it over. 0: nobody works on it.
ALTER TABLE answered ADD COLUMN leased_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ac_request ADD COLUMN leased_until BIGINT NOT NULL DEFAULT 0;

-- Each CMP's jobs are looked for on their own.
CREATE INDEX outbox_lane ON outbox (state, client_id, next_at);
CREATE INDEX outbox_call ON outbox (request_id);
CREATE INDEX outbox_token ON outbox (msp_token, state);

-- What decisions look for.
CREATE INDEX ac_request_iccid ON ac_request (iccid);
CREATE INDEX onboarding_subscription ON onboarding (subscription);
CREATE INDEX onboarding_sid ON onboarding (sid);
