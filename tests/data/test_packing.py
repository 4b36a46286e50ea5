import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from tb_widgets.data.batches import packing
from tb_widgets.data.cache.built import built_folder
from tb_widgets.data.cache.limit import GROWING, lock_of, part_of
from tb_widgets.data.prepared import prepare
from tb_widgets.data.sources.builtin import read_text
from tb_widgets.data.tokenizers.make import chunks
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec
from tests.data.test_split import blocks

SMALL = TokenizerSpec(kind="bpe", vocab_size=400)
PROSE = read_text("python-docs")


@pytest.mark.parametrize("kind", ["char", "bpe", "unigram"])
def test_tokens_are_those_of_the_library_for_each_block_by_itself(tmp_path: Path, kind, monkeypatch):
    monkeypatch.setattr(packing, "_JOB", 120_000)  # several jobs
    text = PROSE[:120_000] + "Grüße 🦋\n" * 300 + PROSE[120_000:320_000]
    (tmp_path / "text.txt").write_text(text, encoding="utf-8", newline="")
    data = DataSpec(source=str(tmp_path / "text.txt"), context_length=32)
    prepared = prepare(data, TokenizerSpec(kind=kind, vocab_size=400), cache_dir=tmp_path / "cache")
    for tokens, part in zip((prepared.train, prepared.validation), blocks(text, 0.1), strict=True):
        if kind == "char":
            expected = [prepared.tokenizer.encode(block).tolist() for block in part]
        else:
            core = prepared.tokenizer._core
            expected = [core.encode(chunk, add_special_tokens=False).ids for block in part for chunk in chunks(block)]
        assert tokens.tolist() == [token for ids in expected for token in ids]


def test_documents_end_with_a_sign_and_the_model_must_know_it(tmp_path: Path):
    long = "long " * 40_000  # more than one chunk, and no line break
    texts = [f"document {number}" for number in range(500)] + [long, ""]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    data = DataSpec(source=str(tmp_path / "rows.jsonl"), context_length=16, validation_fraction=0.2)
    prepared = prepare(data, SMALL, cache_dir=tmp_path / "cache")
    size = prepared.tokenizer.vocab_size
    assert prepared.documents
    assert prepared.vocab_size == size + 1
    read = []
    for tokens in (prepared.train, prepared.validation):
        assert tokens[-1] == size
        ends = np.flatnonzero(tokens == size)
        parts = np.split(tokens, ends + 1)[:-1]
        read.append({prepared.tokenizer.decode(part[:-1]) for part in parts})
    assert not read[0] & read[1]
    assert read[0] | read[1] == {text for text in texts if text}
    assert prepared.statistics["documents"] == 501
    assert prepared.statistics["held_back_documents"] == len(read[1])
    assert prepared.notes == ("Skipped 1 empty text (0 %).",)
    shown = prepared.validation_examples(3)
    assert all("document " in one.prompt for one in shown)
    assert any("\n" in one.prompt for one in shown)


@pytest.mark.parametrize("task", ["masked-lm", "seq2seq"])
def test_folders_serve_every_task_of_plain_texts(tmp_path: Path, task):
    for number in range(6):
        (tmp_path / f"{number}.md").write_text(PROSE[number * 9000 : (number + 1) * 9000])
    data = DataSpec(source=str(tmp_path), context_length=32)
    prepared = prepare(data, SMALL, task=task, cache_dir=tmp_path / "cache")
    size = prepared.tokenizer.vocab_size
    assert sum((tokens == size).sum() for tokens in (prepared.train, prepared.validation)) == 6
    for batch in (
        prepared.train_batches(batch_size=4, seed=1).batch(0),
        *prepared.validation_batches(batch_size=4, batches=2),
    ):
        assert max(int(tensor.max()) for tensor in batch.values()) < prepared.vocab_size


def test_documents_apart_need_documents(tmp_path: Path):
    data = DataSpec(source="python-docs", reset_attention=True)
    with pytest.raises(DataError, match=r"data.reset_attention separates documents, but python-docs is one document"):
        prepare(data, SMALL, cache_dir=tmp_path)


