CREATE TABLE account (id INTEGER PRIMARY KEY, amount BIGINT NOT NULL);
CREATE TABLE entry (id INTEGER PRIMARY KEY, account_id BIGINT NOT NULL, amount BIGINT NOT NULL);
INSERT INTO account (id, amount) VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);
INSERT INTO account (id, amount) VALUES (5, 0), (6, 0), (7, 0), (8, 0), (9, 0);
