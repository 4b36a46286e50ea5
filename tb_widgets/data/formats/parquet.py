"""Rows out of parquet files, a thousand at a time, and the class names that datasets of the Hub write into them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from tb_widgets.data.formats.files import LocalFile
from tb_widgets.data.formats.values import Column, Part, ValueKind, kind_of
from tb_widgets.errors import DataError

_ROWS = 1000
_FLOATS = 8  # columns of them that are looked into; tables with more are measurements


def open_parquet(file: LocalFile) -> Part:
    """Open a parquet file.

    Raises
    ------
    DataError
        If it is none or is damaged, or has two columns of one name.
    """
    from pyarrow import types

    with _opened(file) as table:
        schema = table.schema_arrow
        classes = _class_names(schema.metadata or {})
        columns = []
        for entry in schema:
            if _is_image(entry.type):
                columns.append(Column(entry.name, "image"))
            elif types.is_struct(entry.type):
                columns += [Column(f"{entry.name}.{inner.name}", _kind(inner.type)) for inner in entry.type]
            else:
                columns.append(Column(entry.name, _kind(entry.type), classes.get(entry.name, ())))
        twice = next((name for name, count in Counter(column.name for column in columns).items() if count > 1), None)
        if twice is not None:
            raise DataError(f"{file} has two columns named {twice!r}.", hint="Rename one of them, and save it again.")
        whole = _whole_floats(table, schema)
        columns = [column._replace(kind="whole") if column.name in whole else column for column in columns]
        return Part(tuple(columns), partial(_rows, file), table.metadata.num_rows)


def _rows(file: LocalFile, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    with _opened(file) as table:
        top = set(table.schema_arrow.names)
        for batch in table.iter_batches(_ROWS, columns=list(names)):
            columns = [_values(batch, name, top, file) for name in names]
            yield from zip(*columns, strict=True)


def _whole_floats(table: Any, schema: Any) -> set[str]:
    """Return the columns of floats that hold whole numbers in the first rows: what pandas makes of missing labels."""
    from pyarrow import types

    names = [entry.name for entry in schema if types.is_floating(entry.type)]
    if not 0 < len(names) <= _FLOATS:
        return set()
    batch = next(table.iter_batches(_ROWS, columns=names), None)
    if batch is None:
        return set()
    return {
        name for name in names if {kind_of(value) for value in batch.column(name).to_pylist()} - {None} == {"whole"}
    }


@contextmanager
def _opened(file: LocalFile) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with file.seekable() as stream:
        try:
            with pq.ParquetFile(stream, pre_buffer=False) as table:
                yield table
        except (pa.ArrowException, OSError, ValueError) as error:  # names and texts may be no UTF-8
            raise DataError(
                f"{file} is damaged, or not a parquet file ({str(error).partition(chr(10))[0].rstrip('.')}).",
                hint="Download or save it again.",
            ) from error
    file.check_unchanged()


def _values(batch: Any, name: str, top: set[str], file: LocalFile) -> list[Any]:
    import pyarrow.compute as pc

    if name in top:
        column = batch.column(name)
    else:
        outer = max((other for other in top if name.startswith(f"{other}.")), key=len)
        column = pc.struct_field(batch.column(outer), name.removeprefix(f"{outer}."))
    try:
        found: list[Any] = column.to_pylist()
    except OverflowError as error:
        raise DataError(
            f"{file}: column {name!r} contains an out-of-range time ({error}).",
            hint="Save the file again without this column, or with its values as text.",
        ) from error
    return found


def _is_image(kind: Any) -> bool:
    from pyarrow import types

    return types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}


def _kind(kind: Any) -> ValueKind:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_boolean(kind):
        return "truth"
    if types.is_integer(kind):
        return "whole"
    if types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    return "list" if types.is_list(kind) or types.is_large_list(kind) else "other"


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the class names of columns, which the ``datasets`` library writes into the file's own description."""
    try:
        found: Any = json.loads(metadata.get(b"huggingface", b"{}"))
    except (ValueError, RecursionError):  # they are a help, and the table can be read without them
        return {}
    for name in ("info", "features"):
        found = found.get(name) if isinstance(found, dict) else None
    features = found if isinstance(found, dict) else {}
    return {
        name: tuple(str(each) for each in feature["names"])
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
    }
