"""Writes the standard library's zip again, with byte code beside the sources.

Runs inside Pyodide (see stdlib.mjs), so that the compiler is the one whose
work it saves. zipimport looks for `x.pyc` before `x.py`; the sources stay for
tracebacks, `inspect` and `linecache`. Nothing is deflated: HTTP compresses
better, and the browser inflates that off the main thread.
"""

import importlib.util
import sys
import zipfile
from importlib._bootstrap_external import _code_to_hash_pyc
from zipfile import ZipFile, ZipInfo


def library():
    """Where Pyodide keeps the standard library."""
    return f"/lib/python{sys.version_info.major}{sys.version_info.minor}.zip"


def modules_in(archive):
    """The files of `archive` that are imported so far, by their names in it."""
    found = set()
    for module in list(sys.modules.values()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
        if origin.startswith(f"{archive}/") and origin.endswith(".py"):
            found.add(origin.removeprefix(f"{archive}/"))
    return found


def bytecode(path, source):
    """What zipimport would compile from `source`, as an unchecked .pyc.

    Unchecked: the byte code cannot go stale in a zip that is written once,
    and a check reads and hashes every source.
    """
    code = compile(source, path, "exec", dont_inherit=True)
    return _code_to_hash_pyc(code, importlib.util.source_hash(source), False)


def write(archive, target, compiled):
    """Copies `archive` to `target` and adds byte code for the files `compiled`.

    The result depends on the input alone: its order and times are kept, and a
    .pyc takes the time of its source.
    """
    with ZipFile(archive) as plain, ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        for entry in plain.infolist():
            data = plain.read(entry)
            if entry.filename in compiled:
                pyc = bytecode(f"{archive}/{entry.filename}", data)
                out.writestr(stored(entry, entry.filename + "c"), bytes(pyc))
            out.writestr(stored(entry, entry.filename), data)


def stored(entry, name):
    copy = ZipInfo(name, entry.date_time)
    copy.create_system = entry.create_system
    copy.external_attr = entry.external_attr
    return copy
