"""Texts to learn from: two that every Python brings along, and files of the user's own."""

from __future__ import annotations

import codecs
import hashlib
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tb_widgets.errors import DataError

# Tests and the IDLE editor repeat themselves; the rest of the library is code that people read.
_SKIPPED_FOLDERS = frozenset({"test", "tests", "idlelib", "idle_test", "site-packages", "dist-packages", "__pycache__"})
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


@dataclass(frozen=True)
class TextSource:
    """A text that needs no file of the user's: the name that a spec uses, and how a form presents it."""

    name: str
    title: str
    help: str


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


def list_sources() -> list[TextSource]:
    """Return the built-in texts."""
    return [source for source, _ in _BUILT_IN.values()]


def read_text(source: str) -> Text:
    """Read a built-in text, or a text file (UTF-8, or UTF-16 with a byte order mark).

    Raises
    ------
    DataError
        If there is no such file, it can't be read, is a folder, is empty, or is not text.
    """
    if source in _BUILT_IN:
        text = _BUILT_IN[source][1]()
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
            hint=f"Give the path of a text file, or one of {', '.join(_BUILT_IN)}.",
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
    """Tell whether a spec's source names one of the built-in texts."""
    return source in _BUILT_IN


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


_BUILT_IN: dict[str, tuple[TextSource, Callable[[], str]]] = {
    source.name: (source, read)
    for source, read in (
        (
            TextSource(
                "python-docs",
                "Python's reference (prose)",
                "About 465,000 characters of the language reference that comes with Python. No download.",
            ),
            _python_docs,
        ),
        (
            TextSource(
                "python-source",
                "Python's library (code)",
                "About 11 million characters of the standard library's source on this machine. No download.",
            ),
            _python_source,
        ),
    )
}
