"""What a reader should look at in a model.py before trusting it, read from its text without running it.

These are findings, never a verdict: code can do harm in ways that no list knows. Importing this file imports no torch.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tb_widgets.models import source_text, syntax

FindingLevel = Literal["look", "odd"]


@dataclass(frozen=True, order=True)
class Finding:
    """One thing about one line of a model.py.

    Attributes
    ----------
    line
        Number of the line, from 1.
    what
        What stands there, for example ``calls open()``.
    why
        What it could do, one sentence for a beginner.
    level
        ``look``: some models need it; read the line. ``odd``: a model hardly ever needs it.
    """

    line: int
    what: str
    why: str
    level: FindingLevel


_PROGRAMS = "It could start other programs on this machine."
_NETWORK = "It could send data to, or fetch it from, the network."
_FILES = "It could read, change or delete your files."
_NATIVE = "It could access the memory of the process directly."
_UNPACK = "Loading such data can run code hidden in it."
_IMPORTS = "It could load code that is not named in this file."
_BACKGROUND = "It could keep running in the background during training."
_HIDDEN = "It could unpack hidden content."
_PROCESS = "It could change or end the process that runs the model."
_RUNS_TEXT = "It could run any text as code, even text that is not in this file."

_USUAL = (
    "torch torchvision torchaudio math cmath typing typing_extensions dataclasses collections functools itertools "
    "einops numpy abc enum copy warnings __future__ inspect random logging re json time contextlib numbers operator "
    "types string statistics fractions textwrap datetime unittest doctest"
)
_USUAL_IMPORTS = frozenset(_USUAL.split())
_GROUPS: tuple[tuple[str, FindingLevel, str], ...] = (
    ("subprocess pty pexpect", "odd", _PROGRAMS),
    ("socket ssl http urllib urllib3 requests httpx aiohttp ftplib smtplib telnetlib websockets", "odd", _NETWORK),
    ("xmlrpc socketserver paramiko boto3 webbrowser torch.hub", "odd", _NETWORK),
    ("transformers huggingface_hub datasets timm wandb tensorflow_hub", "look", _NETWORK),
    ("os pathlib shutil tempfile glob io fileinput zipfile tarfile sqlite3 torch.serialization", "look", _FILES),
    ("ctypes cffi mmap torch.utils.cpp_extension", "odd", _NATIVE),
    ("pickle marshal dill joblib shelve cloudpickle", "odd", _UNPACK),
    ("importlib runpy imp pkgutil builtins zipimport code codeop", "odd", _IMPORTS),
    ("threading multiprocessing concurrent asyncio _thread sched torch.multiprocessing", "odd", _BACKGROUND),
    ("base64 binascii zlib gzip bz2 lzma codecs", "odd", _HIDDEN),
    ("sys signal atexit gc resource faulthandler", "look", _PROCESS),
)
_MODULES = {name: (level, why) for names, level, why in _GROUPS for name in names.split()}
_CALLS: dict[str, tuple[FindingLevel, str]] = {
    "exec": ("odd", _RUNS_TEXT),
    "eval": ("odd", _RUNS_TEXT),
    "compile": ("odd", _RUNS_TEXT),
    "__import__": ("odd", _IMPORTS),
    "open": ("odd", _FILES),
    "input": ("look", "It waits for keyboard input, which never comes."),
    "breakpoint": ("look", "It stops and waits for keyboard input, which never comes."),
    "exit": ("look", _PROCESS),
    "quit": ("look", _PROCESS),
    "globals": ("look", _IMPORTS),
    "locals": ("look", _IMPORTS),
    "os.system": ("odd", _PROGRAMS),
    "os.popen": ("odd", _PROGRAMS),
    "torch.load": ("look", _UNPACK),
    "torch.save": ("look", _FILES),
    "numpy.load": ("look", _UNPACK),
    "numpy.save": ("look", _FILES),
    "numpy.fromfile": ("look", _FILES),
    "numpy.memmap": ("look", _FILES),
}
_BUILTIN = ("exec", "eval", "compile", "__import__", "open")
# Methods that are known by their names alone, whatever they are called on.
_METHODS: dict[str, str] = {
    "from_pretrained": _NETWORK,
    "load_state_dict_from_url": _NETWORK,
    "download_url_to_file": _NETWORK,
    "save_pretrained": _FILES,
    "read_text": _FILES,
    "read_bytes": _FILES,
    "write_text": _FILES,
    "write_bytes": _FILES,
    "unlink": _FILES,
    "rmtree": _FILES,
    "tofile": _FILES,
}
_MACHINERY = (
    "__subclasses__ __globals__ __builtins__ __code__ __mro__ __bases__ __base__ __closure__ __reduce__ __reduce_ex__ "
    "__getattribute__ __loader__ __import__ f_globals f_locals f_back gi_frame cr_frame _getframe __setstate__"
)
_INSIDES = frozenset(_MACHINERY.split())
_INSIDES_WHY = "Python's internals can do what this file does not show."
_AT_ONCE = "It runs as soon as the file is loaded, before a model is built."
# Calls at the top of a file that only give something a name.
_NAMING_CALLS = ("TypeVar", "NewType", "ParamSpec", "namedtuple", "NamedTuple", "getLogger", "partial", "field")
_PLAIN = (
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.Tuple,
    ast.List,
    ast.Dict,
    ast.Set,
    ast.UnaryOp,
    ast.BinOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Subscript,
    ast.Slice,
    ast.Starred,
    ast.Lambda,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
    ast.arguments,
    ast.arg,
)
_LONG_LINE, _LONG_TEXT = 400, 200  # characters


def findings(code: str) -> list[Finding]:
    """List what a reader should look at in a model's code, in the order of its lines, each finding once per line.

    Raises
    ------
    ModelError
        If it is not Python.
    """
    tree = syntax.parse(code, "model.py")
    aliases = _aliases(tree)
    found = [*_imports(tree), *_top_level(tree.body), *_hidden_calls(tree.body, aliases), *_text(code)]
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += _call(node, aliases)
        elif isinstance(node, ast.Name) and node.id in _BUILTIN and id(node) not in called and node.id not in aliases:
            # As a decorator, or under another name, it is called without a bracket behind it.
            found.append(Finding(node.lineno, f"uses {node.id}", _CALLS[node.id][1], "odd"))
        found += _insides(node)
    first: dict[tuple[int, str], Finding] = {}
    for finding in found:
        first.setdefault((finding.line, finding.what), finding)
    return sorted(first.values())


def _module(name: str) -> tuple[FindingLevel, str] | None:
    """Return what is known about a module, or about the nearest one above it: ``os.path`` is ``os``."""
    while name not in _MODULES:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return _MODULES[name]


def _imports(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            full = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in _MODULES else base for name in full]
            if any(alias.name == "*" for alias in node.names):
                why = "It imports names that this file does not show."
                yield Finding(node.lineno, f"imports everything from {base}", why, "look")
        else:
            continue
        for name in names:
            known = _module(name)
            if known is not None:
                yield Finding(node.lineno, f"imports {name}", known[1], known[0])
            elif name.startswith("."):
                why = "A model is a single file: there is nothing beside it to import."
                yield Finding(node.lineno, f"imports {name}", why, "look")
            elif name.partition(".")[0] not in _USUAL_IMPORTS:
                why = "Models seldom need this package: importing it runs its code, and it may not be installed."
                yield Finding(node.lineno, f"imports {name}", why, "look")


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for: ``np`` to ``numpy``, ``run`` to ``subprocess.run``."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                aliases[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return aliases


def _call(node: ast.Call, aliases: dict[str, str]) -> Iterator[Finding]:
    name = syntax.dotted(node.func)
    head, dot, rest = name.partition(".")
    full = aliases.get(head, head) + dot + rest
    imported = head in aliases
    if not imported and full in ("getattr", "setattr", "delattr"):
        # A name that is written out, or that begins with one, can be followed.
        if len(node.args) > 1 and not _begins_with_text(node.args[1]):
            why = "Which attribute it accesses is only known at run time."
            yield Finding(node.lineno, f"calls {full}() with a computed name", why, "look")
    elif (known := _CALLS.get(full) or (_module(full) if imported else None)) is not None:
        yield Finding(node.lineno, f"calls {full}()", known[1], known[0])
    elif isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
        yield Finding(node.lineno, f"calls .{node.func.attr}()", _METHODS[node.func.attr], "look")


def _begins_with_text(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return isinstance(node, ast.Constant)


def _insides(node: ast.AST) -> Iterator[Finding]:
    name = ""
    if isinstance(node, ast.Attribute):
        name = node.attr
    elif isinstance(node, ast.Name):
        name = node.id
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value
    if name in _INSIDES and isinstance(node, ast.expr):
        yield Finding(node.lineno, f"uses {name}", _INSIDES_WHY, "odd")
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and _is_packed(node.value):
        yield Finding(node.lineno, f"contains {len(node.value):,} characters that are not words", _HIDDEN, "odd")


def _is_packed(value: str | bytes) -> bool:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if len(text) < _LONG_TEXT:
        return False
    return isinstance(value, bytes) or re.fullmatch(r"[\w+/=\-\\\n\r]+", text, re.ASCII) is not None


def _top_level(body: list[ast.stmt]) -> Iterator[Finding]:
    """Yield the statements that do something while the file is loaded: at the top, and in the bodies of classes."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _top_level(node.body)
        elif isinstance(node, ast.If) and _is_usual_guard(node.test):
            yield from _top_level(node.orelse)
        elif isinstance(node, ast.Try) and all(isinstance(part, ast.Import | ast.ImportFrom) for part in node.body):
            for handler in node.handlers:
                yield from _top_level(handler.body)
        elif not _only_names(node):
            what = "calls" if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else "does"
            yield Finding(node.lineno, f"{what} something at the top of the file", _AT_ONCE, "look")


