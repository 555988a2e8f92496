"""Ways into another domain, and honest code that looks like them.

Each is the text of one feature of the domain `orders`; beside it stands `inventory.stock`, whose
`Stock` and `SECRET` nobody outside may reach. `docs/isolation.md` lists by name the ways that the
start does not refuse.
"""

# Refused by what is written down, or by the guard as the module is imported.
AT_START = {
    "import a module": "import domains.inventory.stock",
    "import under another name": "import domains.inventory.stock as stock",
    "import the domain": "import domains.inventory",
    "import all domains": "import domains",
    "import from the domain": "from domains.inventory import stock",
    "import from the module": "from domains.inventory.stock import Stock",
    "import everything": "from domains.inventory.stock import *",
    "import a private helper": "from domains.inventory._shelf import SECRET",
    "import relatively": "from ..inventory import stock",
    "import relatively from the module": "from ..inventory.stock import Stock",
    "import all relatively": "from .. import inventory",
    "import in a function": "def way():\n    from domains.inventory import stock\n    return stock",
    "import in a class": "class Inner:\n    import domains.inventory.stock",
    "import for types alone": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    "    from domains.inventory.stock import Stock",
    "import and ignore the error": "try:\n    from domains.inventory import stock\n"
    "except ImportError:\n    stock = None",
    "re-export by a helper": "from ._reexport import Stock",
    "import by a text": 'import importlib\nimportlib.import_module("domains.inventory.stock")',
    "import by a relative text": "import importlib\n"
    'importlib.import_module("..inventory.stock", "domains.orders")',
    "import by pieces of text": "import importlib\n"
    'importlib.import_module("domains." + "inventory.stock")',
    "import by a function's name": "import importlib\n"
    'getattr(importlib, "import_" + "module")("domains.inventory.stock")',
    "import by dunder": '__import__("domains.inventory.stock")',
    "import by dunder of builtins": "import builtins\n"
    'builtins.__import__("domains.inventory.stock")',
    "import by dunder of importlib": "import importlib\n"
    'importlib.__import__("domains.inventory.stock")',
    "import by dunder with another name": '__import__("domains.inventory.stock", '
    '{"__name__": "domains.inventory.x"})',
    "import by the name of its generation": "import importlib\n"
    'importlib.import_module(__name__.partition(".")[0] + ".domains.inventory.stock")',
    "import through map": "from importlib import import_module\n"
    'list(map(import_module, ["domains.inventory.stock"]))',
    "import by vars of builtins": "import builtins\n"
    'vars(builtins)["__import__"]("domains.inventory.stock")',
}

# The guard does not see these, as they import nothing by a function that it replaces: `check` finds
# them where they are written.
BY_CHECK = {
    "sys.modules": "import sys\nWAY = [m for n, m in sys.modules.items() if 'inventory' in n]",
    "sys.modules by from": "from sys import modules\nWAY = [n for n in modules if 'stock' in n]",
    "sys.modules by getattr": "import sys\nWAY = getattr(sys, 'modules')",
    "sys.modules by vars": "import sys\nWAY = vars(sys)['modules']",
    "frames by sys": "import sys\n\ndef way():\n    return sys._getframe(1).f_globals",
    "frames by inspect": "import inspect\n\ndef way():\n    return inspect.currentframe()",
    "frames by inspect's stack": "import inspect\n\ndef way():\n    return inspect.stack()[1]",
    "frames of all threads": "import sys\n\ndef way():\n    return sys._current_frames()",
    "frames of an error": "def way(error):\n    return error.__traceback__.tb_frame.f_globals",
    "frames of a coroutine": "def way(work):\n    return work.cr_frame.f_locals",
    "a function's globals": "def way(service):\n    return service.__globals__['Stock']",
    "a function's closure": "def way(service):\n    return service.__closure__[0].cell_contents",
    "a function's globals by getattr": "def way(service):\n"
    "    return getattr(service, '__globals__')",
    "gc objects": "import gc\n\ndef way():\n    return gc.get_objects()",
    "gc referrers": "import gc\n\ndef way(one):\n    return gc.get_referrers(one)",
    "subclasses of others": "from ringfence import Plugin as P\n\ndef way():\n"
    "    return P.__subclasses__()",
    "subclasses of object": "def way():\n    return object.__subclasses__()",
    "exec": "def way():\n    exec('import domains.inventory.stock')",
    "eval": "def way():\n    return eval('__import__(\"domains.inventory.stock\")')",
    "compile": "def way(text):\n    return compile(text, 'domains/inventory/x.py', 'exec')",
    "runpy": "import runpy\n\ndef way():\n    return runpy.run_path('domains/inventory/stock.py')",
    "pkgutil": "import pkgutil\n\ndef way():\n    return pkgutil.resolve_name('json:loads')",
    "a spec of one's own": "import importlib.util\n\ndef way(path):\n"
    "    return importlib.util.spec_from_file_location('stock', path)",
    "a loader of one's own": "from importlib.machinery import SourceFileLoader\n\ndef way(path):\n"
    "    return SourceFileLoader('stock', path).load_module()",
    "the bootstrap of importlib": "from importlib._bootstrap import _gcd_import\n\ndef way():\n"
    "    return _gcd_import",
    "the module's own loader": "def way():\n    return __spec__.loader",
    "another finder": "import sys\n\ndef way(finder):\n    sys.meta_path.insert(0, finder)",
    "another import function": "import builtins\n\ndef way(one):\n    builtins.__import__ = one",
    "another path": "import sys\n\ndef way():\n    sys.path.insert(0, 'domains/inventory')",
    "pickle": "import pickle\n\ndef way(data):\n    return pickle.loads(data)",
    "marshal": "import marshal\n\ndef way(data):\n    return marshal.loads(data)",
    "yaml": "def way(data):\n    import yaml\n    return yaml.load(data)",
    "ctypes": "def way():\n    import ctypes\n    return ctypes.pythonapi",
    "a function of code": "import types\n\ndef way(code):\n    return types.FunctionType(code, {})",
    "a patch": "def way():\n    from unittest.mock import patch\n"
    "    return patch('domains.inventory.stock.SECRET', 2)",
    "another domain's table": "SQL = 'SELECT sku FROM stock'",
    "the kernel's registry": "from ringfence.kernel.registry import Registry as way",
    "the kernel by its package": "import ringfence\nWAY = ringfence.kernel",
    "another domain's table, in pieces": "SQL = 'SELECT sku FROM ' + 'stock'",
    "the database's file": "def way():\n    import sqlite3\n    return sqlite3.connect('app.db')",
}

