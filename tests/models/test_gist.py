"""Gists, from a GitHub on this machine: pinned, kept, and only what was asked for."""

from __future__ import annotations

import json

import pytest

from tb_widgets.errors import ModelError
from tb_widgets.models.source import read_source, write_source
from tb_widgets.models.sources import copies, gist
from tb_widgets.models.sources.resolve import fetch, pinned, resolve
from tb_widgets.spec import ModelSpec

from .github import ID, status

CODE = "from torch import nn\n\n\nclass Model(nn.Module):\n    def __init__(self, vocab_size=9):\n        pass\n"
CONFIG = '{"model_name": "Tiny", "vocab_size": 65}'
FILES = {"model.py": CODE, "config.json": CONFIG, "README.md": "Hello"}


def test_the_newest_revision_is_fetched_and_pinned(github):
    newest = github.add(ID, FILES, owner="ada", description="Tiny", revisions=[{"model.py": "old"}])
    source = fetch(f"https://gist.github.com/ada/{ID}#file-model-py")
    assert source.files == {"model.py": CODE, "config.json": CONFIG}
    origin = source.origin
    assert origin["source"] == f"https://gist.github.com/ada/{ID}#file-model-py"
    assert (origin["kind"], origin["id"], origin["revision"]) == ("gist", ID, newest)
    assert (origin["owner"], origin["description"], origin["updated"]) == ("ada", "Tiny", "2026-10-02T12:00:00Z")
    assert origin["listed"] == [
        {"name": "model.py", "bytes": len(CODE)},
        {"name": "config.json", "bytes": len(CONFIG)},
        {"name": "README.md", "bytes": 5},
    ]
    assert origin["url"] == f"https://gist.github.com/{ID}/{newest}"
    assert origin["fetched"] == origin["sha256"]
    assert pinned(source) == f"gist:{ID}@{newest}"
    assert [path for path, _ in github.seen] == [f"/gists/{ID}"]


def test_an_older_revision_is_fetched_by_its_whole_or_short_sha(github):
    github.add(ID, FILES, revisions=[FILES | {"model.py": "first = 1\n"}, FILES | {"model.py": "second = 2\n"}])
    newest, second, first = github.shas(ID)
    assert fetch(f"{ID}@{second}").files["model.py"] == "second = 2\n"
    assert fetch(f"{ID}@{first[:8]}").files["model.py"] == "first = 1\n"
    assert fetch(f"{ID}/{newest[:6]}").files["model.py"] == CODE
    assert fetch(f"{ID}@{first}").origin["updated"] == "2026-10-01T12:00:00Z"


def test_a_revision_that_is_not_there_is_never_replaced_by_another(github):
    github.add(ID, FILES)
    with pytest.raises(ModelError, match=r"no Gist .* with a revision 0{40}"):
        fetch(f"{ID}@{'0' * 40}")
    github.answer = status(422)  # what GitHub says to some shas that are not there
    with pytest.raises(ModelError, match=r"no Gist .* with a revision 0{40}"):
        fetch(f"{ID}@{'0' * 40}")
    github.answer = lambda handler: handler.send(200, json.dumps(github.describe(ID, None)).encode())
    with pytest.raises(ModelError, match=r"does not name the revision 0{40}"):
        fetch(f"{ID}@{'0' * 40}")
    github.answer = None
    with pytest.raises(ModelError, match="has no revision that starts with 0000000") as caught:
        fetch(f"{ID}@0000000")
    assert github.shas(ID)[0] in caught.value.hint


def test_a_short_sha_of_two_revisions_is_asked_for_again(github):
    github.add(ID, FILES, revisions=[{"n": "1"}])
    alike = github.gists[ID]
    alike.revisions = [("abcd" + sha[4:], *rest) for sha, *rest in alike.revisions]
    with pytest.raises(ModelError, match="several revisions that start with abcd"):
        fetch(f"{ID}@abcd")


def test_a_pinned_revision_is_fetched_once_for_ever(github):
    sha = github.add(ID, FILES)
    first = fetch(f"{ID}@{sha}")
    asked = len(github.seen)
    github.close()
    assert fetch(f"{ID}@{sha}").files == first.files
    assert fetch(f"gist:{ID}@{sha[:10]}").origin["revision"] == sha
    assert fetch(f"{ID}@{sha}", online=False).origin["source"] == f"{ID}@{sha}"
    assert len(github.seen) == asked


def test_a_damaged_copy_is_fetched_anew_and_never_used(github, caches):
    sha = github.add(ID, FILES)
    fetch(ID)
    copy = next(caches.rglob("model.py"))
    copy.write_text("evil = 1\n")
    assert fetch(f"{ID}@{sha}").files["model.py"] == CODE
    assert copy.read_text() == CODE
    copy.write_text("evil = 1\n")
    with pytest.raises(ModelError, match="has not been fetched yet"):
        fetch(f"{ID}@{sha}", online=False)


def test_without_asking_for_one_no_copy_is_taken(github):
    sha = github.add(ID, FILES)
    with pytest.raises(ModelError, match="has not been fetched yet"):
        fetch(ID, online=False)
    assert not github.seen
    fetch(ID)
    github.close()
    for online in (True, False):
        with pytest.raises(ModelError, match=r"can't be reached|has not been fetched") as caught:
            fetch(ID, online=online)
        assert f"A copy of its revision {sha[:10]} from 2026-10-01 is on this machine" in caught.value.hint
        assert f"ask for {ID}@{sha}" in caught.value.hint


