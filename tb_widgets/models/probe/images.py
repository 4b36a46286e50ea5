"""Try a built model on a few images, and conclude which size it takes and how many classes it tells apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tb_widgets.errors import ModelError, UndecidedError
from tb_widgets.models import syntax
from tb_widgets.models.adapter import Adapter, Conclusion
from tb_widgets.models.probe.evidence import Claim
from tb_widgets.models.probe.outputs import conclusion, may_hold_logits, told_by
from tb_widgets.models.probe.signature import Reading
from tb_widgets.models.probe.trial import PROBABILITIES, ROWS, are_probabilities, shapes_in_words
from tb_widgets.models.quoted_error import quoted_error
from tb_widgets.models.source import CONFIG, ModelSource
from tb_widgets.models.undisturbed import device_of
from tb_widgets.spec import ModelSpec

_SIZE_NAMES = ("image_size", "img_size", "input_size", "image_dim", "img_dim", "resolution")
_CHANNEL_NAMES = ("num_channels", "in_channels", "in_chans", "channels", "n_channels", "img_channels", "num_channel")
_USUAL_SIZES = (32, 28, 64, 224, 96, 128, 256, 384, 16, 48, 8, 299)
# Names that only token ids have.
_TEXT_NAMES = ("input_ids", "input_0_tokens", "idx", "tokens", "ids", "token_ids", "text", "src")


def looks_like_images(module: nn.Module, reading: Reading, claim: Claim | None) -> bool:
    """Tell whether a model reads images rather than tokens."""
    if claim is not None:
        return claim.task == "vision-classification"
    if reading.names_images:
        return True
    if reading.shown in _TEXT_NAMES or reading.decoder is not None:
        return False
    patches = any("patch" in name.lower() for name, _ in module.named_modules())
    tables = any(isinstance(part, nn.Embedding) for part in module.modules())
    return patches or (not tables and any(isinstance(part, nn.Conv2d) for part in module.modules()))


def probe_images(
    module: nn.Module, reading: Reading, source: ModelSource, spec: ModelSpec, claim: Claim | None
) -> Adapter:
    """Conclude how an image classifier is called.

    Raises
    ------
    ModelError
        If no usual size of image runs, or the output is not one row of logits per image.
    """
    if claim is not None and claim.task != "vision-classification":
        raise UndecidedError(
            f"{claim.why.rstrip('.')}: {claim.task}. But the model reads images ({reading.shown}).",
            field="model.task",
            answers=("vision-classification",),
            hint="Set model.task to vision-classification, or model.input to the argument that takes tokens.",
        )
    device = device_of(module)
    draw = torch.Generator().manual_seed(0)
    first: Exception | None = None
    asked = ""
    for channels, height, width, why in _candidates(module, source, spec):
        for extras in reading.fillings():
            arguments = {"images": reading.input}
            if reading.labels in reading.required:
                arguments["labels"] = reading.labels or ""
            adapter = Adapter(
                task="vision-classification", arguments=arguments, image=(channels, height, width), extras=extras
            )
            images = torch.randn(ROWS, channels, height, width, generator=draw).to(device)
            batch = {"images": images, "labels": torch.zeros(ROWS, dtype=torch.int64, device=device)}
            try:
                output = adapter.call(module, batch)
            except Exception as error:  # noqa: BLE001  (whatever the model's code raises: then it is another size)
                asked = asked or str(tuple(images.shape))
                first = first or error
                continue
            size = Conclusion("image", f"{channels} × {height} × {width}", why, "model.image_size")
            return _concluded(adapter, output, spec, [*_how_called(reading, spec, claim), size])
    if spec.image_size or spec.image_channels:
        raise ModelError(
            f"{_decided(spec)}: the model's forward fails on images of shape {asked}: "
            f"{quoted_error(first) if first else 'nothing could be tried'}.",
            hint="Leave these fields empty to find the size, or set the one that the model was built for.",
        ) from first
    raise ModelError(
        f"The model's forward fails on images of shape {asked}, and of every other common size: "
        f"{quoted_error(first) if first else 'nothing could be tried'}.",
        hint='It must take images (B, C, H, W). Add "image_size" and "num_channels" to config.json.',
    ) from first


def _how_called(reading: Reading, spec: ModelSpec, claim: Claim | None) -> list[Conclusion]:
    task_why = claim.why if claim else f"forward takes images ({reading.shown}) and returns one row of logits for each."
    taken = "Set by model.input." if spec.input else "Passed as the first positional argument."
    return [
        Conclusion("task", "vision-classification", task_why, "model.task"),
        Conclusion("input", reading.shown, taken, "model.input"),
    ]


def _concluded(adapter: Adapter, output: Any, spec: ModelSpec, conclusions: list[Conclusion]) -> Adapter:
    tensors = may_hold_logits(output, spec.output)
    rows = [(key, leaf) for key, leaf in tensors if leaf.is_floating_point() and _is_row(leaf)]
    assert adapter.image is not None  # noqa: S101  (it has just been tried)
    if not rows:
        shape = (ROWS, *adapter.image)
        raise ModelError(
            f"For images of shape {shape} the model's forward returned {shapes_in_words(tensors)}"
            f"{told_by(spec.output)}.",
            hint=f"An image classifier returns one row of logits per image: ({ROWS}, classes).",
        )
    key, leaf = rows[0]
    conclusions.append(Conclusion("classes", f"{leaf.shape[-1]:,}", "Each image gets one row of that many logits."))
    if said := conclusion(output, key, spec.output):
        conclusions.append(said)
    probabilities = are_probabilities(leaf)
    if probabilities:
        conclusions.append(PROBABILITIES)
    return replace(
        adapter,
        output=key,
        classes=leaf.shape[-1],
        probabilities=probabilities,
        conclusions=tuple(conclusions),
    )


def _is_row(leaf: Tensor) -> bool:
    return leaf.dim() >= 2 and leaf.shape[0] == ROWS and leaf[0].numel() == leaf.shape[-1]


def _decided(spec: ModelSpec) -> str:
    """Write what the user says about the images."""
    values = {"model.image_size": spec.image_size, "model.image_channels": spec.image_channels}
    return " and ".join(f"{name} is {value}" for name, value in values.items() if value is not None)


def _candidates(module: nn.Module, source: ModelSource, spec: ModelSpec) -> Iterator[tuple[int, int, int, str]]:
    """Yield (C, H, W, why), likeliest first; what the user says, and nothing else, where there is that."""
    config = syntax.sizes_in(source.config) if CONFIG in source.files else {}
    conv = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    said = _first_size(config, _CHANNEL_NAMES)
    many = [(conv.in_channels, "the first convolution")] if conv is not None else []
    many += [(said[0], "config.json")] if said else []
    many += [(3, "a common number of channels"), (1, "a common number of channels")] if not many else []
    if spec.image_channels:
        many = [(spec.image_channels, "model.image_channels")]
    sides = list(_sides(module, config))
    if spec.image_size:
        sides = [(spec.image_size, spec.image_size, "model.image_size")]
    seen = set()
    for height, width, why in sides:
        for channels, origin in many:
            if (channels, height, width) not in seen:
                seen.add((channels, height, width))
                yield channels, height, width, f"Channels: {origin}. Size: {why}."


def _sides(module: nn.Module, config: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    if size := _first_size(config, _SIZE_NAMES):
        yield *size, "config.json"
    for part in module.modules():
        for holder in (part, getattr(part, "config", None)):
            attributes = holder if isinstance(holder, dict) else getattr(holder, "__dict__", {})
            if size := _first_size(attributes, _SIZE_NAMES):
                yield *size, "the model's own image size"
    for side in _USUAL_SIZES:
        yield side, side, "the first common size that works"


def _first_size(values: dict[str, Any], names: tuple[str, ...]) -> tuple[int, int] | None:
    for name in names:
        value = values.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value, value
        if isinstance(value, tuple | list) and len(value) >= 2 and all(isinstance(v, int) and v > 0 for v in value):
            return value[-2], value[-1]
    return None
