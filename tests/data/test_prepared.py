import errno
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from tb_widgets.data.batches.windows import TrainBatches
from tb_widgets.data.cache import built as cache
from tb_widgets.data.cache.limit import lock_of
from tb_widgets.data.formats.files import LocalFile
from tb_widgets.data.prepared import prepare
from tb_widgets.data.sources.builtin import read_text
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec
from tests.data.test_split import blocks

SMALL = TokenizerSpec(kind="bpe", vocab_size=512)


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(read_text("python-docs")[:80_000], encoding="utf-8", newline="")
    return path


def test_training_windows_hold_no_held_back_text(tmp_path: Path):
    # Every validation character is made one that occurs nowhere else.
    text = read_text("python-docs")[:80_000]
    training, held_back = blocks(text, 0.2)
    marked = "".join(
        a + "".join("\n" if c == "\n" else "§" for c in b) for a, b in zip(training, held_back, strict=True)
    )
    (tmp_path / "marked.txt").write_text(marked, encoding="utf-8", newline="")
    data = DataSpec(source=str(tmp_path / "marked.txt"), context_length=32, validation_fraction=0.2)
    for kind in ("char", "bpe"):
        prepared = prepare(data, TokenizerSpec(kind=kind, vocab_size=512), cache_dir=tmp_path / "cache")
        batches = TrainBatches(
            prepared.train, context_length=32, batch_size=16, seed=1, fingerprint=prepared.fingerprint
        )
        for step in range(int(batches.epoch_steps * 2) + 1):
            assert "§" not in prepared.tokenizer.decode(batches.batch(step).flatten().numpy())
        shown = prepared.tokenizer.decode(prepared.validation)
        # The tokenizer learned nothing from the validation part: a char tokenizer does not even know its character.
        assert ("\ufffd" if kind == "char" else "§") in shown


@pytest.mark.parametrize("kind", ["byte", "char", "bpe"])
def test_streams_are_the_text_and_the_cache_gives_the_same(tmp_path: Path, text_file: Path, kind: str):
    data = DataSpec(source=str(text_file), context_length=32)
    spec = TokenizerSpec(kind=kind, vocab_size=512)
    said = []
    first = prepare(data, spec, cache_dir=tmp_path / "c", on_progress=lambda words, share: said.append((words, share)))
    text = text_file.read_text(encoding="utf-8")
    training, _ = blocks(text, 0.1)
    assert first.tokenizer.decode(first.train) == "".join(training)
    assert isinstance(first.train, np.memmap)
    assert first.train.dtype == np.uint16
    assert first.statistics["characters"] == len(text)
    assert first.statistics["train_tokens"] == len(first.train)
    assert first.statistics["validation_tokens"] == len(first.validation)
    assert said[-1] == ("The text is ready", 1.0)
    assert [share for _, share in said] == sorted(share for _, share in said)

    again = prepare(data, spec, cache_dir=tmp_path / "c")
    fresh = prepare(data, spec, cache_dir=tmp_path / "d")
    for other in (again, fresh):
        assert other.fingerprint == first.fingerprint
        assert (other.train == first.train).all()
        assert (other.validation == first.validation).all()


def test_fingerprint_changes_with_anything_that_changes_tokens(tmp_path: Path, text_file: Path):
    def fingerprint(data, spec):
        return prepare(DataSpec(context_length=8, **data), spec, cache_dir=tmp_path / "cache").fingerprint

    data = {"source": str(text_file)}
    prints = [
        fingerprint(data, SMALL),
        fingerprint(data, TokenizerSpec(kind="bpe", vocab_size=600)),
        fingerprint(data, TokenizerSpec(kind="byte")),
        fingerprint({**data, "validation_fraction": 0.2}, SMALL),
    ]
    text_file.write_text(text_file.read_text(encoding="utf-8").replace("statement", "Statement"), encoding="utf-8")
    prints.append(fingerprint(data, SMALL))
    prints.append(fingerprint(data, TokenizerSpec(kind="byte")))  # as many tokens as before, and others
    assert len(set(prints)) == 6


def test_a_resumed_run_keeps_its_tokenizer(tmp_path: Path, text_file: Path):
    data = DataSpec(source=str(text_file), context_length=32)
    first = prepare(data, SMALL, cache_dir=tmp_path / "cache")
    first.tokenizer.save(tmp_path / "frozen")
    # Even where the spec or the library would now make another one.
    resumed = prepare(
        data, TokenizerSpec(kind="byte"), cache_dir=tmp_path / "cache", frozen_tokenizer=tmp_path / "frozen"
    )
    assert resumed.tokenizer.kind == "bpe"
    assert resumed.fingerprint == first.fingerprint


def test_the_note_about_a_small_vocabulary_survives_the_cache(tmp_path: Path):
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 200)
    data = DataSpec(source=str(tmp_path / "text.txt"), context_length=8)
    for _ in range(2):
        prepared = prepare(data, TokenizerSpec(vocab_size=2048), cache_dir=tmp_path / "cache")
        assert "you asked for 2,048" in prepared.tokenizer.note


def test_large_vocabularies_are_stored_in_32_bits(tmp_path: Path):
    (tmp_path / "text.txt").write_text("".join(map(chr, range(0x10000, 0x10000 + 80_000))), encoding="utf-8")
    data = DataSpec(source=str(tmp_path / "text.txt"), context_length=8)
    prepared = prepare(data, TokenizerSpec(kind="char"), cache_dir=tmp_path / "cache")
    assert prepared.train.dtype == np.uint32
    assert prepared.train.max() > 2**16