def test_a_long_file_comes_whole_from_its_own_address(github):
    long = CODE + "# " + "é" * 3000 + "\n"
    github.truncate_at = 1000
    sha = github.add(ID, {"model.py": long, "config.json": CONFIG})
    assert fetch(ID).files["model.py"] == long
    assert [path for path, _ in github.seen] == [f"/gists/{ID}", f"/somebody/{ID}/raw/{sha}/model.py"]


def test_exactly_two_files_are_frozen_and_overrides_are_told_from_them(github, tmp_path):
    github.add(ID, FILES)
    plain = resolve(ModelSpec(source=ID), vocab_size=None, context_length=8)
    source = resolve(ModelSpec(source=ID, config={"vocab_size": 33}), vocab_size=None, context_length=8)
    assert source.config == {"model_name": "Tiny", "vocab_size": 33}
    assert source.origin["overrides"] == {"vocab_size": 33}
    assert source.origin["fetched"] == plain.origin["sha256"] != source.origin["sha256"]
    write_source(source, tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "model.py", "origin.json"]
    assert read_source(tmp_path / "model") == source
    with pytest.raises(ModelError, match=r"model\.config\.depth"):
        resolve(ModelSpec(source=ID, config={"depth": 3}), vocab_size=None, context_length=8)


def test_bytes_survive_as_they_are(github):
    odd = "x = 'é'\r\n# \u2028 end"
    github.add(ID, {"model.py": b"\xef\xbb\xbf" + odd.encode(), "config.json": "{}"})
    source = fetch(ID)
    assert source.files["model.py"] == odd
    found = copies.find_copy("gist", ID, source.origin["revision"])
    assert found is not None
    assert found.files == source.files


def test_the_token_goes_to_the_api_and_nowhere_else(github, monkeypatch):
    with type(github)() as other:
        monkeypatch.setenv("GITHUB_TOKEN", "canary1234")
        github.add(ID, FILES)
        fetch(ID)
        assert github.seen[-1][1]["authorization"] == "Bearer canary1234"
        # A second port is another site: neither the token nor we go there.
        other.add(ID, FILES)
        github.answer = lambda handler: handler.send(302, b"", {"Location": f"{other.url}/gists/{ID}"})
        with pytest.raises(ModelError, match=r"redirected to another site \(127\.0\.0\.1\)"):
            fetch(ID)
        described = github.describe(ID, None)
        entry = described["files"]["model.py"] | {"truncated": True, "raw_url": f"{other.url}/x"}
        described["files"]["model.py"] = entry
        github.answer = lambda handler: handler.send(200, json.dumps(described).encode())
        with pytest.raises(ModelError, match="redirected to another site"):
            fetch(ID)
        assert not other.seen


def test_the_token_does_not_go_to_where_raw_files_are(github, monkeypatch):
    with type(github)() as other:
        monkeypatch.setattr(gist, "RAW_HOST", gist._origin(other.url))
        monkeypatch.setenv("GH_TOKEN", "canary1234")
        github.add(ID, FILES)
        other.add(ID, FILES)
        described = github.describe(ID, None)
        raw_url = other.describe(ID, None)["files"]["model.py"]["raw_url"]
        described["files"]["model.py"] |= {"truncated": True, "raw_url": raw_url}
        github.answer = lambda handler: handler.send(200, json.dumps(described).encode())
        assert fetch(ID).files["model.py"] == CODE
        assert [headers.get("authorization") for _, headers in github.seen] == ["Bearer canary1234"]
        assert [headers.get("authorization") for _, headers in other.seen] == [None]


def test_no_password_is_taken_from_netrc(github, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary5678\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    github.add(ID, FILES)
    fetch(ID)
    assert "authorization" not in github.seen[-1][1]


def test_a_redirect_on_the_same_site_is_followed(github):
    github.add(ID, FILES)

    def answer(handler):
        if handler.path.startswith("/moved"):
            handler.path = handler.path.removeprefix("/moved")
            return handler.serve()
        return handler.send(301, b"", {"Location": f"/moved{handler.path}"})

    github.answer = answer
    assert fetch(ID).files["model.py"] == CODE


def test_a_cache_that_cannot_be_written_is_told(github, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path / "file"))
    github.add(ID, FILES)
    with pytest.raises(ModelError, match="can't be kept") as caught:
        fetch(ID)
    assert "TB_CACHE_DIR" in caught.value.hint


def test_settings_that_make_no_sense_are_told_without_their_content(github, monkeypatch):
    github.add(ID, FILES)
    monkeypatch.setenv("GITHUB_TOKEN", "canary\n9999")
    with pytest.raises(ModelError, match="GITHUB_TOKEN contains characters") as caught:
        fetch(ID)
    assert "canary" not in str(caught.value)
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.setenv("GITHUB_API_URL", "api.github.com")
    with pytest.raises(ModelError, match="GITHUB_API_URL is not a web address"):
        fetch(ID)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("https://example.com/model", "leads to another site"),
        (ID[:-1], "has 31 characters"),
        ("mine", "no file or folder"),
    ],
)
def test_what_is_neither_a_path_nor_an_address_is_told(github, source, words):
    with pytest.raises(ModelError, match=words) as caught:
        resolve(ModelSpec(source=source), vocab_size=None, context_length=8)
    assert "Gist" in str(caught.value)
