"""Whose code may run: consent, given once for one revision of one Gist or Hub repository, and for these very bytes.

Loading a model runs its author's code with the user's own permissions, and Python has no fence against that. So
nothing fetched is executed before somebody has looked and agreed; a changed revision is another question. The files
that a run has frozen are known by their checksums alone: its folder may have come from anywhere.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from tb_widgets.errors import ConsentError, ModelError, RunError
from tb_widgets.models import source_text
from tb_widgets.models.source import CODE, CONFIG, ModelSource, checksums, read_source
from tb_widgets.models.sources import copies
from tb_widgets.models.sources.resolve import pinned, zoo_code
from tb_widgets.models.zoo import sizes
from tb_widgets.runs.durable import replace_text
from tb_widgets.runs.folders import default_config_dir


@dataclass(frozen=True)
class Trust:
    """What is known about the user's consent to a model.

    Attributes
    ----------
    state
        ``trusted``: these bytes may run. ``new``: nothing of this Gist or repository was ever agreed to.
        ``changed``: another revision was.
    diff
        For ``changed``: what differs from the revision that was agreed to last, as a unified diff.
    revision
        For ``changed``: the revision that was agreed to last.
    """

    state: Literal["trusted", "new", "changed"]
    diff: str = ""
    revision: str = ""


def needs_consent(source: ModelSource) -> bool:
    """Tell whether somebody must agree before this model's code runs.

    The zoo is our own; a path that the user types, and files that the user drops on the page, are consent.
    """
    return source.origin.get("kind") in ("gist", "hub")


def agreed(source: ModelSource) -> str:
    """Return in words whose code was agreed to, by its full revision."""
    return f"You agreed to run the code of {pinned(source)}."


class TrustStore:
    """What the user has agreed to, in one file of the user's config folder.

    Parameters
    ----------
    file
        ``trust.json`` in ``TB_CONFIG_DIR``, or in the user's config folder, by default.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or default_config_dir() / "trust.json"

    def state(self, source: ModelSource) -> Trust:
        """Tell whether a model's code may run, and if not, what changed since the last consent.

        Raises
        ------
        ModelError
            If the file is damaged: then nothing counts as agreed to.
        """
        if not needs_consent(source):
            return Trust("trusted")
        wanted = _entry(source)
        known = [entry for entry in self._read() if all(entry[key] == wanted[key] for key in ("kind", "id"))]
        if any(all(entry[key] == wanted[key] for key in ("revision", "sha256")) for entry in known):
            return Trust("trusted")
        if not known:
            return Trust("new")
        last = known[-1]["revision"]
        return Trust("changed", diff=_diff(last, source), revision=last)

    def grant(self, source: ModelSource) -> None:
        """Remember that the user agreed to run exactly these bytes.

        Raises
        ------
        ModelError
            If the file is damaged or can't be written.
        """
        if needs_consent(source) and self.state(source).state != "trusted":
            self._add(_entry(source))

    def knows(self, files: Mapping[str, str]) -> bool:
        """Tell whether these very files may run, wherever they lie: ours, or agreed to, or frozen on this machine.

        Parameters
        ----------
        files
            Content of model.py and config.json by name.

        Raises
        ------
        ModelError
            If the file of consents is damaged: then nothing counts as agreed to.
        """
        found = checksums(files)
        known = [*(checksums({CODE: zoo_code(name)}) for name in sizes.FILES), *(e["sha256"] for e in self._read())]
        return any(entry and entry.items() <= found.items() for entry in known)

    def remember(self, files: Mapping[str, str], source: str) -> None:
        """Remember that exactly these files may run: somebody started a run with them here, or has agreed to them.

        Parameters
        ----------
        files
            Content by name. Of a zoo model only its code decides, since each run has a config of its own.
        source
            Where they came from, for whoever reads the file of consents.

        Raises
        ------
        ModelError
            If the file of consents is damaged or can't be written.
        """
        found = checksums(files)
        if found not in [entry["sha256"] for entry in self._read()]:
            self._add({"kind": "files", "id": source, "revision": "", "sha256": found})

    def _add(self, entry: dict[str, Any]) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.file}.lock"):
                granted = {"granted": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
                entries = [*self._read(), entry | granted]
                replace_text(self.file, json.dumps({"schema": 1, "trusted": entries}, indent=2) + "\n", sync=True)
        except (OSError, RunError) as error:
            raise ModelError(
                f"Your consent can't be saved in {self.file}: {getattr(error, 'strerror', None) or error}",
                hint="Set TB_CONFIG_DIR to a folder you can write to.",
            ) from error

    def require(self, source: ModelSource, purpose: str = "Training") -> None:
        """Let pass what may run.

        Parameters
        ----------
        purpose
            What it would run for, as the beginning of a sentence.

        Raises
        ------
        ModelError
            If nobody has agreed to run this model's code; the message names it, and the hint how to agree.
        """
        trust = self.state(source)
        if trust.state == "trusted":
            return
        origin = source.origin
        kind = {"gist": "Gist", "hub": "Hub repository"}[origin["kind"]]
        what = f"{kind} {origin['id']} by {origin['owner'] or 'an unknown owner'}, revision {origin['revision']}"
        why = "you have not agreed to it yet"
        if trust.state == "changed":
            why = f"you agreed to another revision, {trust.revision[:10]}, and it has changed since"
        raise ConsentError(
            f"{purpose} would run the code of {what}, but {why}.",
            hint=f"Read it at {origin['url']}; then agree on the page, or with --trust (trust=True in Python).",
        )

    def _read(self) -> list[dict[str, Any]]:
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise self._damaged(str(error)) from error
        try:
            content = json.loads(text)
            entries = content["trusted"]
            for entry in entries:
                if not all(isinstance(entry[key], str) for key in ("kind", "id", "revision")):
                    raise TypeError("an entry without kind, id or revision")  # noqa: TRY301
                if not isinstance(entry["sha256"], dict):
                    raise TypeError("an entry without checksums")  # noqa: TRY301
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(str(error)) from error
        return list(entries)

    def _damaged(self, why: str) -> ModelError:
        return ModelError(
            f"{self.file}, the list of trusted code, can't be read: {why}. So no code is trusted.",
            hint="Fix it, or delete it and agree again.",
        )


def require_frozen(folder: Path, purpose: str, *, trust: bool = False) -> None:
    """Let the code that a run has frozen pass, if somebody on this machine has agreed to these very files.

    Parameters
    ----------
    folder
        The run's model folder; one that is missing holds nothing that could run.
    purpose
        What the code would run for, as the beginning of a sentence.
    trust
        Agree to run it; this is remembered for these very files.

    Raises
    ------
    ConsentError
        If nobody has.
    ModelError
        If the files can't be read, or the file of consents is damaged or can't be written.
    """
    if not folder.is_dir():
        return
    source, store = read_source(folder), TrustStore()
    if trust:
        store.remember(source.files, str(source.origin.get("source", "")))
    elif not store.knows(source.files):
        raise ConsentError(
            f"{purpose} would run the code in {folder / CODE}, but nobody on this machine has agreed to it: "
            "the run was started elsewhere, or its code was changed.",
            hint="Read it; then agree on the page, or with --trust (trust=True in Python).",
        )


def _entry(source: ModelSource) -> dict[str, Any]:
    origin = source.origin
    return {"kind": origin["kind"], "id": origin["id"], "revision": origin["revision"], "sha256": origin["fetched"]}


def _diff(trusted: str, source: ModelSource) -> str:
    origin = source.origin
    before = copies.find_copy(origin["kind"], origin["id"], trusted)
    # What was agreed to was the file as it came, without overrides or repairs.
    now = copies.find_copy(origin["kind"], origin["id"], origin["revision"]) or source
    lines: list[str] = []
    for name in (CODE, CONFIG):
        label = f"{name} {trusted[:10]}" + ("" if before else " (no copy is left, so everything counts as new)")
        lines += difflib.unified_diff(
            source_text.lines(before.files[name] if before else ""),
            source_text.lines(now.files[name]),
            fromfile=label,
            tofile=f"{name} {origin['revision'][:10]}",
            lineterm="",
        )
    return "\n".join(lines)
