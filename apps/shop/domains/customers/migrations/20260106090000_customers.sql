CREATE TABLE customers (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL DEFAULT ''
);

INSERT INTO customers (id, name, email, address) VALUES
    ('0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0001', 'Ada Lovelace', 'ada@example.com', 'London'),
    ('0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0002', 'Alan Turing', 'alan@example.com', 'Wilmslow'),
    ('0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0003', 'Annie Easley', 'annie@example.com', 'Cleveland'),
    ('0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0004', 'Edith Clarke', 'edith@example.com', 'Austin'),
    ('0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0005', 'Grace Hopper', 'grace@example.com', 'Arlington'),
    ('0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0006', 'Hedy Lamarr', 'hedy@example.com', 'Vienna'),
    ('0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0007', 'Konrad Zuse', 'konrad@example.com', 'Berlin'),
    ('0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0008', 'Mary Jackson', 'mary@example.com', 'Hampton');
