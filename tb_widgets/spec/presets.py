"""Named starting points. A preset is a spec; everything in it can still be changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tb_widgets.errors import SpecError
from tb_widgets.spec.run_spec import RunSpec


@dataclass(frozen=True)
class Preset:
    """A starting point: its name, what it is good for, and the fields that differ from the default spec."""

    name: str
    title: str
    help: str
    values: dict[str, Any]

    def spec(self) -> RunSpec:
        """Return the spec of this preset."""
        return RunSpec().with_values(self.values)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "Quick look",
            "About a minute on two CPU cores: enough to see words emerge.",
            {
                "model.preset": "tiny",
                "data.context_length": 64,
                "tokenizer.vocab_size": 1024,
                "training.steps": 600,
                "training.batch_size": 16,
                "training.learning_rate": 3e-3,
                "evaluation.every": 100,
                "evaluation.batches": 10,
                "checkpoints.every": 200,
            },
        ),
        Preset("small", "Small", "Several minutes on two CPU cores: short coherent phrases.", {}),
        Preset(
            "standard",
            "Standard",
            "A GPU, or an hour on a CPU: sentences in the style of your text.",
            {
                "model.preset": "medium",
                "data.context_length": 256,
                "tokenizer.vocab_size": 4096,
                "training.steps": 5000,
                "training.learning_rate": 6e-4,
                "evaluation.every": 250,
                "checkpoints.every": 500,
            },
        ),
        Preset(
            "shakespeare-char",
            "Characters, nanoGPT size",
            "As many weights as nanoGPT's CPU recipe (0.8 million), for any small text: 1 layer, 4 heads, width 128, "
            "context 64, and vectors for three characters in a row. It is as good after a tenth of the computing.",
            {
                # Tiny Shakespeare, 1,000 steps: loss 1.634 after 38 CPU seconds. Two layers and 11,000 trigrams: 1.641
                # after 60; four layers, no trigrams, gelu, tied, momentum 0.95: 1.628 after 104.
                "model.config": {
                    "n_layer": 1,
                    "ngram": 4,
                    "trigrams": 17_000,
                    "activation": "relu2",
                    "tie_weights": False,
                },
                "data.context_length": 64,
                "tokenizer.kind": "char",
                "training.steps": 1000,
                "training.batch_size": 12,
                "training.optimizer": "muon",
                "training.learning_rate": 0.01,
                "training.momentum": 0.85,
                "training.relative_rates": {"embedding": 2.0},
                "training.schedule": "wsd",
                "training.cooldown": 0.6,
                "training.min_lr_fraction": 0.0,
                "evaluation.every": 50,
                "checkpoints.every": 200,
            },
        ),
    )
}


def preset(name: str) -> RunSpec:
    """Return the spec of a preset.

    Raises
    ------
    SpecError
        If there is no preset of that name.
    """
    if name not in PRESETS:
        raise SpecError([("preset", f"there is no preset {name!r}. Choose from: {', '.join(PRESETS)}.")])
    return PRESETS[name].spec()
