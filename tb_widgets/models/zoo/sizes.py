"""Sizes of the zoo's models and what follows from them by arithmetic, so that a form needs no torch."""

from __future__ import annotations

import difflib
from typing import Any

from tb_widgets.errors import ModelError
from tb_widgets.spec import Task, labels

ZOO_TITLES = labels.ZOO_TITLES
FILES = {name: name.partition("-")[0] for name in ZOO_TITLES}
"""The file in this folder that builds each."""
ZOO_TASKS: dict[str, Task] = {
    "gpt": "causal-lm",
    "bert": "masked-lm",
    "bert-classifier": "sequence-classification",
    "t5": "seq2seq",
    "vit": "vision-classification",
}

_TINY = {"n_layer": 3, "n_head": 3, "n_embd": 96}
_SMALL = {"n_layer": 4, "n_head": 4, "n_embd": 128}
_MEDIUM = {"n_layer": 6, "n_head": 6, "n_embd": 384}
# Parameters with the vocabulary of the default tokenizer (2,048) and the default context (128).
ZOO_PRESETS: dict[str, dict[str, dict[str, int]]] = {
    "gpt": {
        "tiny": _TINY,  # 0.53 M (0.43 M at 1,024)
        "small": _SMALL,  # 1.05 M (0.80 M with 65 characters)
        "medium": _MEDIUM,  # 11.4 M
    },
    "bert": {"tiny": _TINY, "small": _SMALL, "medium": _MEDIUM},  # 0.55 M, 1.07 M, 11.5 M
    "bert-classifier": {"tiny": _TINY, "small": _SMALL, "medium": _MEDIUM},
    # Layers on either side.
    "t5": {  # 0.36 M, 1.18 M, 13.2 M
        "tiny": {"n_layer": 2, "n_head": 2, "n_embd": 64},
        "small": {"n_layer": 2, "n_head": 4, "n_embd": 128},
        "medium": {"n_layer": 3, "n_head": 6, "n_embd": 384},
    },
    "vit": {  # 0.21 M, 0.80 M, 10.7 M
        "tiny": {"n_layer": 4, "n_head": 4, "n_embd": 64},
        "small": {"n_layer": 4, "n_head": 4, "n_embd": 128},
        "medium": {"n_layer": 6, "n_head": 6, "n_embd": 384},
    },
}

_DEFAULTS: dict[str, dict[str, Any]] = {
    "gpt": {"positions": "rope", "mlp_ratio": 4, "bias": False, "dropout": 0.0, "tie_weights": True}
    | {"ngram": 1, "activation": "gelu", "trigrams": 0},
    "bert": {"mlp_ratio": 4, "dropout": 0.0},
    "bert-classifier": {"classes": 2, "mlp_ratio": 4, "dropout": 0.0},
    "t5": {"mlp_ratio": 4, "dropout": 0.0, "buckets": 32, "max_distance": 128},
    "vit": {"channels": 1, "image_size": 32, "patch_size": 4, "classes": 4, "mlp_ratio": 4, "dropout": 0.0},
}
_WHOLE = (
    *("vocab_size", "context_length", "n_layer", "n_head", "n_embd", "mlp_ratio"),
    *("buckets", "max_distance", "channels", "image_size", "patch_size", "classes"),
    "ngram",
)
_LABELS = ("model_name", "task")


def zoo_config(
    name: str,
    preset: str,
    overrides: dict[str, Any],
    *,
    vocab_size: int | None,
    context_length: int,
    classes: int | None = None,
) -> dict[str, Any]:
    """Return the full config of one of the zoo's models.

    A classifier of texts tells as many ``classes`` apart as the data have; 2 where they are not known yet.

    Raises
    ------
    ModelError
        If an override has an unknown name, an impossible value, or contradicts another.
    """
    config: dict[str, Any] = {"model_name": f"{name}-{preset}", "task": ZOO_TASKS[name]}
    if name != "vit":
        config["vocab_size"] = vocab_size
    if FILES[name] in ("gpt", "bert"):
        config["context_length"] = context_length
    config |= ZOO_PRESETS[name][preset] | _DEFAULTS[name]
    if classes is not None and "classes" in config:
        config["classes"] = classes
    for key, value in overrides.items():
        if key not in config or key in _LABELS:
            names = [known for known in config if known not in _LABELS]
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
            raise ModelError(
                f"model.config.{key}: zoo:{name} has no such setting.",
                hint=f"Did you mean {near[0]}?" if near else f"It has: {', '.join(names)}.",
            )
        config[key] = value
    if config.get("vocab_size", 0) is None:
        raise ModelError(
            f"zoo:{name} needs a vocabulary size.",
            hint="Set model.config.vocab_size, or choose a text.",
        )
    _check(config)
    return config


