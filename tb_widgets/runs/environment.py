"""What a run ran on, as ``environment.json`` holds it, and where two of these differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MACHINE = ("python", "platform", "packages", "code", "hardware")
"""What another machine can be compared in; the rest belongs to one run."""
_DECIDING = {"python", "precision", "threads"}
_DECIDING |= {f"hardware.{name}" for name in ("device", "processor", "vector_instructions", "cuda", "cudnn")}
_DECIDING |= {
    f"packages.{name}" for name in ("torch", "numpy", "tokenizers", "safetensors", "datasets", "torchmetrics")
}
_TITLES = {
    "hardware.memory_gb": "memory (GB)",
    "code.tb_widgets.dirty": "tb_widgets changed since the commit",
    "code.project.dirty": "project changed since the commit",
}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts that differ, by their dotted names, as ``{path: (one's, other's)}``; ``None`` where one is not.

    >>> differences({"packages": {"torch": "2.10.0"}, "seed": 1}, {"packages": {"torch": "2.11.0"}, "seed": 1})
    {'packages.torch': ('2.10.0', '2.11.0')}
    """
    mine, theirs = flat(one), flat(other)
    return {path: (mine.get(path), theirs.get(path)) for path in mine | theirs if mine.get(path) != theirs.get(path)}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every fact by its dotted name."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def decides(path: str) -> bool:
    """Whether a fact may decide what a training computes; most packages do not.

    >>> decides("packages.torch"), decides("packages.plotly"), decides("hardware.device"), decides("platform")
    (True, False, True, False)
    """
    return path in _DECIDING or path.startswith("code.")


def fact_title(path: str) -> str:
    """Return what people call a fact.

    >>> fact_title("packages.torch"), fact_title("code.project.commit"), fact_title("hardware.vector_instructions")
    ('torch', 'project commit', 'vector instructions')
    """
    kind, _, name = path.partition(".")
    if kind == "packages":
        return name
    words = (name if kind in ("hardware", "code") else path).replace(".", " ")
    return _TITLES.get(path) or (words if kind == "code" else words.replace("_", " "))


def fact_value(value: Any) -> str:
    """Return a fact as people read it: checksums are cut short.

    >>> fact_value(None), fact_value(True), fact_value("0123456789abcdef" * 4)
    ('-', 'yes', '0123456789ab…')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    is_checksum = len(text) >= 40 and set(text) <= set("0123456789abcdef")
    return f"{text[:12]}…" if is_checksum else text
