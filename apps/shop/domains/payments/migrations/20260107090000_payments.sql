CREATE TABLE payments (
    order_id BIGINT PRIMARY KEY,
    cents BIGINT NOT NULL CHECK (cents >= 0),
    currency TEXT NOT NULL,
    -- What a charge is asked for with again.
    card TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL
        CHECK (state IN ('charging', 'paid', 'declined', 'refunding', 'refunded')),
    charge_id TEXT NOT NULL DEFAULT '',
    said TEXT NOT NULL DEFAULT '',
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX payments_by_state ON payments (state, updated_at);
