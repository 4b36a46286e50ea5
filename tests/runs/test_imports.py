"""The ground floors are light: what needs torch, a plot or the network loads it later."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "plotly", "ipywidgets", "httpx", "requests", "huggingface_hub"}


@pytest.mark.parametrize("module", ["tb_widgets", "tb_widgets.spec", "tb_widgets.runs", "tb_widgets.runs.journal"])
def test_importing_loads_nothing_heavy(module):
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))
    assert module in loaded
    assert not loaded & HEAVY
