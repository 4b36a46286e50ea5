"""Consent: for one revision and its very bytes, remembered, and asked for again when something changed."""

from __future__ import annotations

import json
import shutil

import pytest

from tb_widgets.errors import ModelError
from tb_widgets.models.source import frozen, write_source
from tb_widgets.models.sources.resolve import fetch, resolve
from tb_widgets.models.trust.consent import Trust, TrustStore, needs_consent
from tb_widgets.service.probing import ProbeService
from tb_widgets.spec import ModelSpec

from .github import ID

FILES = {"model.py": "class Model:\n    size = 1\n", "config.json": '{"a": 1}'}
OTHER = "f" * 32


def test_what_is_fetched_is_new_until_somebody_agrees(github):
    github.add(ID, FILES)
    github.add(OTHER, FILES)
    source = fetch(ID)
    store = TrustStore()
    assert needs_consent(source)
    assert store.state(source) == Trust("new")
    store.grant(source)
    store.grant(source)
    assert TrustStore().state(fetch(f"gist.github.com/{ID}")) == Trust("trusted")
    # Equal bytes of another Gist are another question.
    assert store.state(fetch(OTHER)).state == "new"
    assert len(json.loads(store.file.read_text())["trusted"]) == 1


def test_a_new_revision_is_asked_for_with_its_diff(github):
    old = github.add(ID, FILES)
    store = TrustStore()
    store.grant(fetch(ID))
    new = github.add(ID, FILES | {"model.py": "class Model:\n    size = 2\n"})
    trust = store.state(fetch(ID))
    assert (trust.state, trust.revision) == ("changed", old)
    assert trust.diff.splitlines() == [
        f"--- model.py {old[:10]}",
        f"+++ model.py {new[:10]}",
        "@@ -1,2 +1,2 @@",
        " class Model:",
        "-    size = 1",
        "+    size = 2",
    ]
    assert store.state(fetch(f"{ID}@{old}")).state == "trusted"
    store.grant(fetch(ID))
    assert store.state(fetch(ID)).state == "trusted"
    github.add(ID, FILES | {"config.json": "{}"})
    assert store.state(fetch(ID)).revision == new


def test_what_python_takes_for_no_end_of_a_line_is_none_in_a_diff(github):
    github.add(ID, FILES)
    store = TrustStore()
    store.grant(fetch(ID))
    github.add(ID, FILES | {"model.py": FILES["model.py"] + "# a\u2028@@ -1,2 +1,2 @@\u2028 size = 1\n"})
    changed = [line for line in store.state(fetch(ID)).diff.split("\n") if line.startswith("+")]
    assert changed[1:] == ["+# a\u2028@@ -1,2 +1,2 @@\u2028 size = 1"]


def test_a_revision_with_the_same_two_files_is_asked_for_with_an_empty_diff(github):
    github.add(ID, FILES)
    TrustStore().grant(fetch(ID))
    github.add(ID, FILES | {"README.md": "new"})
    trust = TrustStore().state(fetch(ID))
    assert (trust.state, trust.diff) == ("changed", "")


def test_without_the_trusted_copy_everything_counts_as_new(github, caches):
    github.add(ID, FILES)
    store = TrustStore()
    store.grant(fetch(ID))
    for copy in caches.rglob("model.py"):
        copy.unlink()
    github.add(ID, FILES | {"config.json": "{}"})
    trust = store.state(fetch(ID))
    assert "no copy is left" in trust.diff
    assert "+class Model:" in trust.diff


def test_other_bytes_under_a_trusted_revision_are_not_trusted(github, caches):
    sha = github.add(ID, FILES)
    store = TrustStore()
    store.grant(fetch(ID))
    for copy in caches.rglob("model.py"):
        copy.unlink()
    github.gists[ID].revisions[0][1]["model.py"] = b"import os\n"  # GitHub, or somebody between us, lies
    assert store.state(fetch(f"{ID}@{sha}")).state == "changed"


def test_a_copy_that_borrows_trusted_checksums_is_not_used(github, caches):
    sha = github.add(ID, FILES)
    source = fetch(ID)
    TrustStore().grant(source)
    folder = next(caches.rglob("model.py")).parent
    shutil.rmtree(folder)
    write_source(frozen(source.origin, {**source.files, "model.py": "import os\n"}), folder)
    with pytest.raises(ModelError, match="has not been fetched yet"):
        fetch(f"{ID}@{sha}", online=False)


def test_overrides_do_not_ask_again(github):
    github.add(ID, FILES)
    TrustStore().grant(fetch(ID))
    source = resolve(ModelSpec(source=ID, config={"a": 7}), vocab_size=None, context_length=8)
    assert source.config == {"a": 7}
    assert TrustStore().state(source).state == "trusted"


def test_a_path_and_our_own_models_need_no_consent(export):
    for spec in (ModelSpec(), export.write("class Model(nn.Module):\n    pass\n")):
        source = resolve(spec, vocab_size=64, context_length=8)
        assert not needs_consent(source)
        assert TrustStore().state(source).state == "trusted"


def test_the_refusal_names_what_would_run_and_the_way_out(github):
    sha = github.add(ID, FILES, owner="ada")
    with pytest.raises(ModelError) as caught:
        TrustStore().require(fetch(ID))
    assert caught.value.message.startswith(f"Training would run the code of Gist {ID} by ada, revision {sha}")
    assert "--trust" in caught.value.hint
    TrustStore().grant(fetch(ID))
    TrustStore().require(fetch(ID))
    github.add(ID, FILES | {"config.json": "{}"})
    with pytest.raises(ModelError, match=f"another revision, {sha[:10]}, and it has changed"):
        TrustStore().require(fetch(ID))
    with pytest.raises(ModelError, match=f"^Checking it would run the code of Gist {ID}"):
        ProbeService().check(fetch(ID), ModelSpec(source=ID))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"trusted": [{"kind": "gist"}]}', '{"trusted": [3]}', '{"trusted": {"kind": 1}}', "\ud800",
     '{"trusted": [{"kind": "gist", "id": "x", "revision": "y", "sha256": 3}]}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_file_is_told_and_left_as_it_is(github, text):
    github.add(ID, FILES)
    store = TrustStore()
    store.file.parent.mkdir()
    before = text.encode("utf-8", "surrogatepass")
    store.file.write_bytes(before)
    for act in (store.state, store.grant, store.require):
        with pytest.raises(ModelError, match="So no code is trusted"):
            act(fetch(ID))
    assert store.file.read_bytes() == before


def test_consent_that_cannot_be_remembered_is_told(github, monkeypatch):
    monkeypatch.setenv("TB_CONFIG_DIR", "/proc/nowhere")  # where root can't write either
    github.add(ID, FILES)
    with pytest.raises(ModelError, match="TB_CONFIG_DIR"):
        TrustStore().grant(fetch(ID))
