-- Each address hears of its own events, whatever others do.
CREATE INDEX webhook_event_lane ON webhook_event (webhook, next_at, event);
