CREATE TABLE books (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    isbn TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    author TEXT NOT NULL,
    year INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1
);

CREATE INDEX books_by_title ON books (title, id);
CREATE INDEX books_by_year ON books (year, id);

INSERT INTO books (isbn, title, author, year) VALUES
    ('9780131103627', 'The C Programming Language', 'Kernighan', 1988),
    ('9780201633610', 'Design Patterns', 'Gamma', 1994),
    ('9780201835953', 'The Mythical Man-Month', 'Brooks', 1995),
    ('9780262510875', 'Structure and Interpretation of Computer Programs', 'Abelson', 1996),
    ('9780201616224', 'The Pragmatic Programmer', 'Hunt', 1999);
