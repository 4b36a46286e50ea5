"""Who is at the page, and what that one may do: everything as its owner, what harms nobody as its visitor.

Whoever may load any Gist, open any folder or set any path may run any code. On one's own machine that is the user; on
a Voila server that others can reach, it would be strangers. Every door of the dashboard asks the one policy object of
its page, and what a visitor may not use is not on the visitor's page.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tb_widgets.data.sources.curated import list_curated
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.errors import ModelError, PolicyError, ServiceError, TbError
from tb_widgets.runs import Status
from tb_widgets.spec import PRESETS, DataSpec, RunSpec

if TYPE_CHECKING:
    from tb_widgets.service.service import TrainingService
from tb_widgets.spec.hub_address import parse_hub
from tb_widgets.wording import size_in_words

ONLY_HERE = "TB_LOOPBACK_ONLY"  # set by our own page server, which nobody else can reach
ALLOWED = "TB_ALLOWED_MODELS"
ROOM = "TB_VISITORS_GB"
GIGABYTES = 10.0  # for the runs of all visitors, where ROOM says nothing
LEFT_FREE = 1e9  # bytes of the disk that no visitor's run may take
WAITING = 10  # runs of visitors that may wait at once
CLOSED = ("model.config", "tokenizer.file", "checkpoints.", "hardware.", "tracking.")
"""Fields that hold paths, take disk or memory without bounds, or are the machine's: the operator sets them."""
AT_MOST = {
    "training.steps": 20_000,
    "training.batch_size": 256,
    "data.context_length": 1024,
    "tokenizer.vocab_size": 50_304,
    "evaluation.batches": 200,
    "evaluation.sample_length": 1000,
}
WAY_OUT = "Run tb-widgets app on your own machine for everything else."
_PINNED = re.compile(r"gist:[0-9a-f]{1,32}@[0-9a-f]{40}|hub:[\w.-]+/[\w.-]+@[0-9a-f]{40}")
_SHORTEST_KEY = 32  # characters