def _check(config: dict[str, Any]) -> None:
    for name in (*_WHOLE, "trigrams"):
        value, least = config.get(name, 1), 0 if name == "trigrams" else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ModelError(f"model.config.{name} must be a whole number of at least {least}, not {value!r}.")
    for name in ("bias", "tie_weights"):
        if not isinstance(config.get(name, True), bool):
            raise ModelError(f"model.config.{name} must be true or false, not {config[name]!r}.")
    dropout = config["dropout"]
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ModelError(f"model.config.dropout must be a number from 0 to below 1, not {dropout!r}.")
    positions = config.get("positions", "learned")
    if positions not in ("rope", "learned"):
        raise ModelError(f"model.config.positions must be rope or learned, not {positions!r}.")
    activation = config.get("activation", "gelu")
    if activation not in ("gelu", "relu2"):
        raise ModelError(f"model.config.activation must be gelu or relu2, not {activation!r}.")
    width, heads = config["n_embd"], config["n_head"]
    # Rotary positions turn pairs of features, so a head needs an even width.
    unit = heads * 2 if positions == "rope" else heads
    if width % unit:
        raise ModelError(
            f"model.config.n_embd is {width}, which {heads} heads can't split evenly.", hint=_nearest(width, unit)
        )
    if "patch_size" in config and config["image_size"] % config["patch_size"]:
        raise ModelError(
            f"model.config.image_size is {config['image_size']}, which patches of {config['patch_size']} can't fill.",
            hint=_nearest(config["image_size"], config["patch_size"]),
        )
    if "buckets" in config and (config["buckets"] % 4 or config["max_distance"] <= config["buckets"] // 2):
        raise ModelError(
            f"model.config.buckets is {config['buckets']} and model.config.max_distance {config['max_distance']}.",
            hint="Set buckets to a multiple of 4, and max_distance to more than half of it.",
        )


def _nearest(value: int, unit: int) -> str:
    below, above = value // unit * unit, (value // unit + 1) * unit
    return f"Try {below} or {above}." if below else f"Try {above}."


def count_parameters(name: str, config: dict[str, Any]) -> int:
    """Count a zoo model's weights by formula; tied ones count once."""
    return int({"gpt": _gpt, "bert": _bert, "t5": _t5, "vit": _vit}[FILES[name]](config))


def _gpt(config: dict[str, Any]) -> int:
    width, bias = config["n_embd"], 1 if config["bias"] else 0
    tables = config["vocab_size"] * width * (1 if config["tie_weights"] else 2)
    tables += (config["vocab_size"] + 1) * width * (config["ngram"] - 1)
    if config["trigrams"]:
        tables += (config["trigrams"] + width) * (width // 4)
    if config["positions"] == "learned":
        tables += config["context_length"] * width
    return int(tables + _encoder(config, bias) + width * (1 + bias))


def _bert(config: dict[str, Any]) -> int:
    width = config["n_embd"]
    tables = (config["vocab_size"] + config["context_length"]) * width
    output = (width + 1) * config["classes"] if "classes" in config else config["vocab_size"]
    return int(tables + _encoder(config, 1) + 2 * width + output)


def _vit(config: dict[str, Any]) -> int:
    width, patch = config["n_embd"], config["patch_size"]
    patches = (config["image_size"] // patch) ** 2
    reading = (config["channels"] * patch * patch + 1) * width + patches * width
    return int(reading + _encoder(config, 1) + 2 * width + (width + 1) * config["classes"])


def _encoder(config: dict[str, Any], bias: int) -> int:
    """Count the weights of layers with two norms, fused attention and an MLP."""
    width, hidden = config["n_embd"], config["mlp_ratio"] * config["n_embd"]
    norms = 2 * width * (1 + bias)
    attention = 4 * width * width + bias * 4 * width
    mlp = 2 * width * hidden + bias * (hidden + width)
    return int(config["n_layer"] * (norms + attention + mlp))


def _t5(config: dict[str, Any]) -> int:
    width, mlp = config["n_embd"], 2 * config["mlp_ratio"] * config["n_embd"] ** 2
    layers = (4 * width * width + mlp + 2 * width) + (8 * width * width + mlp + 3 * width)
    stacks = 2 * (config["buckets"] * config["n_head"] + width)
    return int(config["vocab_size"] * width + config["n_layer"] * layers + stacks)
