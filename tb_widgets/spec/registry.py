"""Things by name: our own, and those of other packages that are installed here."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module, metadata
from typing import Generic, TypeVar

from tb_widgets.errors import PluginError

_Entry = TypeVar("_Entry")


class Registry(Generic[_Entry]):
    """What is registered under a name, in order: ours first.

    Another package adds to it by an entry point of the group ``tb_widgets.KIND``, which names a module that registers
    something when it is imported. It is imported once somebody asks for more than our own.

    Parameters
    ----------
    kind
        In the plural, for example ``metrics``.
    home
        The package of ours whose modules register what they hold when they are imported.
    """

    def __init__(self, kind: str, *, home: str | None = None) -> None:
        self.group, self._home = f"tb_widgets.{kind}", home
        self._entries: dict[str, _Entry] = {}
        self._has_asked = False

    def add(self, name: str, entry: _Entry) -> None:
        """Register something.

        Raises
        ------
        ValueError
            If the name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.group} has {name} already")
        self._entries[name] = entry

    def __contains__(self, name: object) -> bool:
        if name not in self._entries:
            self._ask_others()
        return name in self._entries

    def __getitem__(self, name: str) -> _Entry:
        if name not in self:
            raise KeyError(name)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._ask_others()
        return iter([*self._entries])

    def values(self) -> list[_Entry]:
        """Return everything that is registered."""
        self._ask_others()
        return [*self._entries.values()]

    def _ask_others(self) -> None:
        if self._has_asked:
            return
        self._has_asked = True  # before: what is imported may ask in its turn
        if self._home is not None:
            for module in pkgutil.iter_modules(import_module(self._home).__path__):
                import_module(f"{self._home}.{module.name}")
        for point in metadata.entry_points(group=self.group):
            try:
                point.load()
            except Exception as error:
                self._has_asked = False
                package = point.dist.name if point.dist else "an unknown package"
                raise PluginError(
                    f"{point.value} of {package} can't be loaded ({type(error).__name__}: {error}).",
                    hint=f"Update or uninstall {package}.",
                ) from error
