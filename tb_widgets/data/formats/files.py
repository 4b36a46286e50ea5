"""Files of this machine: found, checked, and read as bytes, also out of gzip and zip."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal, NamedTuple

from tb_widgets.errors import DataError

FileKind = Literal["text", "json", "jsonl", "csv", "tsv", "parquet"]

_BLOCK = 2**20
_KINDS: dict[str, FileKind] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
# Text shrinks to a tenth, logs that repeat themselves to a hundredth: what grows more was made to fill disks.
_GROWTH, _HARMLESS = 200, 64 * 2**20
_NOT_PLAIN = (
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
)


# What lies beside the tables in a zip to explain them.
_EXPLAINING = re.compile(r"(readme|licen[cs]e|copying|notice|citation|changelog|authors)([.\-_].*)?$", re.I)


class Stamp(NamedTuple):
    """By which a file is known again: bytes, and when it was changed."""

    size: int
    changed: int


@dataclass(frozen=True)
class LocalFile:
    """A plain file, or one file in an archive, as it was when it was chosen.

    Attributes
    ----------
    path
        The file on disk.
    kind
        What is in it, by its name.
    stamp
        Its size and time then; reading it after a change is refused.
    packed
        ``gz``, ``zip`` or nothing.
    member
        Name inside the zip.
    """

    path: Path
    kind: FileKind
    stamp: Stamp
    packed: Literal["", "gz", "zip"] = ""
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.member})" if self.member else str(self.path)

    def blocks(self) -> Iterator[bytes]:
        """Yield what is in the file, unpacked, in blocks of at most a megabyte.

        Raises
        ------
        DataError
            If it can't be read, is damaged, locked, made to fill disks, or was changed since it was chosen.
        """
        done = 0
        with _explained(self.path):
            self.check_unchanged()
            with self._open() as stream:
                while block := stream.read(_BLOCK):
                    done += len(block)
                    if self.packed == "gz":
                        _check_growth(self.path, done, self.stamp.size)
                    yield block
            self.check_unchanged()

    @contextmanager
    def seekable(self) -> Iterator[IO[bytes]]:
        """Open the file for reading at any place; what is packed is unpacked into a nameless temporary file."""
        if not self.packed:
            with _explained(self.path):
                self.check_unchanged()
                stream: IO[bytes] = self.path.open("rb")
            with stream:
                yield stream
            return
        with tempfile.TemporaryFile() as unpacked:
            try:
                for block in self.blocks():
                    unpacked.write(block)
                unpacked.seek(0)
            except OSError as error:
                raise DataError(
                    f"{self} can't be unpacked: {error.strerror or error}.",
                    hint=f"Make room in {tempfile.gettempdir()}, or set TMPDIR to a folder on another disk.",
                ) from error
            yield unpacked

    def digest(self) -> str:
        """Return the SHA-256 of the file as it lies on disk, and of the member's name."""
        return hashlib.sha256(f"{_digest(self.path, self.stamp)}/{self.member}".encode()).hexdigest()

    def _open(self) -> IO[bytes]:
        if self.packed == "gz":
            return gzip.open(self.path, "rb")  # type: ignore[return-value]  # a GzipFile reads like any other
        if self.packed == "zip":
            return _archive(self.path, self.stamp).open(self.member)
        return self.path.open("rb")

    def check_unchanged(self) -> None:
        """Check that the file is what it was when it was chosen."""
        if _stamp(self.path.stat()) != self.stamp:
            raise DataError(
                f"{self.path} changed while it was being read.", hint="Try again once nothing writes to it."
            )


def find_files(source: str) -> list[Path]:
    """Return the plain files that a path, folder or glob (``books/*.txt``) names, sorted.

    Files and folders whose name begins with a dot are left out of folders and globs.

    Raises
    ------
    DataError
        If there are none, too many, or a path is no plain file.
    """
    if not source.strip() or "\0" in source:
        raise DataError(f"data.source: {source!r} is not a path.", hint="Give a file, a folder, or a built-in dataset.")
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:
        raise DataError(f"data.source: {source}: there is no such user.", hint="Write the whole path.") from error
    with _explained(path):
        if path.is_dir():
            found = _plain_files(path, "**/*", _walk(path))
        elif path.exists() or not _is_glob(source):
            return [path]
        else:
            root = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(root))
            found = _plain_files(root, pattern, root.glob(pattern))
    if not found:
        what = "the folder is empty" if path.is_dir() else "no file matches this pattern"
        raise DataError(f"data.source: {source}: {what}.", hint="Choose text files or tables.")
    return found


def is_pattern(source: str) -> bool:
    """Tell whether a source may name several files: a pattern, a folder or a zip."""
    try:
        return _is_glob(source) or source.lower().endswith(".zip") or Path(source).expanduser().is_dir()
    except (OSError, RuntimeError):  # it lies in a folder that may not be entered, say: reading it will tell
        return False


def kind_by_name(name: str) -> FileKind:
    """Return what a file's name says about its content; without a word about it, plain text."""
    return _KINDS.get(Path(name.lower().removesuffix(".gz")).suffix, "text")


def opened_files(paths: list[Path]) -> list[LocalFile]:
    """Look into files: each becomes one, a zip as many as are in it; those without a byte are left out.

    Raises
    ------
    DataError
        If a file is missing or none, nothing is left, or the files are of several kinds.
    """
    found = [file for path in paths for file in _look_at(path)]
    if not found:
        raise DataError(f"{paths[0]} is empty.", hint="Choose a file with text in it.")
    kinds = {file.kind: file for file in reversed(found)}
    if len(kinds) > 1:
        examples = " and ".join(f"{kind} ({file.member or file.path.name})" for kind, file in sorted(kinds.items()))
        where = paths[0].parent if found[0].packed != "zip" else paths[0]
        raise DataError(
            f"{where} contains files of several types: {examples}.",
            hint=f"Choose those of one type, for example {where / '*.csv'}."
            if found[0].packed != "zip"
            else "Zip files of one type only.",
        )
    return found


