"""Looking at datasets of the Hub before anything of them is fetched."""

from __future__ import annotations

from typing import Any

from tb_widgets.data.remote.hub import Repository, chosen_splits, hub_api, split_names
from tb_widgets.data.remote.hub_errors import explained
from tb_widgets.data.remote.rows import Report, beginning
from tb_widgets.spec.hub_address import HubAddress

SEARCH = 15.0  # seconds


def inspect(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    """Tell what a dataset holds, as far as its choices allow; only its beginning is read."""
    address = HubAddress(asked["id"], asked["revision"])
    report("Asking the Hub", 0.0)
    repository = Repository(address)
    configs = repository.configs
    facts: dict[str, Any] = {
        "id": address.id,
        "revision": repository.commit,
        "description": str(getattr(repository.info, "description", None) or "").strip()[:500],
        "configs": configs,
        "config": None,
        "splits": [],
        "columns": [],
        "first_rows": [],
    }
    if asked["config"] is None and len(configs) > 1 and "default" not in configs:
        return facts
    report("Reading the first rows", 0.5)
    builder = repository.builder(asked["config"])
    known = builder.info.splits or {}
    for name in split_names(builder):
        size = sum(repository.sizes[path] for path in repository.paths_of(builder, name))
        rows = known[name].num_examples if name in known else None
        facts["splits"].append({"name": name, "size": size, "rows": rows})
    first = asked["split"] or ("train" if "train" in split_names(builder) else split_names(builder)[0])
    chosen_splits(builder, address.id, first, None)
    with explained(address):
        columns, rows = beginning(builder, first)
    return {**facts, "config": builder.config.name, "columns": columns, "first_rows": rows}


def search(words: str, limit: int) -> dict[str, Any]:
    """Return the datasets of the Hub whose names hold some words, the most used first."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

    asked: dict[str, str | int] = {"search": words, "sort": "downloads", "direction": -1, "limit": limit}
    with explained(HubAddress(repr(words)), "search"):
        # The client's own list tries for half a minute before it says that there is no network.
        url = f"{hub_api().endpoint}/api/datasets"
        response = get_session().get(url, params=asked, headers=build_hf_headers(), timeout=SEARCH)
        hf_raise_for_status(response)
        return {"hits": [_hit(info) for info in response.json()]}


def _hit(info: dict[str, Any]) -> dict[str, Any]:
    sizes = [tag.partition(":")[2] for tag in info.get("tags") or [] if tag.startswith("size_categories:")]
    about = " ".join(str(info.get("description") or "").split())[:200]
    facts = {"id": str(info["id"]), "downloads": int(info.get("downloads") or 0), "rows": sizes[0] if sizes else ""}
    return {**facts, "gated": bool(info.get("gated")), "about": about}
