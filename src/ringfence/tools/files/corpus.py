"""Names to try on whatever takes names of files: those that are kept, and those that are refused.

Of one platform or another, each of the second list leads elsewhere, means something else than it
says, or cannot be seen. Used by `conformance.py`, and by whoever tests a feature of their own.
"""

GOOD_NAMES = [
    "a", "a.txt", "A", "0", "a b.txt", "a.b.c", "invoices/2026/7.pdf", "-rf", "$HOME", "~",
    "~root/x", "%2e%2e/x", "a;b", "a&b", "'a'", "a=b", "#", "@", "né.txt", "日本語/🦊.png", "a..b",
    "con-1", "x.con", "console", "com10", "a/con fig", "x" * 255, "é" * 127, "/".join("a" * 32),
]  # fmt: skip
BAD_NAMES = [
    "", "/", "//", "/a", "a/", "a//b", "/etc/passwd", "//host/share/x", ".", "..", "./a",
    "../a", "a/.", "a/..", "a/../b", "a/../../b", "a/./b", "....", "...", ".a", "a/.b",
    ".ringfence-files/lock", "a.", "a ", " a", "a/ b", "a. /b", ". ./a", "a\0", "\0", "a\0.png",
    "a\n", "a\r\nb", "\x1b[2J", "a\x7f", "a\x85b", "\u202egnp.exe", "a\u200bb", "\ufeffa",
    "a\u2028b", "\ud800", "a\\b", "..\\a", "C:\\a", "C:a", "c:/a", "\\\\?\\C:\\a", "a:b",
    "a::$DATA", "a*", "a?", 'a"b', "a<b", "a>b", "a|b", "con", "CON", "Con.txt", "a/NUL",
    "nul.tar.gz", "aux .txt", "prn", "COM1", "com¹.txt", "lpt9.log", "CONIN$", "x" * 256,
    "é" * 128, "/".join("a" * 33), "/".join(["x" * 200] * 6), "a/" * 5000, "x" * 1_000_000,
]  # fmt: skip
