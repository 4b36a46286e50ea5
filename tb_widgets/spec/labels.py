"""What the values of settings are called on a page. Files and command lines hold the values themselves."""

from __future__ import annotations

from tb_widgets.spec.metrics import METRICS
from tb_widgets.spec.tasks import TASKS

AUTO = {"auto": "Automatic"}
ZOO_TITLES = {"gpt": "GPT", "bert": "BERT", "bert-classifier": "BERT classifier", "t5": "T5", "vit": "ViT"}
"""What people call the built-in models."""
MODELS = {f"zoo:{name}": title for name, title in ZOO_TITLES.items()}
MODEL_SIZES = {"tiny": "Tiny", "small": "Small", "medium": "Medium"}
TASK_LABELS = AUTO | {str(name): f"{record.title[0].upper()}{record.title[1:]}" for name, record in TASKS.items()}
MASKS = AUTO | {
    "none": "None",
    "keep": "Keep: True = real",
    "drop": "Drop: True = padding",
    "additive": "Additive: -inf = padding",
}
ORDERS = AUTO | {"rows-first": "Rows first: (texts, length)", "time-first": "Time first: (length, texts)"}
REPAIRS = {
    "undeclared-input": "Declare the input",
    "missing-steps": "Add missing steps",
    "causal-mask": "Causal mask",
}
SIDES = {"right": "Right", "left": "Left"}
LONG_PAIRS = {"refuse": "Refuse to start", "leave-out": "Leave them out", "cut": "Truncate both sides"}
TOKENIZERS = {
    "bpe": "BPE: frequent pieces of your text",
    "unigram": "Unigram: likely pieces of your text",
    "char": "Characters",
    "byte": "Bytes",
    "file": "A tokenizer.json",
}
OPTIMISERS = {"adamw": "AdamW", "muon": "Muon"}
SCHEDULES = {
    "cosine": "Cosine",
    "linear": "Linear",
    "constant": "Constant",
    "wsd": "WSD (warm-up, stable, decay)",
    "cosine-restarts": "Cosine with restarts",
    "polynomial": "Polynomial",
}
PRECISIONS = AUTO | {"fp32": "fp32 (full)", "bf16": "bf16 (mixed)", "fp16": "fp16 (mixed)"}
DIRECTIONS = AUTO | {"min": "Lower is better", "max": "Higher is better"}
BACKENDS = {"process": "A process of its own", "kernel": "This notebook's kernel"}
SHARDINGS = {"none": "None: a whole copy each", "full": "Full: a part each (FSDP)"}
TRACKERS = {"off": "Off", "offline": "Offline", "online": "Online"}


def monitors() -> dict[str, str]:
    """Return the titles of the metrics, those of other packages among them."""
    return {metric.key: metric.title for metric in METRICS.values()}
