"""The beginning of data, read before they are taken: can they be read, and is there anything in them?"""

from __future__ import annotations

from tb_widgets.data.reading.examples import cell_text
from tb_widgets.data.reading.open import Texts, open_data
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec
from tb_widgets.wording import listed

_ROWS = 100  # of a table


def read_beginning(data: DataSpec) -> None:
    """Check that data can be read, as far as their beginning tells.

    Raises
    ------
    DataError
        If they can't, or hold nothing.
    """
    opened = open_data(data)
    if isinstance(opened, Texts):
        next(piece for piece in opened.pieces() if piece.text.strip())  # blanks only are refused at their end
        return
    names = [column.name for column in opened.columns]
    if not any(cell_text(value) for row in opened.first_rows(names, _ROWS) for value in row) and not any(
        cell_text(value) for row in opened.rows(names) for value in row
    ):
        raise DataError(f"All rows of {opened.name} are empty.", hint="Choose a table with text in it.")
    if all(column.kind in ("list", "image", "other") for column in opened.columns):
        held = listed([f"{column.name} ({column.holds})" for column in opened.columns])
        raise DataError(
            f"No column of {opened.name} can be read as a text or a label. It has {held}.",
            hint="Choose a table with a text column; lists and nested values can't be used.",
        )
