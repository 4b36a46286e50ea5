"""The sections of a run spec. Each field is declared here and nowhere else."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from tb_widgets.spec import labels
from tb_widgets.spec.fields import OneOf, Section, setting
from tb_widgets.spec.hub_pages import data_source, model_source
from tb_widgets.spec.metrics import LOSS, METRICS, Better
from tb_widgets.spec.rates import RATES
from tb_widgets.spec.tasks import Task

Optimiser = Literal["adamw", "muon"]
ParameterRole = Literal["matrix", "other", "head", "embedding", "vector"]
Schedule = Literal["cosine", "linear", "constant", "wsd", "cosine-restarts", "polynomial"]


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON and YAML give back for the value, so that a file holds exactly what the run used."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PydanticCustomError(
            "not_plain", "may only contain text, finite numbers, true, false, lists and mappings"
        ) from error
    plain: dict[str, Any] = json.loads(text)
    return plain


def _tokenizer_source(value: str | None) -> str | None:
    return model_source(value) if value is not None else None


def _off(value: Any) -> Any:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


class ModelSpec(Section):
    """Which model is trained."""

    source: Annotated[str, AfterValidator(model_source)] = setting(
        "zoo:gpt",
        labels=labels.MODELS,
        title="Model",
        help="A built-in model (zoo:gpt), a Gist's address, hub:OWNER/NAME, or the path of a model.py or its folder.",
        group="Model",
        level="basic",
    )
    preset: Literal["tiny", "small", "medium"] = setting(
        "small",
        labels=labels.MODEL_SIZES,
        title="Size",
        help="Size of a built-in model; your own model.py has its sizes in the code.",
        group="Model",
        level="basic",
    )
    config: Annotated[dict[str, Any], AfterValidator(_plain)] = setting(
        None,
        factory=dict,
        title="Overrides",
        help="Override individual settings of the preset or config.json, for example {n_layer: 6, dropout: 0.1}.",
        group="Model",
    )
    task: Literal["auto", Task] = setting(
        "auto",
        labels=labels.TASK_LABELS,
        title="Task",
        help="What the model was built for. Automatic infers it from the model, and asks if it is unclear.",
        group="Model",
    )
    entry: str | None = setting(
        None,
        title="Class or function",
        help="Name of the class or function in model.py that builds the model. Empty finds it.",
        group="Model",
    )
    input: str | None = setting(
        None,
        title="Input argument",
        help="Argument of forward that takes the tokens or images. Empty finds it.",
        group="Model",
    )
    mask: Literal["auto", "none", "keep", "drop", "additive"] = setting(
        "auto",
        labels=labels.MASKS,
        title="Mask",
        help="How padding is marked: keep (True = real), drop (True = padding), additive (-inf = padding), or not.",
        group="Model",
    )
    arguments: Annotated[dict[str, Any], AfterValidator(_plain)] = setting(
        None,
        factory=dict,
        title="Other arguments",
        help="Values of other arguments: a number, none, causal, padding or positions; e.g. {attn_mask: causal}.",
        group="Model",
    )
    order: Literal["auto", "rows-first", "time-first"] = setting(
        "auto",
        labels=labels.ORDERS,
        title="Order of the input",
        help="Rows first: tokens have shape (texts, length). Time first: (length, texts). Automatic finds it.",
        group="Model",
    )
    output: str | None = setting(
        None,
        title="Output",
        help="Key, attribute or index of the logits (the input of the softmax) in forward's output. Empty finds it.",
        group="Model",
    )
    vocab_size: int | None = setting(
        None,
        title="Vocabulary",
        help="Size of the model's vocabulary. Empty reads it from the embedding.",
        unit="tokens",
        group="Model",
        ge=2,
        le=10_000_000,
    )
    context_limit: int | None = setting(
        None,
        title="Longest text",
        help="Most tokens that the model can read at once. Empty reads it from the position embedding.",
        unit="tokens",
        group="Model",
        ge=2,
        le=10_000_000,
    )
    image_size: int | None = setting(
        None,
        title="Image size",
        help="Height and width of the model's input images. Empty finds it.",
        unit="pixels",
        group="Model",
        ge=1,
        le=8192,
    )
    image_channels: int | None = setting(
        None,
        title="Image channels",
        help="1 for greyscale images, 3 for colour. Empty finds it.",
        unit="channels",
        group="Model",
        ge=1,
        le=64,
    )
    repairs: list[Literal["undeclared-input", "missing-steps", "causal-mask"]] = setting(
        None,
        factory=list,
        labels=labels.REPAIRS,
        title="Repairs",
        help="Known faults of exported models to fix in model.py: undeclared-input, missing-steps, causal-mask.",
        group="Model",
        max_length=8,
    )
    allow_leak: bool = setting(
        False,
        title="Train anyway (it sees the answers)",
        help="Train a language model that can see the tokens it has to predict. Its loss is then meaningless.",
        group="Model",
    )


class DataSpec(Section):
    """Which text the model learns."""

    source: Annotated[str, AfterValidator(data_source)] = setting(
        "python-docs",
        title="Data",
        help="A built-in dataset, the path of a file, folder or glob, https://..., or hub:OWNER/NAME.",
        group="Data",
        level="basic",
    )
    context_length: int = setting(
        128,
        title="Context length",
        help="How far back the model looks. Longer needs more memory and time.",
        unit="tokens",
        group="Data",
        level="basic",
        ge=2,
        le=131072,
    )
    validation_fraction: float = setting(
        0.1,
        title="Validation split",
        help="Fraction kept for validation, never trained on. Typical 5 to 20 % (0.05 to 0.2).",
        unit="of the data",
        group="Data",
        gt=0.0,
        le=0.5,
    )
    validation_split: str | None = setting(
        None,
        title="Validation set",
        help="A split, file name or folder to validate on, for example validation. Empty: a fraction of the data.",
        group="Data",
    )
    config: str | None = setting(
        None,
        title="Configuration",
        help="Which configuration of a Hub dataset, for example wikitext-2-raw-v1. Empty uses the only one.",
        group="Data",
    )
    split: str | None = setting(
        None, title="Split", help="Which split of a Hub dataset to train on. Empty means train.", group="Data"
    )
    streaming: bool = setting(
        False,
        title="Stream",
        help="Download only as much of a large Hub dataset as the run can use.",
        group="Data",
    )
    columns: Annotated[dict[Literal["text", "label", "source", "target"], str], AfterValidator(_plain)] = setting(
        None,
        factory=dict,
        title="Columns",
        help="Which column is the text, label, source or target: {text: review, label: stars}. Empty detects it.",
        group="Data",
    )
    encoding: str = setting(
        "auto",
        title="Encoding",
        help="Character encoding of the file, for example utf-8 or cp1252. auto detects it.",
        group="Data",
        pattern=r"^[A-Za-z0-9._:-]{1,40}$",
    )
    reset_attention: bool = setting(
        False,
        title="Separate documents",
        help="Mask attention between texts that share a context. Only for models that accept such a mask.",
        group="Data",
    )
    padding_side: Literal["right", "left"] = setting(
        "right", labels=labels.SIDES, title="Padding", help="Side on which short examples are padded.", group="Data"
    )
    long_pairs: Literal["refuse", "leave-out", "cut"] = setting(
        "refuse",
        labels=labels.LONG_PAIRS,
        title="Long pairs",
        help="For pairs longer than the context: refuse to start, leave them out, or cut (truncate) both sides.",
        group="Data",
    )


class TokenizerSpec(Section):
    """How text becomes numbers."""

    kind: Literal["byte", "char", "bpe", "unigram", "file"] = setting(
        "bpe",
        labels=labels.TOKENIZERS,
        title="Tokenizer",
        help="BPE and Unigram learn a vocabulary from your text; characters and bytes need none.",
        group="Data",
        level="basic",
    )
    vocab_size: int = setting(
        2048,
        title="Vocabulary",
        help="Number of tokens that BPE or Unigram learns. Use 512 to 4,096 for small texts.",
        unit="tokens",
        group="Data",
        level="basic",
        ge=32,
        le=131072,
    )
    file: Annotated[str | None, AfterValidator(_tokenizer_source)] = setting(
        None,
        title="Tokenizer file",
        help="The path of a tokenizer.json, or hub:OWNER/NAME, for the tokenizer kind file.",
        group="Data",
    )


class TrainingSpec(Section):
    """How the model is optimised."""

    steps: int = setting(
        1000,
        title="Steps",
        help="Number of optimiser steps. Stop when the validation loss flattens.",
        unit="steps",
        group="Training",
        level="basic",
        ge=1,
        le=100_000_000,
    )
    batch_size: int = setting(
        32,
        title="Batch",
        help="Examples (texts, pairs or images) per step. Larger batches give smoother updates but slower steps.",
        unit="examples",
        group="Training",
        level="basic",
        ge=1,
        le=65536,
    )
    micro_batch_size: int | None = setting(
        None,
        title="Micro-batch",
        help="Examples per pass; smaller saves memory and gives the same result. Empty means the whole batch.",
        unit="examples",
        group="Training",
        ge=1,
        le=65536,
    )
    activation_checkpointing: bool = setting(
        False,
        title="Activation checkpointing",
        help="Save memory: compute activations again for the backward pass. Same results; steps take a third longer.",
        group="Training",
    )
    learning_rate: float = setting(
        1e-3,
        title="Learning rate",
        help=f"Peak, reached after warm-up. Typical {RATES['adamw'].range}; with Muon {RATES['muon'].range}.",
        unit="peak",
        group="Training",
        level="basic",
        gt=0.0,
        le=10.0,
    )
    optimizer: Optimiser = setting(
        "adamw",
        labels=labels.OPTIMISERS,
        title="Optimiser",
        help="AdamW is the safe choice. Muon needs fewer steps; it leaves all but weight matrices to AdamW.",
        group="Optimiser",
    )
    schedule: Schedule = setting(
        "cosine",
        labels=labels.SCHEDULES,
        title="Schedule",
        help="After warm-up: WSD stays at the peak and falls at the end; cosine with restarts falls several times.",
        group="Optimiser",
    )
    cooldown: float = setting(
        0.2,
        title="Cooldown",
        help="Fraction of the steps after warm-up over which the learning rate falls at the end. Typical 10 to 30 %.",
        unit="of the steps",
        group="Optimiser",
        when={"schedule": ("wsd",)},
        gt=0.0,
        le=1.0,
    )
    cycles: int = setting(
        3,
        title="Cycles",
        help="Number of times the learning rate falls from its peak to its final value.",
        unit="cycles",
        group="Optimiser",
        when={"schedule": ("cosine-restarts",)},
        ge=1,
        le=1000,
    )
    power: float = setting(
        2.0,
        title="Power",
        help="1 falls linearly; larger falls sooner.",
        unit="exponent",
        group="Optimiser",
        when={"schedule": ("polynomial",)},
        gt=0.0,
        le=100.0,
    )
    warmup: float = setting(
        0.05,
        title="Warm-up",
        help="Fraction of the steps over which the learning rate rises from zero. Typical 1 to 10 % (0.01 to 0.1).",
        unit="of the steps",
        group="Optimiser",
        ge=0.0,
        lt=1.0,
    )
    min_lr_fraction: float = setting(
        0.1,
        title="Final learning rate",
        help="Where the schedule ends, as a fraction of the peak. Typical 0 to 10 % (0 to 0.1).",
        unit="of the peak",
        group="Optimiser",
        ge=0.0,
        le=1.0,
    )
    weight_decay: float = setting(
        0.1,
        title="Weight decay",
        help="Pulls weight matrices towards zero. Typical 0.01 to 0.1.",
        unit="per unit of learning rate",
        group="Optimiser",
        ge=0.0,
        le=10.0,
    )
    beta1: float = setting(
        0.9, title="Beta 1", help="Decay rate of the first moment (momentum).", group="Optimiser", ge=0.0, lt=1.0
    )
    beta2: float = setting(
        0.99,
        title="Beta 2",
        help="Decay rate of the second moment. Typical 0.95 to 0.999.",
        group="Optimiser",
        ge=0.0,
        lt=1.0,
    )
    momentum: float = setting(
        0.95,
        title="Momentum",
        help="Decay rate of Muon's momentum.",
        unit="per step",
        group="Optimiser",
        when={"optimizer": ("muon",)},
        ge=0.0,
        lt=1.0,
    )
    relative_rates: dict[ParameterRole, Annotated[float, Field(gt=0, le=1000)]] = setting(
        None,
        factory=dict,
        title="Relative rates",
        help="Learning rates of embedding, head, vector or matrix weights relative to the rest, e.g. {embedding: 4}.",
        group="Optimiser",
    )
    eps: float = setting(
        1e-8,
        title="Epsilon",
        help="Avoids division by zero where gradients are tiny.",
        group="Optimiser",
        gt=0.0,
        le=1e-2,
    )
    averaging: float | None = setting(
        None,
        title="Weight averaging",
        help="Decay of a moving average of the weights, which is evaluated and saved. Typical 0.99. Empty: off.",
        unit="per step",
        group="Optimiser",
        ge=0.0,
        lt=1.0,
    )
    clip: float | None = setting(
        1.0,
        title="Gradient clipping",
        help="Maximum gradient norm. Leave empty to disable clipping.",
        unit="norm",
        group="Optimiser",
        gt=0.0,
        le=1e6,
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto",
        labels=labels.PRECISIONS,
        title="Precision",
        help="Automatic: bf16 on a GPU that has it, fp16 on older GPUs, fp32 on a CPU.",
        group="Reproducibility and precision",
    )
    seed: int = setting(
        42,
        title="Seed",
        help="The same seed gives the same run.",
        group="Reproducibility and precision",
        ge=0,
        le=2**32 - 1,
    )
    deterministic: bool = setting(
        False,
        title="Deterministic",
        help="Use deterministic algorithms. Slower on a GPU, no cost on a CPU.",
        group="Reproducibility and precision",
    )
    log_every: int | None = setting(
        None,
        title="Log every",
        help="Average metrics over N steps per log line. Empty keeps a run under about 10,000 lines.",
        unit="steps",
        group="Reproducibility and precision",
        ge=1,
        le=1_000_000,
    )


class EvaluationSpec(Section):
    """How the model is tested while it trains."""

    every: int = setting(
        100,
        title="Evaluate every",
        help="Evaluate on the validation set every N steps.",
        unit="steps",
        group="Evaluation",
        level="basic",
        ge=1,
        le=1_000_000_000,
    )
    batches: int = setting(
        20,
        title="Validation batches",
        help="How much of the validation set one evaluation reads; always the same batches.",
        unit="batches",
        group="Evaluation",
        ge=1,
        le=100_000,
    )
    answers: int = setting(
        32,
        title="Answers",
        help="Number of validation texts that a sequence-to-sequence model answers for BLEU, chrF and exact match.",
        unit="texts",
        group="Evaluation",
        ge=0,
        le=100_000,
    )
    patience: int | None = setting(
        None,
        title="Patience",
        help="Stop early after N evaluations in a row without an improvement of the monitored metric. Empty: never.",
        unit="evaluations",
        group="Evaluation",
        ge=1,
        le=1_000_000,
    )
    min_delta: float = setting(
        0.0,
        title="Smallest improvement",
        help="Smallest change of the monitored metric, in its own unit, that Patience counts as an improvement.",
        unit="absolute",
        group="Evaluation",
        ge=0.0,
        le=1e6,
    )
    prompts: list[str] = setting(
        None,
        factory=list,
        title="Sample prompts",
        help="Prompts to sample from at evaluations, as time allows. Empty takes them from the validation set.",
        group="Evaluation",
        max_length=8,
    )
    sample_length: int = setting(
        48,
        title="Sample length",
        help="Length of each sample; 0 generates none.",
        unit="tokens",
        group="Evaluation",
        ge=0,
        le=4096,
    )


class CheckpointSpec(Section):
    """What is kept on disk."""

    every: int = setting(
        200,
        title="Checkpoint every",
        help="Save a checkpoint every N steps, and at each best evaluation; Resume continues from the newest.",
        unit="steps",
        group="Checkpoints",
        level="basic",
        ge=1,
        le=1_000_000_000,
    )
    keep_last: int = setting(
        2,
        title="Keep newest",
        help="Number of newest checkpoints to keep.",
        unit="checkpoints",
        group="Checkpoints",
        ge=1,
        le=1000,
    )
    keep_best: int = setting(
        3,
        title="Keep best",
        help="Number of best checkpoints to keep.",
        unit="checkpoints",
        group="Checkpoints",
        ge=0,
        le=1000,
    )
    monitor: Annotated[str, OneOf(lambda: METRICS)] = setting(
        LOSS.key,
        labels=labels.monitors,
        title="Monitor",
        help="The metric that decides which checkpoint is best.",
        group="Checkpoints",
    )
    mode: Literal["auto", "min", "max"] = setting(
        "auto",
        labels=labels.DIRECTIONS,
        title="Direction",
        help="Which values of the monitored metric are better. Automatic follows the metric.",
        group="Checkpoints",
    )
    restore_best: bool = setting(
        False,
        title="Restore best weights",
        help="At the end, give the last checkpoint the weights of the best one.",
        group="Checkpoints",
    )
    mirror: str | None = setting(
        None,
        title="Backup folder",
        help="Also copy each verified checkpoint here, for example to a mounted Drive. Empty: none.",
        group="Checkpoints",
    )

    @property
    def better(self) -> Better:
        """Which way the monitored metric is better."""
        return METRICS[self.monitor].better if self.mode == "auto" else self.mode


class HardwareSpec(Section):
    """Where the model is trained."""

    device: str = setting(
        "auto",
        title="Device",
        help="auto uses a GPU if there is one. Otherwise name one: cpu, cuda, cuda:1 or mps.",
        group="Hardware",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
    )
    processes: int = setting(
        1,
        title="Processes",
        help="Processes that share each batch (data parallel): one per GPU. On a CPU one is usually fastest.",
        unit="processes",
        group="Hardware",
        ge=1,
        le=1024,
    )
    sharding: Literal["none", "full"] = setting(
        "none",
        labels=labels.SHARDINGS,
        title="Sharding",
        help="Full: each process keeps a part of the model and optimiser, for models too large for one GPU.",
        group="Hardware",
    )
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = setting(
        "auto",
        title="CPU threads",
        help="Automatic chooses by model size; small models are fastest on one.",
        unit="threads",
        group="Hardware",
    )
    compile: bool = setting(
        False,
        title="Compile",
        help="Compile the model (torch.compile): it starts up to a minute later, and steps may become faster.",
        group="Hardware",
    )
    restarts: int = setting(
        1,
        title="Restarts",
        help="Number of automatic resumes after the process of the run is lost (killed, out of memory).",
        unit="times",
        group="Hardware",
        ge=0,
        le=1000,
    )
    backend: Literal["process", "kernel"] = setting(
        "process",
        labels=labels.BACKENDS,
        title="Train in",
        help="process survives a closed notebook; kernel trains a live nn.Module of this notebook.",
        group="Hardware",
    )


class TrackingSpec(Section):
    """Labels, and where else the run is reported."""

    wandb: Annotated[Literal["off", "offline", "online"], BeforeValidator(_off)] = setting(
        "off",
        labels=labels.TRACKERS,
        title="Weights & Biases",
        help="This version writes to the run folder only.",
        group="Tracking",
    )
    project: str | None = setting(
        None, title="Project", help="Name of a group of related runs.", group="Tracking", max_length=128
    )
    tags: list[str] = setting(
        None, factory=list, title="Tags", help="Labels to find this run by.", group="Tracking", max_length=32
    )
