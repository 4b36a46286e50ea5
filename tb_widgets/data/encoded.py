"""Tokenizers and token files in the cache: made once, found by what they were made of. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data import cache
from tb_widgets.data.sources import Text
from tb_widgets.data.split import split
from tb_widgets.data.tokenizers import Tokenizer, load_tokenizer, read_tokenizer_file, train_tokenizer
from tb_widgets.spec import DataSpec, TokenizerSpec

STREAMS = "streams.json"
_NOTE = "note.json"


def tokenizer_key(text_fingerprint: str, data: DataSpec, tokenizer: TokenizerSpec) -> str:
    """Return the cache's name for a tokenizer made for a text."""
    settings: dict[str, Any] = {"kind": tokenizer.kind}
    if tokenizer.kind in ("bpe", "unigram"):
        settings["vocab_size"] = tokenizer.vocab_size
    if tokenizer.kind == "file":
        settings["file"] = hashlib.sha256(read_tokenizer_file(tokenizer).encode("utf-8")).hexdigest()
    return cache.entry_key(what="tokenizer", text=text_fingerprint, held_back=data.validation_fraction, **settings)


def streams_key(text_fingerprint: str, data: DataSpec, tokenizer: Tokenizer) -> str:
    """Return the cache's name for a text encoded by a tokenizer."""
    content = hashlib.sha256(tokenizer.serialized().encode("utf-8")).hexdigest()
    return cache.entry_key(what="streams", text=text_fingerprint, held_back=data.validation_fraction, by=content)


def made_tokenizer(key: str, spec: TokenizerSpec, training_text: Callable[[], str], cache_dir: Path) -> Tokenizer:
    """Return the tokenizer that the cache holds under a key, made from the training text if it is not there."""

    def build(folder: Path) -> None:
        made = train_tokenizer(spec, training_text())
        made.write(folder)
        (folder / _NOTE).write_text(json.dumps(made.note), encoding="utf-8")

    folder = cache.find_or_build(cache_dir, key, build)
    made = load_tokenizer(folder)
    made.note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    return made


def encoded_streams(text: Text, data: DataSpec, tokenizer: Tokenizer, cache_dir: Path) -> Path:
    """Return the folder with both parts of a text as tokens: ``train.bin``, ``validation.bin``, ``streams.json``."""

    def build(folder: Path) -> None:
        training, held_back = split(text.text, data.validation_fraction)
        dtype = "<u2" if tokenizer.vocab_size <= 2**16 else "<u4"
        counts = {}
        digest = hashlib.sha256(dtype.encode())
        for name, pieces in (("train", training), ("validation", held_back)):
            tokens = np.concatenate([tokenizer.encode(piece) for piece in pieces]).astype(dtype)
            counts[f"{name}_tokens"] = len(tokens)
            digest.update(f"/{name}/{len(tokens)}/".encode())
            digest.update(tokens.data)
            (folder / f"{name}.bin").write_bytes(tokens.data)
        total = sum(counts.values())
        statistics = {
            "characters": len(text.text),
            **counts,
            "vocab_size": tokenizer.vocab_size,
            "characters_per_token": round(len(text.text) / max(1, total), 3),
        }
        described = {"dtype": dtype, "fingerprint": digest.hexdigest(), "statistics": statistics}
        (folder / STREAMS).write_text(json.dumps(described), encoding="utf-8")

    return cache.find_or_build(cache_dir, streams_key(text.fingerprint, data, tokenizer), build)


def read_stream(path: Path, dtype: str) -> NDArray[Any]:
    """Map a file of token ids into memory."""
    if path.stat().st_size == 0:  # an empty file can't be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
