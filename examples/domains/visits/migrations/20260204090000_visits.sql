CREATE TABLE visits (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    page TEXT NOT NULL,
    referrer TEXT NOT NULL,
    duration_ms INTEGER NOT NULL
);

INSERT INTO visits (id, at, page, referrer, duration_ms)
WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 5000)
SELECT
    id,
    strftime('%Y-%m-%dT%H:%M:%S+00:00', '2026-01-01', '+' || id || ' minutes'),
    '/articles/' || (id % 40),
    CASE id % 3 WHEN 0 THEN '' WHEN 1 THEN 'https://search.example/?q=a,b' ELSE 'a "friend"' END,
    (id * 7919) % 60000
FROM n;

-- Visitors choose what their browser says of where they come from.
UPDATE visits SET referrer = '=HYPERLINK("https://evil.example","click")' WHERE id = 7;
