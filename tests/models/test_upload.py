"""Files that are dropped on the page: two files or a zip, read with care and never unpacked."""

from __future__ import annotations

import io
import tracemalloc
import warnings
import zipfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tb_widgets.errors import ModelError
from tb_widgets.models.sources import copies
from tb_widgets.models.sources.resolve import fetch, pinned, resolve
from tb_widgets.models.sources.upload import from_files, from_zip
from tb_widgets.models.trust.consent import needs_consent
from tb_widgets.spec import ModelSpec

CODE, CONFIG = b"class Model:\n    pass\n", b'{"a": 1}'
FILES = {"model.py": CODE, "config.json": CONFIG}


def packed(entries: list[tuple[str, bytes]], **options: int) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", **options) as archive:
        warnings.simplefilter("ignore")  # a name that is there twice
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def test_dropped_files_are_found_again_by_their_name(caches):
    source = from_files(FILES | {"notes.txt": b"\xff"})
    assert source.files == {"model.py": CODE.decode(), "config.json": CONFIG.decode()}
    assert source.origin["kind"] == "upload"
    assert not needs_consent(source)
    again = resolve(ModelSpec(source=pinned(source)), vocab_size=None, context_length=8)
    assert again == source
    changed = from_files(FILES | {"config.json": b"{}"})
    assert pinned(changed) != pinned(source)
    assert fetch(pinned(source)) == source
    for gone in ("upload:0123456789abcdef", "upload:", "upload:../gist", "upload:x\0"):
        with pytest.raises(ModelError, match="is no longer on this machine"):
            fetch(gone)


@pytest.mark.parametrize("folder", ["", "my-model/", "a/b/c/", "a\\b\\"])
def test_a_zip_may_hold_its_files_in_a_folder(caches, folder):
    noise = [
        ("__MACOSX/my-model/._model.py", b"\0\0"),
        *[(f"__MACOSX/{name}", b"\0") for name in FILES],
        (f"{folder}._config.json", b"\0"),
    ]
    entries = [(folder + name, content) for name, content in FILES.items()]
    others = [("weights/big.bin", b"x" * 1000), (f"{folder}sub/model.py", b"other")]
    assert from_zip(packed([*noise, *entries, *others])).files == from_files(FILES).files


BAD_ZIPS = {
    "no zip": (b"hello", "can't be read"),
    "nothing": (b"", "can't be read"),
    "empty": (packed([]), "model.py is missing"),
    "cut": (packed([*FILES.items()])[:-30], "can't be read"),
    "damaged": (packed([*FILES.items()]).replace(b"class", b"clasz", 1), "can't be read"),
    "without config": (packed([("m/model.py", CODE)]), "config.json is missing"),
    "in two folders": (packed([("model.py", CODE), ("m/config.json", CONFIG)]), "config.json is missing"),
    "two models": (packed([(f"{f}/{name}", text) for f in "ab" for name, text in FILES.items()]), "2 models, in a, b"),
    "twice": (packed([("model.py", CODE), ("model.py", b"evil"), ("config.json", CONFIG)]), "contains model.py twice"),
    "climbing": (packed([("../model.py", CODE), ("../config.json", CONFIG)]), "leads out of it"),
    "absolute": (packed([("/etc/model.py", CODE), ("/etc/config.json", CONFIG)]), "leads out of it"),
    "a drive": (packed([("C:\\x\\..\\model.py", CODE)]), "leads out of it"),
    "many": (packed([(str(n), b"") for n in range(5001)]), "contains 5,001 files"),
    "binary": (packed([("model.py", b"\x80\x81"), ("config.json", CONFIG)]), "is not text"),
    "blank": (packed([("model.py", b" "), ("config.json", CONFIG)]), "is empty"),
}


@pytest.mark.parametrize("kind", BAD_ZIPS)
def test_zips_that_hold_no_model_get_a_sentence(caches, kind):
    content, words = BAD_ZIPS[kind]
    with pytest.raises(ModelError, match=words):
        from_zip(content)


def test_a_bomb_is_read_up_to_the_limit_only(caches, monkeypatch):
    monkeypatch.setattr(copies, "FILE_LIMIT", 1000)
    bomb = packed([("model.py", b"#" * 50_000_000), ("config.json", CONFIG)], compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(ModelError, match=r"model\.py in what was dropped is larger"):
        from_zip(bomb)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    # What is not read may be as large as it likes.
    monkeypatch.undo()
    ballast = packed([*FILES.items(), ("x", b"#" * 50_000_000)], compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setenv("TB_CACHE_DIR", str(caches))
    assert from_zip(ballast).files["model.py"] == CODE.decode()


def test_a_locked_zip_is_told(caches):
    locked = bytearray(packed([*FILES.items()]))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = locked.find(signature)
        while start >= 0:
            locked[start + offset] |= 1
            start = locked.find(signature, start + 1)
    with pytest.raises(ModelError, match="without a password"):
        from_zip(bytes(locked))


def test_what_is_too_large_is_told(caches):
    with pytest.raises(ModelError, match="larger than 10 MB"):
        from_files(FILES | {"model.py": b"#" * 10_000_001})
    with pytest.raises(ModelError, match="larger than 50 MB"):
        from_zip(b"P" * 50_000_001)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 300), what=st.binary(min_size=1, max_size=4))
@example(where=155, what=b"\0")  # a name of no characters
def test_a_zip_with_wrong_bytes_is_a_model_or_a_sentence(caches, where, what):
    content = packed([*FILES.items()])
    try:
        source = from_zip(content[:where] + what + content[where + len(what) :])
    except ModelError:
        return
    assert set(source.files) == {"model.py", "config.json"}
