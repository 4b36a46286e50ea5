"""Tokenizers and token files in the cache: made once, found by what they were made of. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tb_widgets.data.batches.packing import PackProgress, pack
from tb_widgets.data.cache.built import built_folder, entry_key
from tb_widgets.data.cache.limit import growth_check
from tb_widgets.data.reading.corpus import Corpus, ReadCounts, text_to_learn_from
from tb_widgets.data.reading.repeated_lines import ValidationLines, copies_note
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.data.tokenizers.make import Tokenizer, load_tokenizer, read_tokenizer_file, train_tokenizer
from tb_widgets.spec import DataSpec, TokenizerSpec

STREAMS = "streams.json"
_NOTE = "note.json"


def made_tokenizer(
    fingerprint: str,
    training_texts: Callable[[], Iterable[str]],
    data: DataSpec,
    spec: TokenizerSpec,
    cache_dir: Path,
    *,
    on_wait: Callable[[], None] = lambda: None,
) -> Tokenizer:
    """Return the tokenizer that a spec asks for, made from training texts if the cache has none for the fingerprint."""
    settings: dict[str, Any] = {"kind": spec.kind}
    if spec.kind in ("bpe", "unigram"):
        settings["vocab_size"] = spec.vocab_size
    if spec.kind == "file":
        settings["file"] = hashlib.sha256(read_tokenizer_file(spec).encode("utf-8")).hexdigest()

    def build(folder: Path) -> None:
        text = text_to_learn_from(spec.kind, training_texts())
        made = train_tokenizer(spec, text)
        made.write(folder)
        (folder / _NOTE).write_text(json.dumps({"note": made.note, "characters": len(text)}), encoding="utf-8")

    key = entry_key(what="tokenizer", text=fingerprint, held_back=data.validation_fraction, **settings)
    folder = built_folder(cache_dir, key, build, on_wait=on_wait)
    made = load_tokenizer(folder)
    noted = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    made.note = noted["note"]
    made.learned_from = noted["characters"] if spec.kind in ("bpe", "unigram") else None
    return made


def encoded_streams(
    corpus: Corpus,
    data: DataSpec,
    tokenizer: Tokenizer,
    cache_dir: Path,
    on_progress: PackProgress,
    *,
    on_wait: Callable[[], None] = lambda: None,
) -> Path:
    """Return the folder with both parts of a text as tokens: ``train.bin``, ``validation.bin``, ``streams.json``."""

    def build(folder: Path) -> None:
        dtype = "<u2" if tokenizer.vocab_size + corpus.has_documents <= 2**16 else "<u4"
        lines = ValidationLines()
        # Equal documents are on one side. What a built-in text repeats, its description says.
        is_told = not corpus.has_documents and not resolve_source(data).is_built_in
        on_spans = lines.note if is_told else lambda _spans: None
        seen, counts = pack(corpus, tokenizer, folder, dtype, on_progress, on_size=growth_check(), on_spans=on_spans)
        statistics: dict[str, Any] = {
            "characters": seen.characters,
            **{f"{part}_tokens": count for part, count in counts.items()},
            "vocab_size": tokenizer.vocab_size,
            "characters_per_token": round(seen.characters / max(1, sum(counts.values())), 3),
        }
        if corpus.has_documents:
            statistics |= {"documents": seen.documents, "held_back_documents": seen.held_back}
            statistics |= {"empty_documents": seen.empty, "documents_in_both_parts": seen.in_both}
        described = {
            "copied": copies_note(lines.copies(corpus.read(ReadCounts()), seen.characters)),
            "dtype": dtype,
            "fingerprint": _digest(folder, dtype, counts),
            "statistics": statistics,
        }
        (folder / STREAMS).write_text(json.dumps(described), encoding="utf-8")

    by = hashlib.sha256(tokenizer.serialized().encode("utf-8")).hexdigest()
    key = entry_key(what="streams", text=corpus.fingerprint, held_back=data.validation_fraction, by=by)
    return built_folder(cache_dir, key, build, on_wait=on_wait)


def _digest(folder: Path, dtype: str, counts: dict[str, int]) -> str:
    digest = hashlib.sha256(dtype.encode())
    for part, count in counts.items():
        digest.update(f"/{part}/{count}/".encode())
        with (folder / f"{part}.bin").open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def read_stream(path: Path, dtype: str) -> NDArray[Any]:
    """Map a file of token ids into memory."""
    if path.stat().st_size == 0:  # an empty file can't be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
