"""What there is to learn from: sources that every Python brings along, and text files of the user's own."""

from __future__ import annotations

import codecs
import hashlib
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tb_widgets.data.formats.files import is_pattern, kind_by_name
from tb_widgets.errors import DataError
from tb_widgets.spec import Task

TEXT_TASKS: tuple[Task, ...] = ("causal-lm", "masked-lm")
"""What learns from running text alone."""

PLAIN_TASKS: tuple[Task, ...] = (*TEXT_TASKS, "seq2seq")
"""What a plain text serves, of ours or of the user's: to learn to translate, stretches of it are cut out."""

TABLE_TASKS: tuple[Task, ...] = (*PLAIN_TASKS, "sequence-classification")
"""What a table may serve; its columns decide."""

# Tests and the IDLE editor repeat themselves; the rest of the library is code that people read.
_SKIPPED_FOLDERS = frozenset({"test", "tests", "idlelib", "idle_test", "site-packages", "dist-packages", "__pycache__"})
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


@dataclass(frozen=True)
class Source:
    """Data that need no file of the user's: the name that a spec uses, how a form presents it, and what it serves."""

    name: str
    title: str
    help: str
    tasks: tuple[Task, ...] = PLAIN_TASKS
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Text:
    """A text as it was read.

    Attributes
    ----------
    text
        All of it, line ends as they are in the file.
    name
        Name of the built-in source, or of the file.
    fingerprint
        SHA-256 of the text in UTF-8, hexadecimal.
    path
        The file, ``None`` for a built-in source.
    """

    text: str
    name: str
    fingerprint: str
    path: Path | None = None


def list_sources(task: Task | None = None) -> list[Source]:
    """Return the built-in sources, or those that serve a task, the ones made for it first."""
    sources = [source for source, _ in _TEXTS.values()] + list(_EXAMPLES)
    if task is None:
        return sources
    return sorted((source for source in sources if task in source.tasks), key=lambda source: source.tasks[0] != task)


def tasks_of(source: str) -> tuple[Task, ...]:
    """Return what a spec's source serves; of one that is not ours its name says whether it may be a table."""
    known = next((known.tasks for known in list_sources() if known.name == source), None)
    if known is not None:
        return known
    is_one_file = not source.startswith(("hub:", "https:", "http:")) and not is_pattern(source)
    return PLAIN_TASKS if is_one_file and kind_by_name(source) == "text" else TABLE_TASKS


def classes_of(source: str) -> tuple[str, ...]:
    """Return the names of a source's classes, in the order of their labels; empty where nothing is classified."""
    return next((known.classes for known in list_sources() if known.name == source), ())


def check_serves(source: str, task: Task) -> None:
    """Check that a source has what a task needs.

    Raises
    ------
    DataError
        If it has not; the message names task and source, the hint the sources that do.
    """
    served = tasks_of(source)
    if task in served:
        return
    doing, need = NEEDS[task]
    names = [known.name for known in list_sources(task)]
    own = f" or the path of a {'text file' if task in PLAIN_TASKS else 'table'}" if task in TABLE_TASKS else ""
    raise DataError(
        f"data.source: the model {doing} ({task}) and needs {need}; {source} serves {' and '.join(served)}.",
        hint=f"Set data.source to {' or '.join(names) if not own else ', '.join(names)}{own}, "
        f"or choose a model for {served[0]}.",
    )


def read_text(source: str) -> Text:
    """Read a built-in text, or a text file (UTF-8, or UTF-16 with a byte order mark).

    Raises
    ------
    DataError
        If there is no such file, it can't be read, is a folder, is empty, or is not text.
    """
    if source in _TEXTS:
        text = _TEXTS[source][1]()
        if not text.strip():
            raise DataError(f"data.source: this Python comes without the text of {source}.", hint="Give a text file.")
        return Text(text=text, name=source, fingerprint=_fingerprint(text))
    path = find_file(source)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    text = decode(raw, path)
    return Text(text=text, name=path.name, fingerprint=_fingerprint(text), path=path)


