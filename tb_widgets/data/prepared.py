"""From a spec to batches for a task: read, split, make the tokenizer, encode, and remember the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tb_widgets.data.batches.padded import PaddedData, prepare_examples
from tb_widgets.data.batches.pictures import PictureData, prepare_pictures
from tb_widgets.data.batches.prepared_data import PreparedData
from tb_widgets.data.batches.streams import StreamData, prepare_streams
from tb_widgets.data.reading.columns import learns_from_running_text
from tb_widgets.data.sources.builtin import check_serves
from tb_widgets.spec import DataSpec, Task, TokenizerSpec

PrepareProgress = Callable[[str, float], None]

__all__ = ["PaddedData", "PictureData", "PreparedData", "StreamData", "prepare"]


def prepare(
    data: DataSpec,
    tokenizer: TokenizerSpec,
    *,
    task: Task = "causal-lm",
    image: tuple[int, int, int] | None = None,
    cache_dir: Path,
    frozen_tokenizer: Path | None = None,
    on_progress: PrepareProgress | None = None,
) -> PreparedData:
    """Turn a source into what a task trains on, or find it in the cache.

    Parameters
    ----------
    data, tokenizer
        Sections of the run spec.
    task
        What the model is built for.
    image
        ``(C, H, W)`` that the model takes, for images.
    cache_dir
        Where token files are kept for the next run.
    frozen_tokenizer
        Folder of a tokenizer to use instead of making one: a resumed run keeps its own.
    on_progress
        Called with what is being done and the share that is done, 0 to 1.

    Raises
    ------
    DataError
        If the source can't serve the task, can't be read or is too short for the context, the tokenizer can't be
        made, or the cache can't be written.
    """
    report = on_progress or (lambda _message, _share: None)
    check_serves(data.source, task)
    if task == "vision-classification":
        return prepare_pictures(data, image=image, report=report)
    prepare_texts = prepare_streams if learns_from_running_text(data, task) else prepare_examples
    return prepare_texts(
        data, tokenizer, task=task, cache_dir=cache_dir, frozen_tokenizer=frozen_tokenizer, report=report
    )
