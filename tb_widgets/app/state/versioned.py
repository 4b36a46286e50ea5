"""State that knows that it has changed."""

from __future__ import annotations


class Versioned:
    """Something whose ``version`` grows when a public attribute becomes another, or :meth:`touch` says so.

    A value that changes inside, for example a list that is appended to, is not noticed: replace it whole, or touch.
    """

    version = 0

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name != "version":
            before = self.__dict__.get(name, self)  # itself, where there was nothing
            if before is not value and before != value:
                self.touch()
        super().__setattr__(name, value)

    def touch(self) -> None:
        """Count a change that no attribute shows."""
        self.version += 1
