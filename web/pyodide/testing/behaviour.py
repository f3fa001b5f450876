"""What a study can see of the standard library, as plain data.

Each function is run with either library; the results must be equal. A module
compiled beforehand gives its byte code, `x.pyc`, as its file: `source()` makes
that `x.py` where the difference is not in question.
"""

import contextlib
import io
import json
import sys
import traceback

LIBRARY = f"/lib/python{sys.version_info.major}{sys.version_info.minor}.zip"


def source(text):
    return text.replace(".pyc", ".py")


def started():
    """The interpreter as loadPyodide left it."""
    import gc
    import logging
    import threading
    import warnings

    return {
        "modules": sorted(sys.modules),
        "names": {name: dir(module) for name, module in sorted(sys.modules.items())},
        "main": list(vars(sys.modules["__main__"])),
        "path": sys.path,
        "meta_path": [getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path],
        "threads": [thread.name for thread in threading.enumerate()],
        "handlers": len(logging.root.handlers),
        "filters": [repr(entry) for entry in warnings.filters],
        "gc": gc.get_threshold(),
    }


def tracebacks():
    """Of errors that pass through the library: every frame with its line and carets."""
    import ast
    import configparser
    import statistics
    import string

    def fail(function, *arguments):
        try:
            function(*arguments)
        except Exception:
            return traceback.format_exc()
        raise AssertionError(f"{function} did not fail")

    return [
        fail(json.loads, "{nonsense"),
        fail(json.dumps, object),
        fail(statistics.mean, []),
        fail(ast.literal_eval, "f()"),
        fail(configparser.ConfigParser().read_string, "nonsense"),
        fail(string.Template("$x").substitute),
        fail(__import__, "no_such_module"),
    ]


def sources():
    """What inspect and linecache say of everything that is imported."""
    import enum
    import functools
    import inspect
    import linecache
    import random
    import typing

    found = {}
    for thing in (json.loads, json.JSONDecoder, enum.Enum, functools.wraps, random.Random.choice, typing.NamedTuple):
        with contextlib.suppress(OSError):
            found[thing.__qualname__] = [
                inspect.getsourcelines(thing),
                inspect.getsourcefile(thing),
                inspect.getcomments(thing),
            ]
    for name, module in sorted(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(LIBRARY) and name != "__main__":
            with contextlib.suppress(OSError):  # the same must be missing in all
                found[name] = [inspect.getsource(module), inspect.getsourcefile(module), inspect.getmodulename(module.__file__)]
    path = f"{LIBRARY}/bisect.py"
    return found, linecache.getline(path, 3), linecache.getline(path, 3, vars(__import__("bisect")))


def resources():
    """Data of packages, and what a look into the library lists."""
    import importlib.resources
    import importlib.util
    import pkgutil

    def listed(package):
        return sorted(entry.name for entry in importlib.resources.files(package).iterdir() if not entry.name.endswith(".pyc"))

    return {
        "data": [pkgutil.get_data(name, "__init__.py").decode() for name in ("json", "email", "importlib.metadata")],
        "text": importlib.resources.files("asyncio").joinpath("log.py").read_text(),
        "listed": {name: listed(name) for name in ("json", "email", "asyncio", "encodings", "pyodide")},
        "modules": [[module.name, module.ispkg] for module in pkgutil.iter_modules([LIBRARY])],
        "walked": [module.name for module in pkgutil.iter_modules([f"{LIBRARY}/email"], "email.")],
        "spec": [source(importlib.util.find_spec(name).origin) for name in ("tarfile", "email.parser", "wsgiref.util")],
    }


def documentation():
    import pydoc
    import re

    def text(name):
        return re.sub("0x[0-9a-f]+", "address", pydoc.plain(pydoc.render_doc(name)))

    return [text(name) for name in ("json", "random.shuffle", "datetime.date", "enum", "email.message")]


def doctests():
    """Examples in the library's own docstrings, which doctest finds by their source."""
    import doctest
    import difflib
    import statistics
    import textwrap

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        results = [doctest.testmod(module) for module in (difflib, statistics, textwrap)]
    return [[result.failed, result.attempted] for result in results], printed.getvalue()


def warned():
    """Warnings that the library causes itself, as they are shown."""
    import re
    import warnings

    shown = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import asyncio
        import string
        import tempfile

        asyncio.iscoroutinefunction(print)
        tempfile.TemporaryDirectory()  # dropped at once
        code = "\nimport warnings\nwarnings.warn('mine')"
        exec(compile(code, string.Template.substitute.__code__.co_filename, "exec"), vars(string))
    for warning in caught:
        text = warnings.formatwarning(warning.message, warning.category, warning.filename, warning.lineno)
        shown.append(re.sub(r"/tmp/\w+", "/tmp/dir", text))
    return shown


def run_as_main():
    """Like python -m."""
    import runpy

    class Text(io.StringIO):
        def close(self):  # some close what they were given
            pass

    def run(module, *arguments, stdin=""):
        argv, sys.argv = sys.argv, ["ignored", *arguments]
        old, sys.stdin = sys.stdin, Text(stdin)
        names, status = [], None
        with contextlib.redirect_stdout(Text()) as out, contextlib.redirect_stderr(Text()) as err:
            try:
                names = sorted(runpy.run_module(module, run_name="__main__", alter_sys=True))
            except SystemExit as exit:
                status = str(exit.code)
            except Exception:
                status = source(traceback.format_exc())
        sys.argv, sys.stdin = argv, old
        return [names, status, source(out.getvalue()), source(err.getvalue())]

    return [
        run("json.tool", "--indent", "1", stdin='{"a": [1, 2]}'),
        run("json.tool", stdin="{"),
        run("calendar", "2026", "11"),
        run("base64", "-t"),
        run("tokenize", stdin="a = 1\n"),
        run("timeit", "--help"),
        run("no_such_module"),
    ]


def imports():
    """Imports everything there is and says what came of it."""
    import importlib
    import zipfile

    names = set(sys.builtin_module_names) | set(sys.stdlib_module_names)
    with zipfile.ZipFile(LIBRARY) as library:
        for name in library.namelist():
            if name.endswith(".py") and not name.startswith("site-packages/"):
                names.add(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    outcome = {}
    for name in sorted(names):
        if name.split(".")[-1] in ("__main__", "antigravity"):  # they act when imported
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                module = importlib.import_module(name)
                outcome[name] = [dir(module), module.__doc__, source(getattr(module, "__file__", None) or "")]
            except BaseException as error:
                outcome[name] = f"{type(error).__name__}: {error}"
        outcome[name + " printed"] = [out.getvalue(), source(err.getvalue())]
    return outcome, sorted(sys.modules)


def byte_code():
    """Compiled modules whose code is not what their source gives, of how many."""
    import zipfile
    import zipimport

    with zipfile.ZipFile(LIBRARY) as library:
        files = [name.removesuffix("c") for name in library.namelist() if name.endswith(".pyc")]
    different = []
    for file in files:
        package, _, name = file.removesuffix(".py").removesuffix("/__init__").rpartition("/")
        importer = zipimport.zipimporter(f"{LIBRARY}/{package}" if package else LIBRARY)
        code = importer.get_code(name)
        path = f"{LIBRARY}/{file}"
        expected = compile(importer.get_source(name), path, "exec", dont_inherit=True)
        if code != expected or code.co_filename != path:
            different.append(file)
    return [different, len(files)]