def _hidden_calls(body: list[ast.stmt], aliases: dict[str, str]) -> Iterator[Finding]:
    """Yield the calls in bases and defaults: they stand in a definition and run when the file is loaded."""
    for node in body:
        parts: list[ast.expr] = []
        if isinstance(node, ast.ClassDef):
            parts = [*node.bases, *(keyword.value for keyword in node.keywords)]
            yield from _hidden_calls(node.body, aliases)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts = [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]
        for call in (inner for part in parts for inner in ast.walk(part) if isinstance(inner, ast.Call)):
            head = syntax.root(call.func)
            name = syntax.dotted(call.func).rpartition(".")[2]
            if aliases.get(head, head).partition(".")[0] not in ("torch", "math") and name not in _NAMING_CALLS:
                yield Finding(call.lineno, "calls something at the top of the file", _AT_ONCE, "look")


def _is_usual_guard(test: ast.expr) -> bool:
    """Tell ``if __name__ == "__main__"``, whose body is not run here, and ``if TYPE_CHECKING``."""
    main = isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
    return main or syntax.dotted(test).rpartition(".")[2] == "TYPE_CHECKING"


def _only_names(node: ast.stmt) -> bool:
    """Tell whether a statement only gives something a name: imports, definitions and plain constants."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.Pass):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not all(isinstance(target, ast.Name | ast.Tuple) for target in targets):
        return False
    value = node.value
    if isinstance(value, ast.Call):
        return syntax.dotted(value.func).rpartition(".")[2] in _NAMING_CALLS
    return value is None or all(isinstance(part, _PLAIN) for part in ast.walk(value))


def _text(code: str) -> Iterator[Finding]:
    """Yield what the eye can't see or takes for something else."""
    for number, line in enumerate(source_text.lines(code), start=1):
        if len(line) > _LONG_LINE:
            why = "Something could hide beyond the edge of the screen."
            yield Finding(number, f"is {len(line):,} characters long", why, "look")
        for character in sorted(filter(source_text.is_hidden, set(line) - {"\t"})):
            why = "It is invisible, and can make the line look different from what it does."
            yield Finding(number, f"contains {source_text.name(character)}", why, "odd")
    try:
        for token in tokenize.generate_tokens(io.StringIO(code, newline=None).readline):
            if token.type in (tokenize.NAME, tokenize.ERRORTOKEN) and not token.string.isascii():
                yield _foreign_name(token.start[0], token.string)
    except (tokenize.TokenError, SyntaxError):
        yield Finding(1, "can't be tokenized", "Python reads this file in an unusual way.", "odd")


def _foreign_name(line: int, name: str) -> Finding:
    plain = unicodedata.normalize("NFKC", name)
    if plain != name and plain.isascii():
        why = "Python reads it as the plain name, but a search for that name does not find it."
        return Finding(line, f"writes {plain} in look-alike letters", why, "odd")
    scripts = {unicodedata.name(letter, "?").partition(" ")[0] for letter in name if letter.isalpha()}
    if len(scripts) > 1:
        why = "Letters of several alphabets can look alike: it may not be the name it seems to be."
        return Finding(line, f"mixes alphabets in the name {name}", why, "odd")
    return Finding(line, f"uses the name {name}", "Its letters may look like others with a different meaning.", "look")
