CREATE TABLE days (
    day DATE PRIMARY KEY,
    orders BIGINT NOT NULL,
    goods_cents BIGINT NOT NULL,
    shipping_cents BIGINT NOT NULL
);
