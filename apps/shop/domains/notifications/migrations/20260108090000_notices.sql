CREATE TABLE notices (
    id INTEGER PRIMARY KEY,
    order_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    customer_id UUID NOT NULL,
    email TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    written_at TIMESTAMPTZ NOT NULL,
    sent_at TIMESTAMPTZ,
    UNIQUE (order_id, kind)
);

CREATE INDEX notices_unsent ON notices (id) WHERE sent_at IS NULL;
CREATE INDEX notices_by_customer ON notices (customer_id, id);
