"""A text becomes tokens several times as fast as `datasets.map` makes them, and faster than the library alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from tb_widgets.data.batches.packing import pack
from tb_widgets.data.batches.token_files import made_tokenizer
from tb_widgets.data.reading.corpus import ReadCounts, open_corpus
from tb_widgets.data.sources.builtin import read_text
from tb_widgets.data.tokenizers.make import Tokenizer, chunks
from tb_widgets.spec import DataSpec, TokenizerSpec
from tests.bench.figure import Figure

SIZE = 100_000_000
ROUNDS = 3
DTYPE = "<u2"

WHOLE = r"""
import re, sys, time
from pathlib import Path
from tb_widgets.data.prepared import prepare
from tb_widgets.spec import DataSpec, TokenizerSpec
began = time.perf_counter()
found = prepare(DataSpec(source=sys.argv[1]), TokenizerSpec(vocab_size=4096), cache_dir=Path(sys.argv[2]))
# Not ru_maxrss, which begins with what the parent had.
most = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
print(time.perf_counter() - began, most / 1024)
"""


def measure(folder: Path) -> Iterator[Figure]:
    path = _written(folder / "text.txt", SIZE)
    megabytes = path.stat().st_size / 1e6
    for kind in ("byte", "char", "bpe"):
        data = DataSpec(source=str(path))
        corpus = open_corpus(data, "causal-lm")
        tokenizer = made_tokenizer(
            corpus.fingerprint,
            corpus.training_texts,
            data,
            TokenizerSpec(kind=kind, vocab_size=4096),
            folder / "cache",
        )
        rounds = [_side_by_side(data, tokenizer, folder, others=kind == "bpe") for _ in range(ROUNDS)]
        speed = megabytes / min(times[0] for times in rounds)
        how = f"{megabytes:.0f} MB of Python source, {os.cpu_count()} cores, best of {ROUNDS}"
        if kind == "bpe":
            bounds = (("datasets.map", 4.0), ("encode_batch_fast alone", 1.0))
            for place, (name, bound) in enumerate(bounds, start=1):
                ratio = median(times[place] / times[0] for times in rounds)
                theirs = megabytes / min(times[place] for times in rounds)
                told = f"{speed:.1f} MB/s against {theirs:.1f}, the same tokens; {how}"
                yield Figure(f"packing BPE against {name}", ratio, "times", "at least", bound, told)
        else:
            yield Figure(f"packing {kind}", speed, "MB/s", "at least", 50.0, how)
    long = _written(folder / "long.txt", 10 * SIZE)
    done = subprocess.run(
        [sys.executable, "-c", WHOLE, str(long), str(folder / "cache")], capture_output=True, text=True, check=True
    )
    seconds, memory = map(float, done.stdout.split())
    how = "1 GB of Python source to ready batches, vocabulary learned on the way"
    yield Figure("packing 1 GB, memory", memory, "MB", "at most", 600.0, how)
    yield Figure("packing 1 GB, time", seconds, "s", "at most", 60.0, how)


def _written(path: Path, size: int) -> Path:
    """Write Python source of so many bytes, every copy with names of its own, so that there are always new words."""
    source = read_text("python-source")
    with path.open("w", encoding="utf-8") as file:
        number = 0
        while file.tell() < size:
            file.write(source.replace("self", f"self{number}").replace("th", f"th{number}"))
            number += 1
    return path


def _side_by_side(data: DataSpec, tokenizer: Tokenizer, folder: Path, *, others: bool) -> list[float]:
    """Return our seconds and, on request, those of the others; the tokens must be the same."""
    began = time.perf_counter()
    pack(open_corpus(data, "causal-lm"), tokenizer, folder, DTYPE, lambda _share, _speed: None)
    ours = time.perf_counter() - began
    if not others:
        return [ours]
    texts = [chunk for block in _training_blocks(data) for chunk in chunks(block)]
    seconds = [ours]
    for encoded in (_mapped, _encoded):
        taken, found = encoded(texts, tokenizer)
        assert np.array_equal(found, np.fromfile(folder / "train.bin", dtype=DTYPE))
        # They had the training part to do, we both; and to read and write nothing.
        seconds.append(taken / (1 - data.validation_fraction))
    return seconds


def _training_blocks(data: DataSpec) -> Iterator[str]:
    block: list[str] = []
    for span in open_corpus(data, "causal-lm").read(ReadCounts()):
        if not span.held_back:
            block.append(span.text)
            if span.closes:
                yield "".join(block)
                block = []


def _mapped(texts: list[str], tokenizer: Tokenizer) -> tuple[float, np.ndarray]:
    """Return the seconds of ``datasets.map`` with batches for the library's encoder, and the tokens."""
    import datasets
    import tokenizers

    core = tokenizers.Tokenizer.from_str(tokenizer.serialized())

    def encode(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {"ids": [found.ids for found in core.encode_batch_fast(rows["text"], add_special_tokens=False)]}

    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_dict({"text": texts})
    began = time.perf_counter()
    mapped = rows.map(encode, batched=True, remove_columns=["text"], new_fingerprint=f"packed{time.time_ns()}")
    seconds = time.perf_counter() - began
    return seconds, np.concatenate([np.asarray(ids, dtype=DTYPE) for ids in mapped.with_format("numpy")["ids"]])


def _encoded(texts: list[str], tokenizer: Tokenizer) -> tuple[float, np.ndarray]:
    """Return the seconds of the library's encoder alone, on all cores, from texts to ids in memory, and the tokens."""
    import tokenizers

    core = tokenizers.Tokenizer.from_str(tokenizer.serialized())
    found: list[np.ndarray] = []
    began = time.perf_counter()
    for first in range(0, len(texts), 1000):
        encodings = core.encode_batch_fast(texts[first : first + 1000], add_special_tokens=False)
        found += [np.asarray(encoding.ids, dtype=DTYPE) for encoding in encodings]
    return time.perf_counter() - began, np.concatenate(found)
