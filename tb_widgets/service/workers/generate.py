"""The process that writes text: it answers a request piece by piece."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tb_widgets.runs import RunDirectory
from tb_widgets.runs.json_process import Asker
from tb_widgets.spec import TASKS

if TYPE_CHECKING:
    from tb_widgets.engine.inference.looker import Looker
    from tb_widgets.engine.inference.writer import Writer


def main() -> int:
    """Serve until whoever asks hangs up."""
    asker = Asker()
    import torch

    from tb_widgets.engine.inference import looker, writer  # noqa: F401 - paid while nobody waits

    torch.set_num_threads(1)  # one token at a time is too little work to share, and training needs the other cores
    return asker.serve(lambda request: _answer(request, asker.tell), failing="while writing")


@lru_cache(maxsize=1)
def _opened(run: str, checkpoint: str) -> Writer | Looker:
    from tb_widgets.engine.inference.writer import open_writer

    return open_writer(RunDirectory(run), Path(checkpoint))


def _answer(request: dict[str, Any], tell: Callable[..., None]) -> None:
    from tb_widgets.engine.inference.looker import Looker, in_line

    writer = _opened(request["run"], request["checkpoint"])
    started = time.perf_counter()
    options = {name: request[name] for name in ("length", "temperature", "top_k", "seed")}
    tell(task=writer.model.task)
    if isinstance(writer, Looker):
        writer.check(request["prompt"])
        for number, seen in enumerate(writer.look(request["length"], seed=request["seed"])):
            tell(piece=in_line(number, seen), picture=seen.picture)
    else:
        for piece in writer.write(request["prompt"], **options):
            tell(piece=piece)
    # Only a text that is gone on with has exactly the length that was asked for.
    continues = TASKS[writer.model.task].continues
    speed = round(request["length"] / (time.perf_counter() - started), 1) if continues else None
    tell(done=True, tokens_per_second=speed)


if __name__ == "__main__":
    sys.exit(main())