class Policy:
    """What may be done from one page.

    Parameters
    ----------
    shared
        Whether strangers can reach the page; as the environment says by default.
    own
        The spec with which the operator has built the page: its values are never refused.

    Attributes
    ----------
    is_owner
        Whether everything may be done.
    visitor
        Who visits a shared page: a number that only this visitor's browser can bring about; empty for the owner.
    """

    def __init__(self, *, shared: bool | None = None, own: RunSpec | None = None) -> None:
        self.is_owner = not (is_shared() if shared is None else shared)
        self.visitor = "" if self.is_owner else secrets.token_hex(16)
        self._usual = [spec.flat() for spec in (RunSpec(), *(preset.spec() for preset in PRESETS.values()))]
        self._usual += [own.flat()] if own is not None else []
        self._is_met = False

    def meet(self, key: str) -> None:
        """Hear from the page the key that its browser keeps, by which a visitor who comes again finds his runs."""
        if not self.is_owner and not self._is_met and len(key) >= _SHORTEST_KEY:
            self._is_met = True
            self.visitor = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    # ---- what there is -------------------------------------------------------------------------------------------

    def may_set(self, path: str) -> bool:
        """Tell whether a field of the spec is on this page's forms."""
        return self.is_owner or not path.startswith(CLOSED)

    def may_see(self, status: Status) -> bool:
        """Tell whether a run is shown on this page: to a visitor, only his own."""
        return self.is_owner or status.visitor == self.visitor

    def problems(self, spec: RunSpec) -> dict[str, str]:
        """Return why a spec can't be used from this page, by field path; empty if it can."""
        if self.is_owner:
            return {}
        found = {}
        for path, value in spec.flat().items():
            if path in ("model.source", "data.source") or value in [usual[path] for usual in self._usual]:
                continue
            if path.startswith(CLOSED):
                found[path] = "only the operator of this shared page can change it."
            elif path in AT_MOST and isinstance(value, int) and value > AT_MOST[path]:
                found[path] = f"at most {AT_MOST[path]:,} on this shared page."
        try:
            self.require_model(spec.model.source)
        except TbError as error:
            found["model.source"] = error.message
        try:
            self.require_data(spec.data)
        except PolicyError as error:
            found["data.source"] = error.message
        return found

    # ---- the doors -----------------------------------------------------------------------------------------------

    def require_owner(self, what: str) -> None:
        """Let the owner pass.

        Parameters
        ----------
        what
            What would be done, as the end of the sentence "visitors can't ...".

        Raises
        ------
        PolicyError
            If a visitor asks.
        """
        if not self.is_owner:
            raise PolicyError(f"On this shared server, visitors can't {what}.", hint=WAY_OUT)

    def require_model(self, source: str) -> None:
        """Let pass what may be loaded.

        Raises
        ------
        PolicyError
            If a visitor asks for a model that is neither ours nor on the operator's list.
        """
        if not self.is_owner and not source.startswith("zoo:") and source not in allowed_models():
            raise PolicyError(
                "This shared server only runs built-in models and those on its list.",
                hint=f"The operator can add pinned revisions to the file that {ALLOWED} names. {WAY_OUT}",
            )

    def require_data(self, data: DataSpec) -> None:
        """Let pass what may be read.

        Raises
        ------
        PolicyError
            If a visitor asks for data that are neither ours nor among the datasets that are offered.
        """
        if self.is_owner or data.source in [usual["data.source"] for usual in self._usual]:
            return
        if not resolve_source(data).is_built_in and not _is_offered(data.source):
            raise PolicyError(
                "This shared server only trains on the datasets it offers.",
                hint=f"Choose one from the list. {WAY_OUT}",
            )

    def require_spec(self, spec: RunSpec) -> None:
        """Let pass what may be trained, measured or looked at.

        Raises
        ------
        PolicyError
            With every field that is not a visitor's to set.
        """
        if found := self.problems(spec):
            reasons = " ".join(f"{path}: {reason}" for path, reason in found.items())
            raise PolicyError(f"This is a shared server. {reasons}", hint=WAY_OUT)

    def require_steering(self, run_id: str, status: Status) -> None:
        """Let pass who may pause, stop or go on with a run.

        Raises
        ------
        PolicyError
            If it is not the visitor's own.
        """
        if not self.may_see(status):
            raise PolicyError(f"{run_id} is not your run.", hint="On a shared page you can only control your own runs.")

    def require_room(self, service: TrainingService) -> None:
        """Let a new run pass, unless it would crowd out others.

        Parameters
        ----------
        service
            That of the folder where the runs are.

        Raises
        ------
        PolicyError
            If a run of this visitor is at work, many wait, or the disk space for visitors is used up.
        """
        if self.is_owner:
            return
        visitors, folder = [entry for entry in service.runs() if entry.status.visitor], service.runs_dir
        for entry in visitors:
            if entry.status.is_active and self.may_see(entry.status):
                raise PolicyError(
                    f"Your run {entry.status.name} is still {entry.status.state}.",
                    hint="Stop it or wait until it ends: visitors of a shared page train one run at a time.",
                )
        if sum(entry.status.is_waiting for entry in visitors) >= WAITING:
            raise PolicyError(f"{WAITING} runs are already queued.", hint=f"Try again later. {WAY_OUT}")
        given, used = _room(), sum(_size(entry.run.path) for entry in visitors)
        free = shutil.disk_usage(folder if folder.exists() else folder.anchor).free
        if used > given or free < LEFT_FREE:
            raise PolicyError(
                f"The disk space for visitors of this shared server ({size_in_words(given)}) is used up.",
                hint=f"The operator can delete runs, or raise {ROOM}. {WAY_OUT}",
            )


def is_shared(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether this kernel serves a Voila page that others can reach."""
    known = os.environ if environment is None else environment
    return known.get("SERVER_SOFTWARE", "").startswith("voila/") and known.get(ONLY_HERE) != "1"


def allowed_models() -> list[str]:
    """Return the pinned revisions in the file that ``TB_ALLOWED_MODELS`` names, one a line; ``#`` begins a comment.

    Raises
    ------
    ModelError
        If the file can't be read, or a line names no pinned revision.
    """
    name = os.environ.get(ALLOWED)
    if not name:
        return []
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{ALLOWED} names {name}, which can't be read: {error}.") from error
    models = [line for line in (line.partition("#")[0].strip() for line in lines) if line]
    for model in models:
        if not _PINNED.fullmatch(model):
            raise ModelError(
                f"{name}: {model!r} is not a pinned revision.", hint="Write gist:ID@SHA or hub:OWNER/NAME@SHA."
            )
    return models


def _is_offered(source: str) -> bool:
    offered = [str(entry.values["source"]) for entry in list_curated()]
    if not source.startswith("hub:"):
        return source in offered
    return parse_hub(source).id in [parse_hub(known).id for known in offered if known.startswith("hub:")]


def _room() -> float:
    text = os.environ.get(ROOM, "")
    try:
        gigabytes = float(text) if text else GIGABYTES
    except ValueError:
        gigabytes = math.nan
    if not gigabytes >= 0:
        raise ServiceError(
            f"{ROOM} is {text!r}, which is not a size in GB.", hint="Set it to a number, for example 10."
        )
    return gigabytes * 1e9


def _size(folder: Path) -> int:
    """Return the bytes in a folder; what goes while it is looked at does not count."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 - thousands of files
            except OSError:
                continue
    return total
