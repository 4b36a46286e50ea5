"""Packages of strangers: one file each, and what its installation writes beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def install(folder: Path, kind: str, module: str, source: str) -> dict[str, str]:
    """Install one file as a package of its own, and return an environment that has it on its path."""
    facts = folder / f"{module}-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[tb_widgets.{kind}]\nit = {module}\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(folder), *filter(None, sys.path)))}


def python(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with such an environment."""
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, check=False)