def _look_at(path: Path) -> list[LocalFile]:
    with _explained(path):
        status = path.stat()
        for test, name in _NOT_PLAIN:
            if test(status.st_mode):
                raise DataError(f"data.source: {path} is a {name}, not a file.", hint="Choose a file.")
        stamp = _stamp(status)
        with path.open("rb", buffering=0) as file:
            beginning = file.read(4)
        if stamp.size == 0:
            if beginning:  # it is made while it is read, by the system, and may never end
                raise DataError(f"data.source: {path} is not a regular file.", hint="Copy its content to a file.")
            return []
        if path.suffix.lower() == ".zip":
            return _look_into_zip(path, stamp)
        if beginning.startswith(b"\x1f\x8b"):
            return [LocalFile(path, kind_by_name(path.name), stamp, "gz")]
    if path.suffix.lower() == ".gz":
        raise DataError(f"{path} is damaged, or not a gzip file.", hint="Download it again.")
    return [LocalFile(path, "parquet" if beginning == b"PAR1" else kind_by_name(path.name), stamp)]


def _look_into_zip(path: Path, stamp: Stamp) -> list[LocalFile]:
    found = []
    members = [member for member in _archive(path, stamp).infolist() if member.file_size]
    _check_growth(path, sum(member.file_size for member in members), stamp.size)
    names = Counter(member.filename for member in members)
    if twice := [name for name, count in names.items() if count > 1]:
        raise DataError(f"{path} contains two files named {twice[0]}.", hint="Zip it again, with each file once.")
    beside = _beside_tables(names)
    for member in sorted(members, key=lambda member: member.filename):
        if member.is_dir() or _is_hidden(member.filename) or member.filename in beside:
            continue
        if member.flag_bits & 1:
            raise DataError(f"{path} is password-protected.", hint="Unzip it, and choose the files.")
        if Path(member.filename).suffix.lower() in (".gz", ".zip"):
            raise DataError(
                f"{path} contains {member.filename}, itself an archive.", hint="Unzip it, and choose the files."
            )
        found.append(LocalFile(path, kind_by_name(member.filename), stamp, "zip", member.filename))
    if not found:
        raise DataError(f"{path} contains no file with anything in it.", hint="Choose another zip.")
    return found


def _beside_tables(names: Iterable[str]) -> set[str]:
    """Return which files of a zip explain its tables, where there are tables of one kind and nothing else."""
    kinds = {name: kind_by_name(name) for name in names if not name.endswith("/")}
    explaining = {name for name, kind in kinds.items() if kind == "text" and _EXPLAINING.match(Path(name).name)}
    tables = {kinds[name] for name in kinds.keys() - explaining if not _is_hidden(name)}
    return explaining if len(tables) == 1 and "text" not in tables else set()


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in Path(name).parts)


def passed_over(files: list[LocalFile]) -> list[str]:
    """Return the names of files that explain the tables of a zip, and were left out."""
    archives = {file.path: file.stamp for file in files if file.packed == "zip"}
    return sorted(
        name
        for path, stamp in archives.items()
        for name in _beside_tables(member.filename for member in _archive(path, stamp).infolist() if member.file_size)
        if not _is_hidden(name)
    )


@lru_cache(maxsize=2)
def _archive(path: Path, stamp: Stamp) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@lru_cache(maxsize=64)
def _digest(path: Path, stamp: Stamp) -> str:
    digest = hashlib.sha256()
    with _explained(path), path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns)


def _check_growth(path: Path, unpacked: int, packed: int) -> None:
    if unpacked > max(_HARMLESS, _GROWTH * packed):
        raise DataError(
            f"{path} would unpack to more than {_GROWTH} times its size, as no text does.",
            hint="If you trust it, unzip it yourself, and choose the files.",
        )


def _is_glob(source: str) -> bool:
    return any(character in source for character in "*?[")


_MOST_FILES = 20_000


def _walk(root: Path) -> Iterator[Path]:
    """Yield what lies in a folder; unlike a glob, it does not pass over folders that may not be read."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, inner, names in os.walk(root, onerror=refuse):
        inner[:] = [name for name in inner if not name.startswith(".")]
        yield from (Path(folder, name) for name in names)


def _plain_files(root: Path, pattern: str, paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and path.is_file():
            found.append(path)
        if len(found) > _MOST_FILES:
            raise DataError(
                f"data.source: {root / pattern} matches more than {_MOST_FILES:,} files.",
                hint="Choose a folder with fewer, or join them.",
            )
    return sorted(found)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"data.source: there is no file {str(path)!r} (looked in {Path.cwd()}).",
            hint="Give the path of a text file or table, or the name of a built-in dataset.",
        ) from error
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: it can't be unpacked ({error}).", hint="Download it again.") from error
    except EOFError as error:
        raise DataError(f"{path} is cut off: its end is missing.", hint="Download it again.") from error
    except NotImplementedError as error:
        raise DataError(f"{path} uses a compression that Python can't unpack.", hint="Unpack it yourself.") from error
    except OSError as error:
        which = error.filename or path  # of a folder, what lies in it
        raise DataError(f"{which} can't be read: {error.strerror or error}.", hint="Check its permissions.") from error
