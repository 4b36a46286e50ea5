"""From a spec to token streams on disk: read, split, make the tokenizer, encode, and remember the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data import cache
from tb_widgets.data.sources import Text, read_text
from tb_widgets.data.split import split
from tb_widgets.data.tokenizers import Tokenizer, load_tokenizer, train_tokenizer
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

Progress = Callable[[str, float], None]

STREAMS = "streams.json"
_NOTE = "note.json"


@dataclass
class PreparedData:
    """A text as numbers.

    Attributes
    ----------
    tokenizer
        What made them.
    train, validation
        Token ids, ``(tokens,)``, memory-mapped uint16 or uint32.
    fingerprint
        SHA-256 over both streams: equal fingerprints mean equal tokens.
    statistics
        ``characters`` of the whole text, ``train_tokens``, ``validation_tokens``, ``vocab_size``,
        ``characters_per_token``.
    """

    tokenizer: Tokenizer
    train: NDArray[Any]
    validation: NDArray[Any]
    fingerprint: str
    statistics: dict[str, Any]


def prepare(
    data: DataSpec,
    tokenizer: TokenizerSpec,
    *,
    cache_dir: Path,
    frozen_tokenizer: Path | None = None,
    on_progress: Progress | None = None,
) -> PreparedData:
    """Turn a text into token streams, or find them in the cache.

    Parameters
    ----------
    data, tokenizer
        Sections of the run spec.
    cache_dir
        Where token files are kept for the next run.
    frozen_tokenizer
        Folder of a tokenizer to use instead of making one: a resumed run keeps its own.
    on_progress
        Called with what is being done and the share that is done, 0 to 1.

    Raises
    ------
    DataError
        If the text can't be read or is too short for the context, the tokenizer can't be made, or the cache can't be
        written.
    """
    report = on_progress or (lambda _message, _share: None)
    report("Reading the text", 0.0)
    text = read_text(data.source)
    if frozen_tokenizer is not None:
        encoder = load_tokenizer(frozen_tokenizer)
    else:
        report("Learning the vocabulary", 0.2)
        encoder = _made_tokenizer(text, data, tokenizer, cache_dir)
    report("Turning text into tokens", 0.5)
    folder = _encoded(text, data, encoder, cache_dir)
    described = json.loads((folder / STREAMS).read_text(encoding="utf-8"))
    prepared = PreparedData(
        tokenizer=encoder,
        train=_stream(folder / "train.bin", described["dtype"]),
        validation=_stream(folder / "validation.bin", described["dtype"]),
        fingerprint=described["fingerprint"],
        statistics=described["statistics"],
    )
    _check_length(prepared, data, text)
    report("The text is ready", 1.0)
    return prepared


def tokenizer_key(text_fingerprint: str, data: DataSpec, tokenizer: TokenizerSpec) -> str:
    """Return the cache's name for a tokenizer made for a text."""
    settings = tokenizer.model_dump() if tokenizer.kind == "bpe" else {"kind": tokenizer.kind}
    return cache.entry_key(what="tokenizer", text=text_fingerprint, held_back=data.validation_fraction, **settings)


def streams_key(text_fingerprint: str, data: DataSpec, tokenizer: Tokenizer) -> str:
    """Return the cache's name for a text encoded by a tokenizer."""
    content = hashlib.sha256(tokenizer.serialized().encode("utf-8")).hexdigest()
    return cache.entry_key(what="streams", text=text_fingerprint, held_back=data.validation_fraction, by=content)


def _made_tokenizer(text: Text, data: DataSpec, spec: TokenizerSpec, cache_dir: Path) -> Tokenizer:
    def build(folder: Path) -> None:
        training, _ = split(text.text, data.validation_fraction)
        made = train_tokenizer(spec, "".join(training))
        made.write(folder)
        (folder / _NOTE).write_text(json.dumps(made.note), encoding="utf-8")

    folder = cache.find_or_build(cache_dir, tokenizer_key(text.fingerprint, data, spec), build)
    made = load_tokenizer(folder)
    made.note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    return made


def _encoded(text: Text, data: DataSpec, tokenizer: Tokenizer, cache_dir: Path) -> Path:
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


def _stream(path: Path, dtype: str) -> NDArray[Any]:
    if path.stat().st_size == 0:  # an empty file can't be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")


def _check_length(prepared: PreparedData, data: DataSpec, text: Text) -> None:
    needed = data.context_length + 1
    for tokens, part, fraction in (
        (prepared.train, "training part", "smaller"),
        (prepared.validation, "held-back part", "larger"),
    ):
        if len(tokens) < needed:
            longest = len(tokens) - 1
            shorter = f"Set data.context_length to at most {longest}, " if longest >= 2 else ""
            raise DataError(
                f"The {part} of {text.name} has {len(tokens):,} tokens, and one context needs {needed:,} "
                f"(data.context_length {data.context_length:,} and the token after it).",
                hint=f"{shorter}{'c' if shorter else 'C'}hoose a longer text, "
                f"or a {fraction} data.validation_fraction.",
            )
