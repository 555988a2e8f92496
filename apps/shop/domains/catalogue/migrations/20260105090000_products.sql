CREATE TABLE products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    price_cents BIGINT NOT NULL CHECK (price_cents > 0),
    picture TEXT,
    version BIGINT NOT NULL DEFAULT 1
);

CREATE INDEX products_by_price ON products (price_cents, sku);
