"""``import tb_widgets`` is quick, and loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figure import Figure

HEAVY = ("torch", "plotly", "huggingface_hub", "requests", "httpx")
ROUNDS = 12


def seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def measure(_folder: Path) -> Iterator[Figure]:
    took = [(seconds("pass"), seconds("import tb_widgets")) for _ in range(ROUNDS)]
    bare, ours = (min(column) for column in zip(*took, strict=True))
    how = f"fresh processes, best of {ROUNDS}, less the start of a bare Python ({bare:.3f} s)"
    yield Figure("import tb_widgets", ours - bare, "s", "at most", 0.15, how)
    code = f"import json, sys, tb_widgets; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = json.loads(answer.stdout)
    how = ", ".join(loaded) or f"none of {', '.join(HEAVY)} in sys.modules"
    yield Figure("heavy packages loaded by it", len(loaded), "", "at most", 0, how)
