"""The protocol of a sink, and the sinks that there are.

A sink is one file, which registers itself. It lies in this folder, or in another package that names it by an entry
point of the group ``tb_widgets.sinks``::

    from tb_widgets.service.sinks.registry import SINKS, Sink


    class Printer(Sink):
        def take(self, records, events):
            for record in records:
                print(record)


    SINKS.add("printer", Printer)
"""

from __future__ import annotations

from collections.abc import Sequence

from tb_widgets.runs import RunDirectory
from tb_widgets.runs.journal import Record
from tb_widgets.spec.registry import Registry


class Sink:
    """A sink that does nothing: each method says what another one has to do.

    All methods are called by one thread. What they raise ends the sink and is told; the run goes on.
    """

    def open(self, run: RunDirectory) -> None:
        """Get ready for a run from its beginning.

        Called again for the same run when its journal was rewritten, as a resume does from an earlier checkpoint: what
        was taken before is then given again.
        """

    def take(self, records: Sequence[Record], events: Sequence[Record]) -> None:
        """Take the journal's new lines and the new events, in their order; either may be empty."""

    def close(self) -> None:
        """Finish: nothing more comes, or the journal begins anew."""


SINKS: Registry[type[Sink]] = Registry("sinks", home=__package__)
SINKS.add("none", Sink)
