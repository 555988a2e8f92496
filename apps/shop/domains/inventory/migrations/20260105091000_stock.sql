CREATE TABLE stock (
    sku TEXT PRIMARY KEY,
    available BIGINT NOT NULL CHECK (available >= 0)
);

CREATE TABLE holds (
    order_id BIGINT NOT NULL,
    sku TEXT NOT NULL REFERENCES stock (sku),
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, sku)
);

CREATE INDEX holds_by_sku ON holds (sku);

-- Orders that were released or shipped: nothing is held for them again.
CREATE TABLE closed_orders (order_id BIGINT PRIMARY KEY);

CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    note TEXT NOT NULL DEFAULT '',
    received_at TIMESTAMPTZ NOT NULL
);
