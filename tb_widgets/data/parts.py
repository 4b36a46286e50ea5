"""Which of several files are trained on, and which are held back, by what they and their folders are called."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from tb_widgets.data.formats.files import LocalFile
from tb_widgets.errors import DataError

TEST = "test"


class Parts(NamedTuple):
    """Files to train on, files to hold back, and test files, which serve neither where others are held back."""

    training: list[LocalFile]
    held_back: list[LocalFile]
    left_out: list[LocalFile]


def set_apart(files: Sequence[LocalFile], part: str) -> Parts:
    """Divide files by whether their names, or those of the folders that set them apart, say which part they are.

    Of ``wiki.valid.txt`` and ``valid/wiki.txt`` both are the part ``valid``.

    Raises
    ------
    DataError
        If no file is the part that is held back, or none is left to train on.
    """
    paths = [file.path / file.member for file in files]
    common = os.path.commonpath([path.parent for path in paths])
    parts = Parts([], [], [])
    for file, path in zip(files, paths, strict=True):
        steps = [step.lower() for step in path.relative_to(common).parts]
        names = {*steps, *(word for step in steps for word in re.split(r"[-_. ]", step))}
        chosen = parts.held_back if part.lower() in names else parts.left_out if TEST in names else parts.training
        chosen.append(file)
    if not parts.held_back or not parts.training:
        raise DataError(
            f"data.validation_split: {'every file' if parts.held_back else 'no file'} is named {part}.",
            hint="Give a word of the file's name, or its folder; empty keeps a fraction for validation.",
        )
    return parts
