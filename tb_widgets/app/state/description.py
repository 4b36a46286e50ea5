"""What can be told of a spec on this machine without running anything: its model's sizes, and what is missing."""

from __future__ import annotations

from typing import NamedTuple

from tb_widgets.app.words import without_upload_folder
from tb_widgets.errors import DataError, ModelError, TbError
from tb_widgets.service.data import find_files, local_tokenizer, opened_files, resolve_source
from tb_widgets.service.memory import MemoryNeed, has_gpu
from tb_widgets.service.models import ModelSummary, describe, resolve
from tb_widgets.spec import DataSpec, ModelSpec, RunSpec, TokenizerSpec
from tb_widgets.wording import size_in_words

# What the sizes of our models are called in the form.
SIZES = {"n_layer": "Layers", "n_head": "Heads", "n_embd": "Width"}
# What a path raises that no file system can hold: too long, or the home folder of nobody.
ODD_PATH = (OSError, RuntimeError, ValueError)
LONGEST_REASON = 400  # characters; a path may have thousands


class Description(NamedTuple):
    """A spec's model, ``None`` where it can't be had, and the reasons why fields are refused, by their paths."""

    model: ModelSummary | None
    problems: dict[str, str]


def described(spec: RunSpec, *, vocab_size: int | None, classes: int | None) -> Description:
    """Describe a spec.

    Parameters
    ----------
    vocab_size, classes
        How many token ids and classes a model of ours is built for.
    """
    problems = {}
    if spec.hardware.device.startswith("cuda") and not has_gpu():
        problems["hardware.device"] = "this machine has no NVIDIA GPU. Set it to auto or cpu."
    try:
        _require_data(spec.data)
    except (TbError, *ODD_PATH) as error:
        problems["data.source"] = reason_of(error, "data.source")
    try:
        _require_tokenizer(spec.tokenizer)
    except TbError as error:
        problems["tokenizer.file"] = reason_of(error, "tokenizer.file")
    model = None
    try:
        model = _model(spec.model, vocab_size=vocab_size, classes=classes, context_length=spec.data.context_length)
    except (TbError, *ODD_PATH) as error:
        overrides = str(error).startswith("model.config")
        reason = reason_of(error, "model.source", "model.config")
        for name, title in SIZES.items() if spec.model.source.startswith("zoo:") else ():
            reason = reason.replace(f"model.config.{name}", title)
        reason = reason.replace("model.config.", "")  # the settings of a model, as they are written in this field
        problems["model.config" if overrides else "model.source"] = reason
    return Description(model, problems)


def too_large(
    spec: RunSpec, need: MemoryNeed, model: ModelSummary | None, *, vocab_size: int | None, classes: int | None
) -> dict[str, str]:
    """Return why a model can't be trained in this machine's memory, by the path of the field to change.

    Of a model of ours it names the size, and the most layers that there is room for.
    """
    takes = f"parameters and optimiser alone take {size_in_words(need.states)}"
    there = f"{need.device} has {size_in_words(need.there)}"
    sizes = model.sizes if model is not None else {}
    if not sizes or model is None or not model.parameters:
        return {"model.source": f"{takes}, and {there}. Choose a smaller model."}
    layers, width = sizes["n_layer"], sizes["n_embd"]
    one_layer = spec.model.model_copy(update={"config": {**spec.model.config, "n_layer": 1}})
    least = _model(one_layer, vocab_size=vocab_size, classes=classes, context_length=spec.data.context_length)
    base, room = least.parameters or 0, model.parameters * need.there // need.states
    each = (model.parameters - base) / max(1, layers - 1)
    if room >= base and each:
        most = 1 + int((room - base) / each)
        return {"model.config": f"{SIZES['n_layer']} is {layers:,}: {takes}, and {there}. Enter at most {most:,}."}
    return {
        "model.config": f"{SIZES['n_embd']} is {width:,}: even with one layer the model is too large, and {there}. "
        "Enter a smaller width."
    }


def reason_of(error: Exception, *paths: str) -> str:
    """Return why a field is refused, without the field's name, which stands beside it."""
    text = str(error) if isinstance(error, TbError) else f"This path can't be read: {error}"
    for path in paths:
        text = text.removeprefix(f"{path}: ")
    text = without_upload_folder(text)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]} …"


def _model(spec: ModelSpec, *, vocab_size: int | None, classes: int | None, context_length: int) -> ModelSummary:
    if not spec.source:
        raise ModelError("Enter a path, the address of a Gist or hub:OWNER/NAME.")
    # A form waits for no network: it was fetched before, or not.
    return describe(resolve(spec, vocab_size=vocab_size, classes=classes, context_length=context_length, online=False))


def _require_data(data: DataSpec) -> None:
    """See whether data can be found on this machine; what is in them is looked at elsewhere, which takes longer."""
    if not data.source:
        raise DataError("Choose a dataset, or enter a path, an https:// address or hub:OWNER/NAME.")
    source = resolve_source(data)
    if not source.is_here:
        raise DataError("it is not on this machine yet.", hint="Press Download in the Data step.")
    if source.kind == "files":
        opened_files(find_files(data.source))


def _require_tokenizer(tokenizer: TokenizerSpec) -> None:
    if tokenizer.kind != "file":
        return
    if not tokenizer.file:
        raise DataError("Enter the path of a tokenizer.json, or hub:OWNER/NAME.")
    if tokenizer.file.startswith("hub:"):
        local_tokenizer(tokenizer.file)
