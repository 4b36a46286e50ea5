"""A corpus into two files of token ids, in bounded memory, on two threads. Imports no torch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tb_widgets.data.reading.corpus import Corpus, ReadCounts
from tb_widgets.data.reading.split import Span
from tb_widgets.data.tokenizers.make import Tokenizer, chunk_ends
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens

PackProgress = Callable[[float, float], None]
"""Called with the share that is done, 0 to 1, and the speed in millions of characters per second."""

_PARTS = ("train", "validation")
_THREADS = 2  # the encoders leave Python's lock to others most of the time; more threads wait for each other
_JOB = 262_144  # characters that a thread encodes at once
_AHEAD = 2  # jobs that are read before the first of them is written


class _Job(NamedTuple):
    chunks: list[Span]
    share: float
    is_measured: bool
    characters: int


def pack(
    corpus: Corpus,
    tokenizer: Tokenizer,
    folder: Path,
    dtype: str,
    on_progress: PackProgress,
    *,
    on_size: Callable[[int], None] = lambda _size: None,
    on_spans: Callable[[list[Span]], None] = lambda _spans: None,
) -> tuple[ReadCounts, dict[str, int]]:
    """Write ``train.bin`` and ``validation.bin``; return what was seen, and the number of tokens of each.

    The encoder begins afresh wherever a document ends, or a block of training or validation text. Where there are
    several documents, each ends with the special token for that. ``on_size`` is told how many bytes there are, or
    will be in the end where that can be reckoned by now; ``on_spans`` gets what was packed.
    """
    end = SpecialTokens(tokenizer.vocab_size, tokenizer.special).document_end if corpus.has_documents else None
    seen, counts, packed = ReadCounts(), dict.fromkeys(_PARTS, 0), 0
    began = time.perf_counter()

    def encode(job: _Job) -> tuple[_Job, list[bytes]]:
        return job, [_tokens(job.chunks, tokenizer, part == "validation", end, dtype) for part in _PARTS]

    with ExitStack() as stack:
        files = {part: stack.enter_context((folder / f"{part}.bin").open("wb")) for part in _PARTS}
        pool = stack.enter_context(ThreadPoolExecutor(_THREADS))
        for job, found in _in_order(pool, encode, _jobs(corpus, seen)):
            for part, tokens in zip(_PARTS, found, strict=True):
                files[part].write(tokens)
                counts[part] += len(tokens) // np.dtype(dtype).itemsize
            size = sum(counts.values()) * np.dtype(dtype).itemsize
            on_spans(job.chunks)
            packed += sum(len(chunk.text) for chunk in job.chunks)
            # More has been read than is in whole chunks.
            on_size(round(size / packed * job.characters / job.share) if job.is_measured and packed else size)
            on_progress(job.share, job.characters / 1e6 / max(1e-9, time.perf_counter() - began))
    return seen, counts


def _tokens(chunks: list[Span], tokenizer: Tokenizer, held_back: bool, end: int | None, dtype: str) -> bytes:
    chosen = [chunk for chunk in chunks if chunk.held_back == held_back]
    parts = []
    for chunk, ids in zip(chosen, tokenizer.encode_all([chunk.text for chunk in chosen]), strict=True):
        parts.append(ids)
        if end is not None and chunk.closes:
            parts.append(np.array([end]))
    return np.concatenate(parts).astype(dtype).tobytes() if parts else b""


def _in_order(
    pool: ThreadPoolExecutor, encode: Callable[[_Job], tuple[_Job, list[bytes]]], jobs: Iterable[_Job]
) -> Iterator[tuple[_Job, list[bytes]]]:
    """Yield the results of jobs in their order; only a few are under way, so that few are in memory."""
    waiting: deque[Future[tuple[_Job, list[bytes]]]] = deque()
    for job in jobs:
        waiting.append(pool.submit(encode, job))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _jobs(corpus: Corpus, seen: ReadCounts) -> Iterator[_Job]:
    chunks: list[Span] = []
    size = 0
    for chunk in _chunks(corpus.read(seen)):
        chunks.append(chunk)
        size += len(chunk.text)
        if size >= _JOB:
            yield _Job(chunks, seen.share, seen.is_measured, seen.characters)
            chunks, size = [], 0
    yield _Job(chunks, 1.0, True, seen.characters)


def _chunks(spans: Iterable[Span]) -> Iterator[Span]:
    """Cut spans, or join them, into chunks as :func:`tb_widgets.data.tokenizers.make.chunks` cuts a whole text."""
    rest = ""
    for span in spans:
        rest += span.text
        start = 0
        for end in chunk_ends(rest, is_whole=span.closes):
            yield Span(rest[start:end], span.held_back, closes=span.closes and end == len(rest))
            start = end
        rest = rest[start:]
