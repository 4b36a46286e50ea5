"""The process that writes text: it answers a request piece by piece."""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tb_widgets.errors import TbError
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.json_process import Asker
from tb_widgets.spec import TASKS


def main() -> int:
    """Serve until whoever asks hangs up."""
    asker = Asker()
    import torch

    from tb_widgets.engine.inference.looker import Looker
    from tb_widgets.engine.inference.writer import Writer, open_writer

    torch.set_num_threads(1)  # one token at a time is too little work to share, and training needs the other cores
    writers: dict[Path, Writer | Looker] = {}
    for request in asker.requests():
        try:
            checkpoint = Path(request["checkpoint"])
            if checkpoint not in writers:
                writers = {checkpoint: open_writer(RunDirectory(request["run"]), checkpoint)}
            _answer(writers[checkpoint], request, asker)
        except TbError as error:
            asker.tell(error=str(error))
        except Exception as error:  # noqa: BLE001 - the model's own code may raise anything; the page must hear of it
            traceback.print_exc()
            asker.tell(error=f"The model failed while writing: {type(error).__name__}: {error}")
    return 0


def _answer(writer: Any, request: dict[str, Any], asker: Asker) -> None:
    from tb_widgets.engine.inference.looker import Looker, in_line

    started = time.perf_counter()
    options = {name: request[name] for name in ("length", "temperature", "top_k", "seed")}
    asker.tell(task=writer.model.task)
    if isinstance(writer, Looker):
        writer.check(request["prompt"])
        for number, seen in enumerate(writer.look(request["length"], seed=request["seed"])):
            asker.tell(piece=in_line(number, seen), picture=seen.picture)
    else:
        for piece in writer.write(request["prompt"], **options):
            asker.tell(piece=piece)
    # Only a text that is gone on with has exactly the length that was asked for.
    continues = TASKS[writer.model.task].continues
    speed = round(request["length"] / (time.perf_counter() - started), 1) if continues else None
    asker.tell(done=True, tokens_per_second=speed)


if __name__ == "__main__":
    sys.exit(main())
