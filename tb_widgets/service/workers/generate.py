"""The process that writes text: reads requests from standard input, answers with JSON lines, leaves when it closes."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from tb_widgets.errors import TbError
from tb_widgets.runs import RunDirectory
from tb_widgets.service.workers.process import leave_with
from tb_widgets.spec import TASKS


def main() -> int:
    """Serve until standard input closes."""
    leave_with(int(sys.argv[1]))
    import torch

    from tb_widgets.engine.inference.looker import Looker
    from tb_widgets.engine.inference.writer import Writer, open_writer

    # Whatever the model's code prints goes to the log: the answers have the pipe to themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    torch.set_num_threads(1)  # one token at a time is too little work to share, and training needs the other cores
    writers: dict[Path, Writer | Looker] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            checkpoint = Path(request["checkpoint"])
            if checkpoint not in writers:
                writers = {checkpoint: open_writer(RunDirectory(request["run"]), checkpoint)}
            _answer(writers[checkpoint], request, answers)
        except TbError as error:
            _send(answers, error=str(error))
        except Exception as error:  # noqa: BLE001 - the model's own code may raise anything; the page must hear of it
            traceback.print_exc()
            _send(answers, error=f"The model failed while writing: {type(error).__name__}: {error}")
    return 0


def _answer(writer: Any, request: dict[str, Any], answers: TextIO) -> None:
    from tb_widgets.engine.inference.looker import Looker, in_line

    started = time.perf_counter()
    options = {name: request[name] for name in ("length", "temperature", "top_k", "seed")}
    _send(answers, task=writer.model.task)
    if isinstance(writer, Looker):
        writer.check(request["prompt"])
        for number, seen in enumerate(writer.look(request["length"], seed=request["seed"])):
            _send(answers, piece=in_line(number, seen), picture=seen.picture)
    else:
        for piece in writer.write(request["prompt"], **options):
            _send(answers, piece=piece)
    # Only a text that is gone on with has exactly the length that was asked for.
    continues = TASKS[writer.model.task].continues
    speed = round(request["length"] / (time.perf_counter() - started), 1) if continues else None
    _send(answers, done=True, tokens_per_second=speed)


def _send(answers: TextIO, **answer: Any) -> None:
    # On a line of its own, whatever the model's code may have left unfinished before it.
    answers.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    sys.exit(main())
