CREATE TABLE payments (
    id TEXT PRIMARY KEY,
    amount_cents INTEGER NOT NULL,
    status TEXT NOT NULL
);

CREATE TABLE payment_events (
    id TEXT PRIMARY KEY,
    received_at TEXT NOT NULL
);
