"""What is typed as a model: whether it can be one, before anything that was chosen is given up for it."""

from __future__ import annotations

from tb_widgets.app.state.description import ODD_PATH, reason_of
from tb_widgets.app.state.draft import Draft
from tb_widgets.errors import ModelError
from tb_widgets.service.models import resolve
from tb_widgets.spec import ModelSpec

LONGEST_ADDRESS = 2000  # characters


def require_address(address: str) -> str:
    """Return what was typed, if it can be an address or a path.

    Raises
    ------
    ModelError
        If it is empty or too long.
    """
    if not address:
        raise ModelError("Enter a path, the address of a Gist or hub:OWNER/NAME.")
    if len(address) > LONGEST_ADDRESS:
        raise ModelError(
            f"An address or a path has at most {LONGEST_ADDRESS:,} characters, not {len(address):,}.",
            hint="It looks like models/my-model, gist.github.com/USER/ID or hub:OWNER/NAME. Code itself is given as "
            "files: drop model.py and config.json below.",
        )
    return address


def require_files(address: str, draft: Draft) -> None:
    """See whether the files of a model are on this machine, and can be read.

    Raises
    ------
    ModelError
        If not.
    """
    spec = draft.spec
    try:
        resolve(
            ModelSpec(source=address),
            **draft.sizes_of_data(spec),
            context_length=spec.data.context_length,
            online=False,
        )
    except ODD_PATH as error:
        raise ModelError(reason_of(error)) from error
