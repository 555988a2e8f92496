"""Files that are written as they stand here, but for words between two @: `@app@`.

They are data rather than functions, so that a Makefile is read and reviewed as a Makefile. None has
a name that a tool of this project would take for its own: `greet.py.txt` becomes `greet.py`.
"""

from collections.abc import Mapping
from importlib.resources import files


def filled(name: str, words: Mapping[str, str]) -> str:
    """Return the text called `app/Makefile`, with each `@word@` replaced."""
    text = files(__name__).joinpath(*name.split("/")).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
