-- Customers and their subscriptions; the configuration adds those that are not there yet.
CREATE TABLE customer (
    user_name TEXT PRIMARY KEY,
    -- Argon2id in PHC form
    password TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE subscription (
    id TEXT PRIMARY KEY,
    user_name TEXT NOT NULL,
    -- shown instead of the MSP's name
    label TEXT,
    msisdn TEXT NOT NULL,
    -- private, business, unknown
    kind TEXT NOT NULL,
    customer_group TEXT,
    max_profiles BIGINT NOT NULL,
    -- candidate, own, refuse
    swap TEXT NOT NULL,
    -- shown before the customer agrees
    fee TEXT,
    -- 0: the option cannot be booked
    eligible BIGINT NOT NULL,
    -- active, suspended, ended
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX subscription_user ON subscription (user_name);

-- The profiles that are a subscription's own, in the order of their use.
CREATE TABLE pool (
    iccid TEXT PRIMARY KEY,
    subscription TEXT NOT NULL,
    position BIGINT NOT NULL
);

-- Empty in onboardings from before there were subscriptions: the customer's first one.
ALTER TABLE onboarding ADD COLUMN subscription TEXT NOT NULL DEFAULT '';

-- ES2+.HandleDownloadProgressInfo (SGP.22 §5.3.5).
CREATE TABLE progress (
    seq INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    iccid TEXT NOT NULL,
    eid TEXT,
    -- notificationPointId
    point BIGINT NOT NULL,
    -- Executed-Success, Failed...
    status TEXT NOT NULL,
    message TEXT
);

-- API keys that a CMP may use besides the one of the configuration.
CREATE TABLE api_key (
    client_id TEXT NOT NULL,
    api_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, api_key)
);
