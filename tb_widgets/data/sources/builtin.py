"""What there is to learn from: sources that every Python brings along, and what each source serves."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tb_widgets.data.formats.files import is_pattern, kind_by_name
from tb_widgets.errors import DataError
from tb_widgets.spec import TASKS, Task

TEXT_TASKS: tuple[Task, ...] = tuple(name for name, task in TASKS.items() if task.columns == ("text",))
"""What learns from running text alone."""

PLAIN_TASKS: tuple[Task, ...] = tuple(name for name, task in TASKS.items() if task.from_text)
"""What a plain text serves, of ours or of the user's: to learn to translate, spans of it are cut out."""

TABLE_TASKS: tuple[Task, ...] = tuple(name for name, task in TASKS.items() if task.columns)
"""What a table may serve; its columns decide."""

# Tests and the IDLE editor repeat themselves; the rest of the library is code that people read.
_SKIPPED_FOLDERS = frozenset({"test", "tests", "idlelib", "idle_test", "site-packages", "dist-packages", "__pycache__"})


@dataclass(frozen=True)
class Source:
    """Data that need no file of the user's: the name that a spec uses, how a form presents it, and what it serves."""

    name: str
    title: str
    help: str
    tasks: tuple[Task, ...] = PLAIN_TASKS
    classes: tuple[str, ...] = ()


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
    doing, need = TASKS[task].does, TASKS[task].needs
    names = [known.name for known in list_sources(task)]
    known_for = " and ".join(filter(None, (", ".join(served[:-1]), served[-1])))
    own = f" or the path of a {'text file' if task in PLAIN_TASKS else 'table'}" if task in TABLE_TASKS else ""
    raise DataError(
        f"data.source: the model {doing} ({task}) and needs {need}, but {source} is for {known_for}.",
        hint=f"Set data.source to {' or '.join(names) if not own else ', '.join(names)}{own}, "
        f"or choose a model for {served[0]}.",
    )


def read_text(source: str) -> str:
    """Return the text of a built-in source.

    Raises
    ------
    DataError
        If it is none of them or is not a text, or if this Python was installed without it.
    """
    if source not in _TEXTS:
        raise DataError(
            f"data.source: {source} is not a built-in text.", hint=f"Choose one of {', '.join(_TEXTS)}, or a text file."
        )
    text = _TEXTS[source][1]()
    if not text.strip():
        raise DataError(f"data.source: this Python comes without {source}.", hint="Choose a text file.")
    return text


def is_built_in(source: str) -> bool:
    """Tell whether a spec's source is one of ours."""
    return any(known.name == source for known in list_sources())


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
                "About 465,000 characters of the language reference that comes with Python. Its pages share many "
                "lines, so the validation loss is lower than on new text. No download.",
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
        "Lines of Python's reference against lines of its library: about 11,000, half and half. No download.",
        ("sequence-classification",),
        ("prose", "code"),
    ),
    Source(
        "reversed-words",
        "Words in reverse order (pairs)",
        "About 18,000 lines of two to five words, and the same words backwards. No download.",
        ("seq2seq",),
    ),
    Source(
        "drawn-shapes",
        "Drawn shapes (images)",
        "20,000 circles, squares, triangles and crosses, drawn with noise at the model's image size. No download.",
        ("vision-classification",),
        ("circle", "square", "triangle", "cross"),
    ),
)