def test_short_texts_say_how_many_tokens_there_are_and_how_many_are_needed(tmp_path: Path):
    def refused(length, **data):
        (tmp_path / "short.txt").write_text("x" * length)
        spec = DataSpec(source=str(tmp_path / "short.txt"), **data)
        with pytest.raises(DataError) as caught:
            prepare(spec, TokenizerSpec(kind="byte"), cache_dir=tmp_path / "cache")
        return str(caught.value)

    message = refused(1000, context_length=128)
    assert "the validation set of short.txt has 100 tokens, but one context needs 129" in message
    assert (
        "Set data.context_length to at most 99, choose a longer text, or a larger data.validation_fraction" in message
    )
    message = refused(100, context_length=64, validation_fraction=0.5)
    assert "the training set of short.txt has 50 tokens, but one context needs 65" in message
    assert "at most 49, choose a longer text, or a smaller data.validation_fraction" in message
    message = refused(2, context_length=8)
    assert "has 2 tokens" in message
    assert ". Choose a longer text" in message


def test_half_built_and_damaged_entries_are_never_used(tmp_path: Path, text_file: Path, monkeypatch):
    data = DataSpec(source=str(text_file), context_length=32)
    cache_dir = tmp_path / "cache"
    monkeypatch.setattr(cache, "sync_file", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare(data, SMALL, cache_dir=cache_dir)
    assert [path.name for path in cache_dir.iterdir() if path.is_dir()] == []
    monkeypatch.undo()
    whole = prepare(data, SMALL, cache_dir=cache_dir)
    expected = whole.train.copy()
    del whole
    (file,) = cache_dir.glob("*/train.bin")
    file.write_bytes(file.read_bytes()[:-10])
    assert (prepare(data, SMALL, cache_dir=cache_dir).train == expected).all()
    file.unlink()
    assert (prepare(data, SMALL, cache_dir=cache_dir).train == expected).all()


def _prepare_slowly(source, cache_dir, counts):
    original, built = cache._build, []

    def build(folder, fill):
        built.append(folder.name)
        time.sleep(0.2)
        return original(folder, fill)

    cache._build = build
    prepared = prepare(DataSpec(source=source, context_length=32), SMALL, cache_dir=Path(cache_dir))
    counts.put((prepared.fingerprint, len(built)))


def test_two_runs_may_build_at_once_and_each_entry_is_built_once(tmp_path: Path, text_file: Path):
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    counts = context.Queue()
    processes = [
        context.Process(target=_prepare_slowly, args=(str(text_file), str(tmp_path / "cache"), counts))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    found = [counts.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    assert len({fingerprint for fingerprint, _ in found}) == 1
    assert sum(built for _, built in found) == 2  # one tokenizer, one pair of streams


def test_a_cache_that_can_not_be_written_and_a_full_disk(tmp_path: Path, text_file: Path, monkeypatch):
    data = DataSpec(source=str(text_file), context_length=32)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file.cache is not a folder.*set TB_CACHE_DIR to a folder"):
        prepare(data, SMALL, cache_dir=tmp_path / "file" / "cache")

    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(cache, "sync_file", full)
    with pytest.raises(DataError, match=r"The disk that holds .*cache is full\. Make room, or set TB_CACHE_DIR"):
        prepare(data, SMALL, cache_dir=tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(("source", "task"), [("python-docs", "causal-lm"), ("reversed-words", "seq2seq")])
def test_who_waits_for_another_run_says_so(tmp_path: Path, source, task):
    """Another run prepares the same, and has not done so yet."""
    data, spec = DataSpec(source=source, context_length=64), TokenizerSpec(kind="byte")
    prepare(data, spec, task=task, cache_dir=tmp_path)
    locks = [FileLock(lock_of(folder)) for folder in tmp_path.iterdir() if folder.is_dir()]
    for folder in [*tmp_path.iterdir()]:
        if folder.is_dir():
            shutil.rmtree(folder)
    said = []

    def report(words, share):
        said.append(words)
        if words.startswith("Waiting for another run"):
            for lock in locks:
                lock.release()

    for lock in locks:
        lock.acquire()
    assert prepare(data, spec, task=task, cache_dir=tmp_path, on_progress=report)
    assert "Waiting for another run to prepare the same text" in said


@pytest.mark.parametrize("form", ["one text", "texts", "table", "pairs"])
def test_data_are_read_no_more_often_than_needed(tmp_path, monkeypatch, form):
    """Counted in openings of a file: encoding, fingerprint, vocabulary, tokens, and lines that are repeated."""
    sentences = [f"The sentence of the number {n}, which is {n * n} if it is squared.\n" for n in range(3000)]
    (tmp_path / "data").mkdir()
    if form in ("table", "pairs"):
        rows = (f'{{"source": "{text.strip()}", "target": "{n}"}}\n' for n, text in enumerate(sentences))
        (tmp_path / "data" / "rows.jsonl").write_text("".join(rows))
    for number in range({"one text": 1, "texts": 2}.get(form, 0)):
        (tmp_path / "data" / f"{number}.txt").write_text("".join(sentences[number:]))
    opened = Counter()
    blocks = LocalFile.blocks

    def counted(file):
        opened[file.path.name] += 1
        return blocks(file)

    monkeypatch.setattr(LocalFile, "blocks", counted)
    task = "seq2seq" if form == "pairs" else "causal-lm"
    columns = {"text": "source"} if form == "table" else {}
    data = DataSpec(source=str(tmp_path / "data"), context_length=128, columns=columns)
    prepare(data, TokenizerSpec(kind="bpe", vocab_size=512), task=task, cache_dir=tmp_path / "cache")
    # Of a table the form and the columns are looked at besides; its fingerprint is that of the file as it lies there.
    assert opened.most_common(1)[0][1] == {"one text": 5, "texts": 4, "table": 5, "pairs": 5}[form]