def test_a_vocabulary_is_learned_from_a_sample_spread_over_a_long_text(tmp_path: Path, monkeypatch):
    from tb_widgets.data.reading import corpus

    monkeypatch.setattr(corpus, "_SAMPLE", 200_000)
    parts = ["alpha beta\n" * 20_000, "gamma delta\n" * 20_000, "omega sigma\n" * 20_000]
    (tmp_path / "long.txt").write_text("".join(parts))
    data = DataSpec(source=str(tmp_path / "long.txt"), context_length=32)
    for _ in range(2):  # made, and from the cache
        prepared = prepare(data, SMALL, cache_dir=tmp_path / "cache")
        assert 100_000 <= prepared.statistics["vocabulary_learned_from"] <= 200_000
    for word in ("alpha", " beta", "gamma", " delta", "omega", " sigma"):
        assert len(prepared.tokenizer.encode(word)) == 1
    whole = prepare(DataSpec(context_length=32), SMALL, cache_dir=tmp_path / "cache").statistics
    assert whole["vocabulary_learned_from"] < whole["characters"]


def test_progress_tells_the_share_and_the_speed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(packing, "_JOB", 50_000)
    said = []
    prepare(
        DataSpec(),
        TokenizerSpec(kind="byte"),
        cache_dir=tmp_path,
        on_progress=lambda words, share: said.append((words, share)),
    )
    packed = [share for words, share in said if "million characters/s" in words]
    assert len(packed) >= 8
    assert packed == sorted(packed)
    assert packed[-1] == 1.0


PACK = r"""
import re, sys
from pathlib import Path
from tb_widgets.data.prepared import prepare
from tb_widgets.spec import DataSpec, TokenizerSpec
print("ready", flush=True)
said = lambda words, share: print(words, flush=True)
kind, source, cache = sys.argv[1:]
# Not ru_maxrss, which begins with what the parent had.
most = lambda: int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
before = most()
data, tokenizer = DataSpec(source=source), TokenizerSpec(kind=kind, vocab_size=1024)
found = prepare(data, tokenizer, cache_dir=Path(cache), on_progress=said)
print(len(found.train), before, most())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process where Linux tells it")
def test_a_long_text_is_packed_in_bounded_memory(tmp_path: Path):
    line = "".join(f"{number} grüne Flaschen hängen an der Wand. " for number in range(500)) + "\n"
    with (tmp_path / "long.txt").open("w", encoding="utf-8") as file:
        for _ in range(60_000_000 // len(line.encode())):
            file.write(line)
    done = subprocess.run(
        [sys.executable, "-c", PACK, "byte", str(tmp_path / "long.txt"), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=True,
    )
    tokens, before, most = map(int, done.stdout.splitlines()[-1].split())
    assert tokens > 50_000_000
    assert most < 600_000  # kilobytes, and torch is among them
    assert most - before < 50_000


def test_a_builder_that_is_killed_leaves_nothing_for_long(tmp_path: Path, monkeypatch):
    (tmp_path / "long.txt").write_text(PROSE * 30)
    cache_dir = tmp_path / "cache"
    monkeypatch.setenv("TB_CACHE_DIR", str(cache_dir))
    command = [sys.executable, "-c", PACK, "byte", str(tmp_path / "long.txt"), str(cache_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "characters/s" in line:
                process.send_signal(signal.SIGKILL)
    (left,) = cache_dir.glob(".*.part/*")
    assert not (left / "streams.json").exists()
    # Another run comes by, for other data; and then the same.
    prepare(DataSpec(), TokenizerSpec(kind="byte"), cache_dir=cache_dir)
    assert not list(cache_dir.glob(".*.part"))
    data = DataSpec(source=str(tmp_path / "long.txt"))
    assert len(prepare(data, TokenizerSpec(kind="byte"), cache_dir=cache_dir).train) > 5_000_000


def test_what_a_living_builder_has_made_so_far_stays(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path))
    for key in ("one", "two"):
        (part_of(tmp_path / key) / GROWING).mkdir(parents=True)
    with FileLock(lock_of(tmp_path / "one")):
        built_folder(tmp_path, "three", lambda folder: (folder / "file").touch())
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {".one.part", "three"}


def test_a_disk_that_fills_while_tokens_are_written(tmp_path: Path):
    (tmp_path / "long.txt").write_text(PROSE * 10)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    done = subprocess.run(
        [sys.executable, "-c", limit + ignore + PACK, "byte", str(tmp_path / "long.txt"), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cache can't be written: it would be larger than this process, or its disk, allows" in done.stderr
    assert not list((tmp_path / "cache").glob(".*.part"))
