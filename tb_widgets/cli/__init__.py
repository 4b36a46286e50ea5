"""The command line: ``tb-widgets``, or ``python -m tb_widgets``."""

from __future__ import annotations

import contextlib
import io
import sys

import typer

from tb_widgets.cli import (
    check,
    data,
    evaluate,
    export,
    look,
    pipeline,
    preflight,
    serve,
    specs,
    steer,
    training,
    writing,
)
from tb_widgets.cli.screen import print_error
from tb_widgets.errors import TbError

app = typer.Typer(
    help="Train your own transformer. The dashboard can do all of this, too.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # an unexpected error is a bug: its traceback is shown as Python writes it
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    training.demo,
    serve.app,
    training.train,
    training.resume,
    pipeline.pipeline,
    data.data,
    check.check,
    preflight.preflight,
    look.runs,
    look.show,
    look.compare,
    steer.pause,
    steer.stop,
    writing.generate,
    evaluate.evaluate,
    export.export,
):
    app.command()(command)
app.add_typer(specs.group, name="spec")


def main() -> None:
    """Run a command and exit with its code.

    0 done, 1 the training or check failed, 2 wrong input or something that can't be loaded, 130 ended by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):
                stream.reconfigure(errors="replace")  # a narrow terminal's encoding is no reason to fail
    try:
        app(prog_name="tb-widgets")
    except TbError as error:
        print_error(error)
        sys.exit(error.exit_code)
