"""What the faces ask of models: what an address names, what is in its files, whether they may run, what can be mended.

Panels and commands know these names and no room below the service, so that one may be rearranged without the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from tb_widgets.errors import ModelError
from tb_widgets.models import source_text
from tb_widgets.models.describe import ModelSummary, describe
from tb_widgets.models.repairs.repairs import OpenFault, Repair, apply_repairs, open_faults, repairs
from tb_widgets.models.source import (
    CODE,
    CONFIG,
    ModelSource,
    read_source,
)
from tb_widgets.models.sources import copies, upload
from tb_widgets.models.sources.address import is_gist, parse_gist
from tb_widgets.models.sources.resolve import decided, fetch, is_fetched, pinned, resolve
from tb_widgets.models.trust.consent import Trust, TrustStore, needs_consent, require_frozen
from tb_widgets.models.trust.findings import Finding, findings
from tb_widgets.models.zoo.sizes import ZOO_TITLES
from tb_widgets.spec.hub_address import parse_hub
from tb_widgets.spec.hub_pages import model_source

__all__ = [
    "CODE",
    "CONFIG",
    "ZOO_TITLES",
    "Finding",
    "ModelSource",
    "ModelSummary",
    "OpenFault",
    "Repair",
    "Trust",
    "TrustStore",
    "apply_repairs",
    "decided",
    "describe",
    "fetch",
    "findings",
    "is_fetched",
    "keep_files",
    "kept_copies",
    "names_whole_address",
    "needs_consent",
    "open_faults",
    "pinned",
    "read_source",
    "repairs",
    "require_frozen",
    "resolve",
    "source_text",
]


def kept_copies(address: str) -> list[ModelSource]:
    """Return the revisions of a Gist or Hub repository that are kept on this machine, the latest first."""
    try:
        if address.startswith("hub:"):
            return copies.revisions("hub", parse_hub(address, "model").id)
        return copies.revisions("gist", parse_gist(address).id)
    except ModelError:
        return []  # what is no address has no copies


def keep_files(files: Mapping[str, bytes]) -> ModelSource:
    """Keep a model that arrived as the content of its files by name, or as one zip that holds them.

    Raises
    ------
    ModelError
        If model.py or config.json is missing, too large, or not text.
    """
    names = list(files)
    if len(names) == 1 and names[0].lower().endswith(".zip"):
        return upload.from_zip(files[names[0]])
    return upload.from_files(files)


def names_whole_address(text: str) -> bool:
    """Tell whether a text is all of the address of a Gist, or of a page of the Hub."""
    named = model_source(text)
    if not is_gist(text) and named == text:
        return False
    try:
        parse_gist(text) if is_gist(text) else parse_hub(named, "model")
    except ModelError:
        return False
    return True
