"""What a form shows about data before a run: quick, without torch, and exact where the cache knows."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from tb_widgets.data import cache
from tb_widgets.data.encoded import STREAMS, streams_key, tokenizer_key
from tb_widgets.data.examples import find_examples
from tb_widgets.data.sources import TEXT_TASKS, decode, find_file, is_built_in, read_text, tasks_of
from tb_widgets.data.tokenizers import load_tokenizer
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

# Larger files are judged by their beginning: a form must not wait for a gigabyte.
_READ_WHOLE = 32_000_000
_SAMPLE = 65536
_FIRST_LINES = 5


@dataclass(frozen=True)
class DataSummary:
    """A text in a few figures.

    Attributes
    ----------
    name
        Built-in source or file name.
    characters
        Length of the text; an estimate for files above 32 MB.
    tokens
        Training and held-back tokens together; exact if ``exact``, else an estimate.
    exact
        Whether the tokens were counted.
    first_lines
        The first lines that are not empty, cut at 200 characters; of examples, each with its answer.
    examples
        How many labelled lines or pairs there are; ``None`` for a plain text, and for images, which are drawn when
        they are asked for and have no characters.
    """

    name: str
    characters: int
    tokens: int
    exact: bool
    first_lines: tuple[str, ...]
    examples: int | None = None


def describe_data(data: DataSpec, tokenizer: TokenizerSpec, *, cache_dir: Path | None = None) -> DataSummary:
    """Summarise the data that a spec names.

    Parameters
    ----------
    data, tokenizer
        Sections of the run spec.
    cache_dir
        Where earlier runs left token files; their count is exact.

    Raises
    ------
    DataError
        If the text is missing, unreadable or not text.
    """
    if set(tasks_of(data.source)).isdisjoint(TEXT_TASKS):
        return _of_examples(data, tokenizer)
    if not is_built_in(data.source):
        path = find_file(data.source)
        size = path.stat().st_size
        if size > _READ_WHOLE:
            return _from_sample(path, size, tokenizer)
    text = read_text(data.source)
    counted = _counted(text.fingerprint, data, tokenizer, cache_dir) if cache_dir is not None else None
    return DataSummary(
        name=text.name,
        characters=len(text.text),
        tokens=_estimate(text.text, tokenizer) if counted is None else counted,
        exact=counted is not None,
        first_lines=_first_lines(text.text[:_SAMPLE]),
    )


def _of_examples(data: DataSpec, tokenizer: TokenizerSpec) -> DataSummary:
    (task, *_) = tasks_of(data.source)
    if task == "vision-classification":
        return DataSummary(name=data.source, characters=0, tokens=0, exact=True, first_lines=())
    found = find_examples(data, task)
    examples = [example for example in found.read() if example is not None]
    lines = [f"{example.text} → {example.answer}" for example in examples]
    texts = "\n".join(lines if not found.classes else [example.text for example in examples])
    return DataSummary(
        name=data.source,
        characters=len(texts),
        tokens=_estimate(texts, tokenizer),
        exact=False,
        first_lines=_first_lines("\n".join(lines[:_FIRST_LINES])),
        examples=len(lines),
    )


def _from_sample(path: Path, size: int, tokenizer: TokenizerSpec) -> DataSummary:
    try:
        with path.open("rb") as file:
            raw = file.read(_SAMPLE)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    # The sample may end inside a character; a line break never does.
    sample = decode(raw[: raw.rfind(b"\n") + 1] or raw, path)
    share = size / max(1, len(sample.encode("utf-8")))
    return DataSummary(
        name=path.name,
        characters=round(len(sample) * share),
        tokens=round(_estimate(sample, tokenizer) * share),
        exact=False,
        first_lines=_first_lines(sample),
    )


def _counted(text_fingerprint: str, data: DataSpec, spec: TokenizerSpec, cache_dir: Path) -> int | None:
    folder = cache.find(cache_dir, tokenizer_key(text_fingerprint, data, spec))
    if folder is None:
        return None
    streams = cache.find(cache_dir, streams_key(text_fingerprint, data, load_tokenizer(folder)))
    if streams is None:
        return None
    statistics = json.loads((streams / STREAMS).read_text(encoding="utf-8"))["statistics"]
    return int(statistics["train_tokens"] + statistics["validation_tokens"])


def _estimate(text: str, spec: TokenizerSpec) -> int:
    if spec.kind == "char":
        return len(text)
    size = len(text.encode("utf-8", "replace"))
    if spec.kind == "byte":
        return size
    # Measured on python-docs: 2.9 bytes per piece at a vocabulary of 1,024, 3.6 at 2,048.
    return round(size / (1.0 + 0.9 * math.log2(max(spec.vocab_size, 256) / 256)))


def _first_lines(text: str) -> tuple[str, ...]:
    lines = (line.strip()[:200] for line in text.splitlines())
    return tuple(line for line in lines if line)[:_FIRST_LINES]
