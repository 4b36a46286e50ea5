"""The versions of a spec's layout, and how a file of an older one is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: list[Migration] = []
"""What turns a spec of one version into one of the next: the first turns 1 into 2, and so on.

Add one here whenever a field is renamed, moved or removed, or changes its meaning; a new field with a default needs
none. A migration takes what a file holds, in which any section may be missing or no mapping, and returns it changed;
what it can't read it leaves to validation.
"""


def latest_version() -> int:
    """Return the version that this tb_widgets writes."""
    return 1 + len(MIGRATIONS)


def migrated(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a spec in the newest version's layout; one without a version, or of an unknown one, as it is."""
    version = mapping.get("schema")
    if not isinstance(version, int | str) or not str(version).isdecimal():
        return mapping
    first = int(version)
    if not 1 <= first < latest_version():
        return mapping
    changed = dict(mapping)
    for migrate in MIGRATIONS[first - 1 :]:
        changed = migrate(changed)
    return changed | {"schema": latest_version()}
