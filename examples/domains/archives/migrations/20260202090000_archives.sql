CREATE TABLE archives (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    note TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    packed_bytes INTEGER,
    state TEXT NOT NULL CHECK (state IN ('packing', 'done', 'failed')),
    give_up_at TEXT NOT NULL
);
