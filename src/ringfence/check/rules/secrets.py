"""RF513: a secret that stands in the code."""

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator

from ringfence.check.code import Code, text_of
from ringfence.check.rule import Hit, Rule

# Each by the form that its issuer gives it.
_FORMS = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{40,}\b",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}\b",
    "a Slack token": r"\bxox[abprs]-[0-9]{6,}-[A-Za-z0-9-]{10,}",
    "a Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{20,}\b",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s*[A-Za-z0-9+/=]{16}",
    "a signed token": r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}",
    "a password in an address": r"\b[a-z][a-z0-9+]+://[^\s:/@{}$<]+:(?P<word>[^\s:/@{}$<*]{6,})@",
}
_FORM = re.compile("|".join(f"(?:{form})" for form in _FORMS.values()))
_HINTS = ("AKIA", "ASIA", "gh", "glpat", "xox", "k_live_", "AIza", "npm_", "PRIVATE", "eyJ", "://")
_NAME = re.compile(
    r"(?:^|_)(?:password|passwd|pwd|secret|api_?key|access_?key|secret_?key|private_?key|"
    r"auth_?token|access_?token|token)$",
    re.IGNORECASE,
)
_PLACEHOLDERS = re.compile(
    r"example|sample|dummy|fake|change_?me|placeholder|redacted|secret|password|passwd|test",
    re.IGNORECASE,
)
_VALUE = re.compile(r"[A-Za-z0-9+/=_.!@#%^&*-]{12,}")
_BITS = 3.3  # of a character, at the least: words and paths have less, keys have more


def _look(code: Code) -> Iterator[Hit]:
    for node in code.all(ast.Constant):
        text = node.value
        if isinstance(text, str) and len(text) >= 12:
            what = _form(text)
            if what:
                yield _hit(node.lineno, what)
            elif (name := _named(code, node)) and _is_value(text):
                yield _hit(node.lineno, f"what looks like a secret, for {name},")


def _form(text: str) -> str:
    if not any(hint in text for hint in _HINTS) or not _FORM.search(text):
        return ""
    for what, form in _FORMS.items():
        match = re.search(form, text)
        if match and not (match.groupdict().get("word") and _PLACEHOLDERS.search(match[0])):
            return what
    return ""


def _is_value(text: str) -> bool:
    """Whether a text could be a key: of one piece, mixed, and with nothing to remember it by."""
    if not _VALUE.fullmatch(text) or _PLACEHOLDERS.search(text):
        return False
    if not (re.search("[0-9]", text) and re.search("[A-Za-z]", text)):
        return False
    counts = Counter(text).values()
    bits = -sum(n / len(text) * math.log2(n / len(text)) for n in counts)
    return bits >= _BITS and not _is_made_of_words(text)


def _is_made_of_words(text: str) -> bool:
    """Whether it reads as a name does: `order-created-v2`, `sha256_of_body`."""
    words = re.split(r"[^A-Za-z0-9]+", text)
    return len(words) > 1 and all(re.fullmatch(r"[A-Za-z]*\d{0,4}|\d+[a-z]{0,2}", w) for w in words)


def _named(code: Code, node: ast.Constant) -> str:
    """Return the name that a text is given, if it is the name of a secret."""
    parent = code.parents.get(node)
    names: list[str] = []
    if isinstance(parent, ast.Assign):
        names = [_last(target) for target in parent.targets]
    elif isinstance(parent, ast.AnnAssign):
        names = [_last(parent.target)]
    elif isinstance(parent, ast.keyword) and parent.arg:
        names = [parent.arg]
    elif isinstance(parent, ast.Call) and code.dotted(parent.func) == "ringfence.Secret":
        return "a Secret"
    elif isinstance(parent, ast.Dict) and node in parent.values:
        key = parent.keys[parent.values.index(node)]
        names = [text_of(key) or ""]
    return next((name for name in names if _NAME.search(name)), "")


def _last(target: ast.AST) -> str:
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def _hit(line: int, what: str) -> Hit:
    return Hit(
        line,
        f"{what} stands in the code; expected it in the configuration",
        "take it from a Settings class with a `Secret`, filled by `${VARIABLE}` in ringfence.toml; "
        "and replace it, as it is known now",
    )


RULE = Rule(
    id="RF513",
    title="A secret stands in the code.",
    why="What is in a repository is known to all who ever could read it. Recognised are keys and "
    "tokens by the form that their issuers give them, private keys, passwords in addresses, and "
    "random-looking texts that are given the name of a secret. Placeholders are none.",
    bad='API_KEY = "q7Rk2vXw9ZpL4sTb8NdY"\n',
    good="""\
from ringfence import Secret, Settings


class Mail(Settings, section="mail"):
    api_key: Secret
""",
    areas=("domains", "lib", "tools"),
    look=_look,
)
