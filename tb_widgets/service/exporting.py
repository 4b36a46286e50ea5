"""Writing a checkpoint in a format of others, in a process of its own: a model's code may be anybody's."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tb_widgets.errors import WRONG_INPUT, ExportError
from tb_widgets.export.registry import EXPORTERS
from tb_widgets.models.trust.consent import require_frozen
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.durable import explain_os_error
from tb_widgets.service.workers.process import ask_once


@dataclass(frozen=True)
class Exported:
    """What was written, and the largest difference of its logits from the model's."""

    folder: Path
    files: tuple[str, ...]
    difference: float


def export_checkpoint(run: RunDirectory, checkpoint: Path, name: str, folder: Path, *, trust: bool = False) -> Exported:
    """Write a checkpoint into a new folder, which appears only once it was proved.

    Parameters
    ----------
    name
        One of ``EXPORTERS``.
    folder
        Where to; it must not be there yet.
    trust
        Agree to run the code in the run's folder, where it was not started on this machine; this is remembered.

    Raises
    ------
    ExportError
        If there is no such format, the folder is there, or the export fails or differs from the model.
    ConsentError
        If nobody on this machine has agreed to run that code.
    """
    if name not in EXPORTERS:
        hint = f"Choose one of: {', '.join(EXPORTERS)}."
        raise ExportError(f"There is no export format {name!r}.", hint=hint, exit_code=WRONG_INPUT)
    folder = folder.expanduser().absolute()
    if folder.exists():
        raise ExportError(f"{folder} already exists.", hint="Name a new folder.", exit_code=WRONG_INPUT)
    require_frozen(run.model_folder, "Exporting", trust=trust)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise explain_os_error(error, folder) from error
    try:
        request = {"run": str(run.path), "checkpoint": str(checkpoint), "to": name, "folder": str(new)}
        difference = float(ask_once("export", request, raises=ExportError)["difference"])
        new.chmod(0o755)  # mkdtemp lets nobody else in
        new.rename(folder)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return Exported(folder, (*files,), difference)
