CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    idempotency_key TEXT UNIQUE,
    customer_id UUID,
    card TEXT,
    status TEXT NOT NULL CHECK (
        status IN ('pending', 'shipping', 'cancelling', 'placed', 'shipped', 'cancelled')
    ),
    why TEXT NOT NULL DEFAULT '',
    currency TEXT NOT NULL,
    goods_cents BIGINT NOT NULL CHECK (goods_cents >= 0),
    shipping_cents BIGINT NOT NULL CHECK (shipping_cents >= 0),
    ordered_at TIMESTAMPTZ NOT NULL,
    trace_id TEXT NOT NULL
);

CREATE INDEX orders_by_customer ON orders (customer_id, id);
CREATE INDEX orders_by_time ON orders (ordered_at);
CREATE INDEX orders_by_status ON orders (status, ordered_at);

CREATE TABLE order_lines (
    order_id BIGINT NOT NULL REFERENCES orders (id),
    sku TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    unit_cents BIGINT NOT NULL CHECK (unit_cents > 0),
    PRIMARY KEY (order_id, sku)
);
