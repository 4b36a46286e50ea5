"""Which task a model was built for."""

from __future__ import annotations

from dataclasses import replace

from tb_widgets.errors import UndecidedError
from tb_widgets.models.adapter import NOTHING, Adapter, Conclusion
from tb_widgets.models.probe.case import Case
from tb_widgets.models.probe.causality import answers_late, hiding_mask, is_causal, sees_later
from tb_widgets.models.probe.evidence import words_about
from tb_widgets.models.probe.signature import CAUSAL, CAUSAL_FORMS, DECODER_FORMS, DECODER_MASKS, PADDING
from tb_widgets.models.probe.trial import LENGTH, ROWS
from tb_widgets.spec import Task


def conclude_task(case: Case, adapter: Adapter) -> Adapter:
    """Decide between the tasks that the shape of the output leaves open."""
    claim = case.claim
    fits: tuple[Task, ...]
    if adapter.task == "sequence-classification":
        fits, shape = ("sequence-classification",), "one row of logits per text"
    elif adapter.task == "seq2seq":
        fits, shape = ("seq2seq",), f"logits for every token of {case.reading.decoder}"
    else:
        fits, shape = ("causal-lm", "masked-lm"), "logits for every token"
    if claim is not None and claim.task not in fits:
        raise UndecidedError(
            f"{claim.why.rstrip('.')}: {claim.task}. But the model returns {shape}, which fits {' or '.join(fits)}.",
            field="model.task",
            answers=fits,
            hint="Set model.task to what it was built for, or change what forward returns.",
        )
    if adapter.task == "sequence-classification":
        told = case.spec.arguments
        extras = {n: NOTHING if e.recipe == "causal" and n not in told else e for n, e in adapter.extras.items()}
        adapter = replace(adapter, extras=extras)  # a mask that must be given hides padding here
        _ask_about_last_position(case, adapter)
        _say_task(case, adapter.task, "Its output has one row of logits per text.")
        return adapter
    if adapter.task == "seq2seq":
        return _conclude_decoder(case, adapter)
    return _conclude_language_model(case, adapter)


def _say_task(case: Case, task: Task, why: str) -> None:
    case.conclusions.insert(0, Conclusion("task", task, case.claim.why if case.claim else why, "model.task"))


def _ask_about_last_position(case: Case, adapter: Adapter) -> None:
    if adapter.classes is not None and adapter.classes == adapter.vocab_size and case.claim is None:
        raise UndecidedError(
            f"For token ids of shape ({ROWS}, {LENGTH}) the model's forward returned ({ROWS}, {adapter.classes}): "
            "one row per text, with one logit per token of the vocabulary. A language model must return the logits "
            "of every position.",
            field="model.task",
            answers=("sequence-classification",),
            hint="If these are classes, set model.task to sequence-classification.",
        )


def _conclude_decoder(case: Case, adapter: Adapter) -> Adapter:
    if answers_late(case, adapter):
        adapter = replace(adapter, late=True)
        why = (
            "Logits depend on the tokens before their position but not on its own, so they are read one position later."
        )
        case.say("order", "one position late", why)
    leaks = sees_later(case, adapter, "decoder_tokens")
    for name in [name for name in case.reading.masks if name in DECODER_MASKS] if leaks else ():
        if found := hiding_mask(case, adapter, "decoder_tokens", name, DECODER_FORMS):
            adapter, leaks = found, False
            break
    _say_task(case, "seq2seq", f"forward takes {case.reading.decoder} beside {case.reading.shown}.")
    if leaks:
        case.say("leak", "yes", "Later decoder tokens change earlier logits.")
    return replace(adapter, leaks=leaks)


def _conclude_language_model(case: Case, adapter: Adapter) -> Adapter:
    words = words_about(case.trial.module, case.source)
    leaks = sees_later(case, adapter, "tokens")
    task = case.claim.task if case.claim else None
    told = case.spec.arguments
    asked = [n for n in adapter.extras if is_causal(adapter, n) and n in PADDING and n not in told]
    if asked and (task or words.kind) in ("masked", "masked-lm"):
        # A mask that must be given, and that was only taken for a causal one: it hides padding.
        _say_task(case, "masked-lm", f"{words.why[:1].upper()}{words.why[1:]}.")
        extras = {name: NOTHING if name in asked else extra for name, extra in adapter.extras.items()}
        return replace(adapter, task="masked-lm", extras=extras)
    if "mask" in asked and task is None and not words.kind:
        raise UndecidedError(
            "The model's forward requires a mask, but nothing in the model says whether it hides later tokens or "
            "padding.",
            field="model.task",
            answers=("causal-lm", "masked-lm"),
        )
    if leaks and (task or words.kind) != "masked-lm" and words.kind != "masked":
        # A mask that is only used when it is given.
        for name in case.reading.masks:
            if name in CAUSAL and (found := hiding_mask(case, adapter, "tokens", name, CAUSAL_FORMS)):
                if task is None and not words.kind and name in PADDING and name not in case.reading.required:
                    break  # it may as well hide padding
                adapter, leaks = found, False
                break
    why = ""
    if task is None and not leaks:
        task, why = "causal-lm", "Later tokens change no earlier logits."
    elif task is None and words.kind == "masked":
        task, why = "masked-lm", f"Later tokens change earlier logits, and {words.why}."
    elif task is None and (words.kind == "causal" or words.export):
        said = words.why or "it is a Transformer Builder export, and nothing in it mentions masked tokens"
        task, why = "causal-lm", f"{said[0].upper()}{said[1:]}. But later tokens change earlier logits."
    if task is None:
        raise UndecidedError(
            "The model predicts every token and also sees later tokens: it may be a masked language model, or a "
            "causal one without a causal mask, and nothing in it says which.",
            field="model.task",
            answers=("masked-lm", "causal-lm"),
        )
    _say_task(case, task, why)
    if task == "causal-lm" and leaks:
        case.say(
            "leak",
            "yes",
            "Later tokens change earlier logits: the model sees the tokens it has to predict.",
        )
    elif task == "masked-lm" and not leaks:
        case.say(
            "leak",
            "no",
            "Later tokens change no earlier logits: it fills in masked tokens from the tokens before them only.",
        )
    return replace(adapter, task=task, leaks=leaks and task == "causal-lm")
