"""Addresses of the Hub's pages, as a browser shows them, turned into the names that specs use. No network here."""

from __future__ import annotations

import re
from urllib.parse import unquote

_PAGE = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([^?#]+)(?:[?#].*)?", re.I | re.S)
_NO_OWNERS = ("datasets", "spaces", "docs", "models", "papers", "collections", "blog", "tasks", "posts", "api")


def model_source(text: str) -> str:
    """Return ``hub:OWNER/NAME[@REVISION]`` for the page of a model; any other text as it is.

    >>> model_source("https://huggingface.co/somebody/tiny-gpt/tree/v1.0")
    'hub:somebody/tiny-gpt@v1.0'
    """
    parts = _parts(text)
    if len(parts) < 2 or parts[0].lower() in _NO_OWNERS:
        return text
    return _named(parts, ("tree", "blob", "resolve", "commit"))


def data_source(text: str) -> str:
    """Return ``hub:OWNER/NAME[@REVISION]`` for the page of a dataset, and a file's own address for its page.

    Any other text stays as it is, among them the address of a single file of a dataset.

    >>> data_source("huggingface.co/datasets/roneneldan/TinyStories/viewer/default/train")
    'hub:roneneldan/TinyStories'
    >>> data_source("https://huggingface.co/datasets/somebody/texts/blob/main/a.txt")
    'https://huggingface.co/datasets/somebody/texts/resolve/main/a.txt'
    """
    parts = _parts(text)
    if len(parts) < 3 or parts[0].lower() != "datasets" or parts[3:4] == ["resolve"]:
        return text
    if parts[3:4] == ["blob"]:
        page = text.strip().replace("/blob/", "/resolve/", 1)
        return page if "://" in page else f"https://{page}"
    return _named(parts[1:], ("tree", "commit"))


def _parts(text: str) -> list[str]:
    found = _PAGE.fullmatch(text.strip())
    return [unquote(part) for part in found[1].split("/") if part] if found else []


def _named(parts: list[str], before_revision: tuple[str, ...]) -> str:
    owner, name, *rest = parts
    revision = rest[1] if len(rest) > 1 and rest[0] in before_revision else ""
    return f"hub:{owner}/{name}{'@' if revision else ''}{revision}"
