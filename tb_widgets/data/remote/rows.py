"""From a dataset's own files to parquet files of ours. Runs in the process that fetches."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tb_widgets.data.reading.open import Table, open_data
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec
from tb_widgets.wording import size_in_words

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import DatasetBuilder

_ROWS = 1000  # looked at together; what a limit leaves is a multiple of it
GROUP = 32_000_000  # bytes of a row group
_SHOWN_ROWS, _SHOWN = 5, 300  # rows, characters of a value
Report = Callable[[str, float], None]


class Written(NamedTuple):
    """How many rows were written, and whether those are all."""

    rows: int
    whole: bool


def take_over(builder: DatasetBuilder, split: str, files: list[Path], folder: Path, *, report: Report) -> Written:
    """Move or convert the downloaded files of a split.

    Raises
    ------
    DataError
        If there are none, or the files can't be read.
    """
    from datasets.data_files import DataFilesDict, DataFilesList

    if _are_as_we_want_them(builder, files):
        return Written(_move(files, folder), whole=True)
    texts = [str(file) for file in files]
    builder.config.data_files = DataFilesDict({split: DataFilesList(texts, [("", "")] * len(texts))})
    return write_rows(builder, split, folder, report=report)


def _are_as_we_want_them(builder: DatasetBuilder, files: list[Path]) -> bool:
    """Tell whether the files are parquet, and know the names of their classes if the dataset has any."""
    import pyarrow.parquet as pq

    if type(builder).__module__.rpartition(".")[2] != "parquet":
        return False
    if builder.info.features is None:
        return True
    return all(b"huggingface" in (pq.read_schema(file).metadata or {}) for file in files)


def _move(files: list[Path], folder: Path) -> int:
    import pyarrow.parquet as pq

    rows = [pq.read_metadata(file).num_rows for file in files]
    if not sum(rows):
        raise DataError("The split has no rows.", hint="Choose another split.")
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.move(file, folder / f"part-{number:05d}.parquet")
    return sum(rows)


def write_rows(
    builder: DatasetBuilder, split: str, folder: Path, *, text_limit: int | None = None, report: Report
) -> Written:
    """Write the rows of a split as they come.

    Parameters
    ----------
    text_limit
        Bytes of text after which it is enough, counted in the column that has most.

    Raises
    ------
    DataError
        If there are no rows, or a column changes its kind on the way.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = _tables(builder, split)
    first = next(tables, None)
    if first is None:
        raise DataError("The split has no rows.", hint="Choose another split.")
    schema = _schema(builder, first)
    folder.mkdir(parents=True)
    rows, waiting, whole, texts = 0, [], True, dict.fromkeys(_text_paths(schema), 0)
    with pq.ParquetWriter(folder / "part-00000.parquet", schema) as writer:
        table: pa.Table | None = first
        while table is not None:
            try:
                table = table.cast(schema)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
                raise DataError(
                    f"The dataset changes its columns somewhere after row {rows:,}: {error}.",
                    hint="Download the files, fix the column, and give their path.",
                ) from error
            waiting.append(table)
            rows += table.num_rows
            for path in texts:
                texts[path] += _text_bytes(table, path)
            if sum(part.nbytes for part in waiting) > GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
            most = max(texts.values(), default=0)
            share = most / text_limit if text_limit else 0.0
            report(f"Reading rows: {rows:,}, {size_in_words(most)} of text", share)
            table = next(tables, None)
            whole = table is None
            if text_limit is not None and most >= text_limit:
                break
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
    return Written(rows, whole)


def beginning(builder: DatasetBuilder, split: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the columns and the first rows of a split, as a copy of it would show them."""
    import pyarrow.parquet as pq

    table = next(iter(builder.as_streaming_dataset(split).with_format("arrow").iter(batch_size=_SHOWN_ROWS)), None)
    if table is None:
        return [], []
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table.cast(_schema(builder, table)), Path(folder) / "beginning.parquet")
        copy = open_data(DataSpec(source=str(Path(folder) / "beginning.parquet")))
        assert isinstance(copy, Table)  # noqa: S101  (for the type checker)
        shown = [column.name for column in copy.columns if column.kind not in ("image", "other")]
        rows = [dict(zip(shown, row, strict=True)) for row in copy.first_rows(shown, _SHOWN_ROWS)]
    columns = [column._asdict() for column in copy.columns]
    return columns, [{name: str(value)[:_SHOWN] for name, value in row.items()} for row in rows]


def _tables(builder: DatasetBuilder, split: str) -> Iterator[pa.Table]:
    yield from builder.as_streaming_dataset(split).with_format("arrow").iter(batch_size=_ROWS)


def _schema(builder: DatasetBuilder, table: pa.Table) -> pa.Schema:
    """Return the columns with the names of their classes: of the dataset's card, or as they are in its files."""
    from datasets import Features

    return (builder.info.features or Features.from_arrow_schema(table.schema)).arrow_schema


def _text_paths(schema: pa.Schema) -> list[tuple[str, ...]]:
    import pyarrow as pa

    def paths(fields: Any, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for field in fields:
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
                yield (*before, field.name)
            elif pa.types.is_struct(field.type):
                yield from paths(field.type, (*before, field.name))

    return list(paths(schema, ()))


def _text_bytes(table: pa.Table, path: tuple[str, ...]) -> int:
    import pyarrow.compute as pc

    column = table.column(path[0])
    for name in path[1:]:
        column = pc.struct_field(column, name)
    return pc.sum(pc.binary_length(column)).as_py() or 0
