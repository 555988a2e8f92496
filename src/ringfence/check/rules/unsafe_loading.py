"""RF515: reading data in a way that runs code."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code
from ringfence.check.rule import Hit, Rule

_LOADS = frozenset(
    {
        *("pickle.load", "pickle.loads", "pickle.Unpickler", "_pickle.load", "_pickle.loads"),
        *("cloudpickle.load", "cloudpickle.loads", "dill.load", "dill.loads", "marshal.load"),
        *("marshal.loads", "shelve.open", "joblib.load", "jsonpickle.decode"),
        *("pandas.read_pickle", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"),
        "yaml.full_load_all",
    }
)
_YAML = frozenset({"yaml.load", "yaml.load_all"})
_SAFE = ("SafeLoader", "BaseLoader")


def _look(code: Code) -> Iterator[Hit]:
    for name, call in code.calls:
        if name in _LOADS or (name in _YAML and not _is_safe(call)):
            fix = (
                "use yaml.safe_load"
                if name.startswith("yaml")
                else "use msgspec, with a type: `msgspec.json.decode(data, type=…)`"
            )
            yield Hit(call.lineno, f"{name} runs whatever code the data says", fix)


def _is_safe(call: ast.Call) -> bool:
    given = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "Loader")]
    return any(ast.unparse(one).endswith(_SAFE) for one in given)


RULE = Rule(
    id="RF515",
    title="Data is read in a way that runs code: pickle, marshal, shelve, yaml.load.",
    why="Whoever can change the data, in a database, a file or on its way, runs code in this "
    "process; and a pickle carries another domain's classes past every contract.",
    bad="import pickle\n\n\ndef read(data: bytes) -> object:\n    return pickle.loads(data)\n",
    good="import msgspec\n\n\ndef read(data: bytes) -> object:\n"
    "    return msgspec.json.decode(data)\n",
    look=_look,
)
