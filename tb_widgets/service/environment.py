"""The environment of a worker: what training needs, and no secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import tb_widgets

SECRET = re.compile(
    r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|AUTH|COOKIE|_KEY$|^KEY$|_PAT$|NETRC|WEBHOOK|DSN$)"
)


def worker_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a copy of the environment without variables whose names sound like secrets.

    Values are looked at too: an address that carries a password (``scheme://user:password@host``) is left out.

    >>> worker_environment({"PATH": "/bin", "HF_TOKEN": "x", "PROXY": "http://me:pw@host"})
    {'PATH': '/bin'}
    """
    source = os.environ if environment is None else environment
    kept = {
        name: value
        for name, value in source.items()
        if not SECRET.search(name.upper()) and not re.search(r"://[^/\s:@]+:[^/\s@]+@", value)
    }
    if not Path(tb_widgets.__file__).is_file():
        # Imported from a zip that a notebook put on its own path: a new process must be told where it lies.
        home = str(Path(tb_widgets.__path__[0]).parent.absolute())
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (home, kept.get("PYTHONPATH"))))
    return kept