def find_file(source: str) -> Path:
    """Return the path of a text file that a spec names.

    Raises
    ------
    DataError
        If there is none, or it is a folder.
    """
    if source.startswith("hub:"):
        raise DataError(
            f"data.source: {source} is not on this machine, and this version reads local texts only.",
            hint="Save it as a text file and give its path.",
        )
    path = Path(source).expanduser()
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    if not exists:
        raise DataError(
            f"data.source: there is no file {source!r} (looked in {Path.cwd()}).",
            hint=f"Give the path of a text file, or one of {', '.join(_TEXTS)}.",
        )
    if is_folder:
        found = sorted(entry.name for entry in path.glob("*.txt"))[:5]
        raise DataError(
            f"data.source: {path} is a folder.",
            hint=f"Give one text file, for example {path / found[0]}." if found else "Give one text file.",
        )
    return path


def decode(raw: bytes, path: Path) -> str:
    """Turn the content of a text file into a string.

    Raises
    ------
    DataError
        If it is empty, binary, or in another encoding; the message names the first byte that does not fit.
    """
    codec, title = next(((codec, title) for mark, codec, title in _BYTE_ORDER_MARKS if raw.startswith(mark)), ("", ""))
    if not codec:
        codec, title = "utf-8", "UTF-8"
        zero = raw.find(b"\0")
        if zero >= 0:
            raise DataError(
                f"{path} is not a text file: byte {zero} is zero.",
                hint="Give plain text. A PDF, Word file or archive must be converted first.",
            )
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        # The UTF-8 codec counts from behind the byte order mark.
        offset = error.start + (len(codecs.BOM_UTF8) if codec == "utf-8-sig" else 0)
        raise DataError(
            f"{path} is not {title} text: byte {offset} ({raw[offset : offset + 1].hex()}) does not fit.",
            hint="Save it again with the encoding UTF-8.",
        ) from error
    if not text.strip():
        raise DataError(f"{path} is empty.", hint="Give a file with text in it.")
    return text


def is_built_in(source: str) -> bool:
    """Tell whether a spec's source is one of ours."""
    return any(known.name == source for known in list_sources())


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=1)
def _python_docs() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


@lru_cache(maxsize=1)
def _python_source() -> str:
    library = Path(sysconfig.get_paths()["stdlib"])
    parts = []
    for path in sorted(library.rglob("*.py"), key=lambda path: path.relative_to(library).as_posix()):
        if _SKIPPED_FOLDERS.isdisjoint(path.relative_to(library).parts[:-1]):
            # A few files of the library are in other encodings on purpose; they are no loss.
            try:
                parts.append(path.read_bytes().decode("utf-8"))
            except (UnicodeDecodeError, OSError):
                continue
    return "\n\n".join(parts)


_TEXTS: dict[str, tuple[Source, Callable[[], str]]] = {
    source.name: (source, read)
    for source, read in (
        (
            Source(
                "python-docs",
                "Python's reference (prose)",
                "About 465,000 characters of the language reference that comes with Python. No download.",
            ),
            _python_docs,
        ),
        (
            Source(
                "python-source",
                "Python's library (code)",
                "About 11 million characters of the standard library's source on this machine. No download.",
            ),
            _python_source,
        ),
    )
}

_EXAMPLES = (
    Source(
        "prose-or-code",
        "Prose or code? (labelled lines)",
        "Lines of Python's reference against lines of its library: about 11,000, half of each. No download.",
        ("sequence-classification",),
        ("prose", "code"),
    ),
    Source(
        "reversed-words",
        "Words in reverse order (pairs)",
        "Some 18,000 lines of two to five words, and the same words backwards: the right answer is known. No download.",
        ("seq2seq",),
    ),
    Source(
        "drawn-shapes",
        "Drawn shapes (images)",
        "20,000 circles, squares, triangles and crosses, drawn with noise in the size the model takes. No download.",
        ("vision-classification",),
        ("circle", "square", "triangle", "cross"),
    ),
)

NEEDS: dict[Task, tuple[str, str]] = {
    "causal-lm": ("continues texts", "a plain text"),
    "masked-lm": ("fills gaps in texts", "a plain text"),
    "sequence-classification": ("sorts texts into classes", "texts with labels"),
    "seq2seq": ("turns one text into another", "pairs of texts"),
    "vision-classification": ("sorts images into classes", "images with labels"),
}
"""What a model of each task does, and what it needs for that."""