# Neither sees these. `docs/isolation.md` says so, by these names, with the reason.
BY_NOBODY = {
    "a name put together": "import sys\n\ndef way():\n    return getattr(sys, 'mod' + 'ules')",
    "an attribute put together": "def way(one):\n"
    "    return getattr(one, ''.join(['__glo', 'bals__']))",
    "the object behind a method": "def way(handle):\n    return handle.__self__",
    "a package that does it": "import json\n\ndef way():\n    return json.codecs.builtins",
    "the source as a file": "def way():\n    from pathlib import Path\n"
    "    return (Path(__file__).parent.parent / 'inventory' / 'stock.py').read_text()",
    "another process": "def way():\n    import subprocess\n"
    "    return subprocess.Popen(['python', '-c', 'import domains.inventory.stock'])",
}

# Code that looks like one of the above, and is right.
HONEST = {
    "own helper": "from ._shelf import NAME",
    "own helper, absolutely": "from domains.orders._shelf import NAME",
    "own helper as a module": "from . import _shelf",
    "own helper by a text": "import importlib\nimportlib.import_module('domains.orders._shelf')",
    "own helper by a relative text": "import importlib\n"
    "importlib.import_module('._shelf', __package__)",
    "lib": "from lib.money import cents",
    "lib as a module": "from lib import money",
    "a library called like a domain": "import email.message as inventory",
    "a name like a domain": "inventory = {'domains.inventory.stock': 1}",
    "a text about a domain": "HELP = 'see domains.inventory.stock'",
    "a resource": "from importlib import resources\nWAY = resources.files('json')",
    "a version": "from importlib.metadata import version\nWAY = version('msgspec')",
    "a library by a text": "import importlib\nWAY = importlib.import_module('json')",
    "a library by dunder": "json = __import__('json')",
    "is it there": "from importlib.util import find_spec\nHAS = find_spec('orjson') is not None",
    "a signature": "import inspect\n\ndef way(one):\n    return inspect.signature(one)",
    "is it a coroutine": "import inspect\n\ndef way(one):\n    return inspect.iscoroutine(one)",
    "collecting": "import gc\n\ndef way():\n    return gc.collect()",
    "freezing": "import gc\n\ndef way():\n    gc.freeze()",
    "the platform": "import sys\nIS_WINDOWS = sys.platform == 'win32'",
    "the version of Python": "import sys\nNEW = sys.version_info >= (3, 12)",
    "a look at the path": "import sys\nFIRST = sys.path and True",
    "a name called modules": "modules = ['a']\nWAY = modules[0]",
    "an attribute called modules": "def way(course):\n    return course.modules",
    "an error's text": "import traceback\n\ndef way(error):\n"
    "    return traceback.format_exception(error)",
    "an error's cause": "def way(error):\n    return error.__cause__",
    "getattr with a default": "def way(one):\n    return getattr(one, 'name', '')",
    "getattr of what is told": "def way(one, name):\n    return getattr(one, name)",
    "vars of a value": "def way(one):\n    return vars(one)",
    "subclasses of one's own": "class Shape:\n    pass\n\ndef way():\n"
    "    return Shape.__subclasses__()",
    "a literal": "import ast\n\ndef way(text):\n    return ast.literal_eval(text)",
    "a regular expression": "import re\nWAY = re.compile('a+')",
    "a method called eval": "def way(model):\n    return model.eval()",
    "a method called exec": "def way(query):\n    return query.exec()",
    "a function called compile": "def compile_(text):\n    return text",
    "an evaluate of one's own": "def evaluate(text):\n    return len(text)",
    "yaml, safely": "def way(data):\n    import yaml\n    return yaml.safe_load(data)",
    "yaml, with a safe loader": "def way(data):\n    import yaml\n"
    "    return yaml.load(data, Loader=yaml.SafeLoader)",
    "json": "import json\n\ndef way(data):\n    return json.loads(data)",
    "copying": "import copy\n\ndef way(one):\n    return copy.deepcopy(one)",
    "a weak reference": "import weakref\nWAY = weakref.WeakValueDictionary()",
    "a table of one's own": "SQL = 'SELECT sku FROM orders'",
    "a table with an alias": "SQL = 'SELECT stock.sku FROM orders AS stock'",
    "a common table expression": "SQL = 'WITH stock AS (SELECT 1 AS n) SELECT n FROM stock'",
    "a column called like a table": "SQL = 'SELECT stock FROM orders'",
    "prose like SQL": "TEXT = 'Select what you like from stock.'",
    "a log line like SQL": "TEXT = 'UPDATE: stock has changed'",
    "the public errors": "from ringfence.errors import Fault",
    "the settings": "from ringfence.settings import Seconds",
    "the module's name": "NAME = __name__",
    "a context variable": "from contextvars import ContextVar\nNOW = ContextVar('now')",
}
