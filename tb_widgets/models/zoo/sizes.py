"""Sizes of the zoo's models and what follows from them by arithmetic, so that a form needs no torch."""

from __future__ import annotations

import difflib
from typing import Any

from tb_widgets.errors import ModelError

TITLES = {"gpt": "GPT"}

# n_layer, n_head, n_embd. Parameters with the vocabulary of the default tokenizer (2,048):
PRESETS: dict[str, dict[str, int]] = {
    "tiny": {"n_layer": 3, "n_head": 3, "n_embd": 96},  # 0.53 M (0.43 M at 1,024)
    "small": {"n_layer": 4, "n_head": 4, "n_embd": 128},  # 1.05 M
    "medium": {"n_layer": 6, "n_head": 6, "n_embd": 384},  # 11.4 M
    "shakespeare-char": {"n_layer": 4, "n_head": 4, "n_embd": 128},  # 0.80 M with 65 characters
}

DEFAULTS: dict[str, Any] = {
    "positions": "rope",
    "mlp_ratio": 4,
    "bias": False,
    "dropout": 0.0,
    "tie_weights": True,
}
_WHOLE = ("vocab_size", "context_length", "n_layer", "n_head", "n_embd", "mlp_ratio")


def gpt_config(
    preset: str, overrides: dict[str, Any], *, vocab_size: int | None, context_length: int
) -> dict[str, Any]:
    """Return the full config of the zoo's GPT.

    Raises
    ------
    ModelError
        If an override has an unknown name, an impossible value, or contradicts another.
    """
    config: dict[str, Any] = {
        "model_name": f"gpt-{preset}",
        "vocab_size": vocab_size,
        "context_length": context_length,
        **PRESETS[preset],
        **DEFAULTS,
    }
    for name, value in overrides.items():
        if name not in config:
            near = difflib.get_close_matches(name, config, n=1, cutoff=0.5)
            known = ", ".join(key for key in config if key != "model_name")
            raise ModelError(
                f"model.config.{name}: zoo:gpt has no such setting.",
                hint=f"Did you mean {near[0]}?" if near else f"It has: {known}.",
            )
        config[name] = value
    if config["vocab_size"] is None:
        raise ModelError(
            "zoo:gpt does not know how many tokens there are.", hint="Set model.config.vocab_size, or choose a text."
        )
    _check(config)
    return config


def _check(config: dict[str, Any]) -> None:
    for name in _WHOLE:
        value = config[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ModelError(f"model.config.{name} must be a whole number of at least 1, not {value!r}.")
    for name in ("bias", "tie_weights"):
        if not isinstance(config[name], bool):
            raise ModelError(f"model.config.{name} must be true or false, not {config[name]!r}.")
    dropout = config["dropout"]
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ModelError(f"model.config.dropout must be a number from 0 to below 1, not {dropout!r}.")
    if config["positions"] not in ("rope", "learned"):
        raise ModelError(f"model.config.positions must be rope or learned, not {config['positions']!r}.")
    width, heads = config["n_embd"], config["n_head"]
    # Rotary positions turn pairs of features, so a head needs an even width.
    unit = heads * 2 if config["positions"] == "rope" else heads
    if width % unit:
        below, above = width // unit * unit, (width // unit + 1) * unit
        ways = f"{below} or {above}" if below else str(above)
        raise ModelError(
            f"model.config.n_embd is {width}, which {heads} heads can't share evenly.", hint=f"Try {ways}."
        )


def gpt_parameters(config: dict[str, Any]) -> int:
    """Count the GPT's weights by formula; a tied output layer counts once."""
    width, bias = config["n_embd"], 1 if config["bias"] else 0
    hidden = config["mlp_ratio"] * width
    norm = width * (1 + bias)
    attention = 4 * width * width + bias * 4 * width
    mlp = 2 * width * hidden + bias * (hidden + width)
    tables = config["vocab_size"] * width * (1 if config["tie_weights"] else 2)
    if config["positions"] == "learned":
        tables += config["context_length"] * width
    return int(tables + config["n_layer"] * (2 * norm + attention + mlp) + norm)
