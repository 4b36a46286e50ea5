"""Which argument of a ``forward`` takes what, told from their names. Importing this file imports no torch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import NOTHING, Extra

if TYPE_CHECKING:
    from torch import nn


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The names in use, the documented ones first.
_TOKENS = _names(
    "input_ids input_0_tokens x idx tokens ids inputs src input src_tokens source token_ids input_tokens "
    "encoder_input_ids enc_inputs enc_input encoder_input text src_seq seq sequence X"
)
IMAGES = _names("pixel_values img image images imgs pixels input_0_image input_0_images")
DECODER = _names(
    "decoder_input_ids tgt trg tgt_seq trg_seq dec_inputs dec_input decoder_input tgt_tokens decoder_inputs "
    "decoder_tokens prev_output_tokens tgt_input tgt_ids input_1_tokens"
)
LABELS = _names("targets target labels label y target_ids")
PADDING = _names(
    "attention_mask mask src_key_padding_mask key_padding_mask padding_mask src_padding_mask src_pad_mask "
    "pad_mask input_mask masks encoder_mask enc_mask src_mask"
)
CAUSAL = _names("attn_mask causal_mask src_mask tgt_mask look_ahead_mask mask")
DECODER_MASKS = _names("tgt_mask trg_mask decoder_mask dec_mask look_ahead_mask tgt_attn_mask target_mask")
SEGMENTS = _names(
    "token_type_ids segment_ids segment_info segment_label segment_labels segments segment seg segs token_types "
    "type_ids seg_ids"
)
POSITIONS = _names("position_ids positions pos pos_ids input_pos position")
STARTS = _names("start_pos start past_length offset pos_offset")
LENGTHS = _names("lengths text_lengths seq_lengths src_len src_lengths lens input_lengths")
CARRIED = _names(
    "hidden hidden_state state states h hx h0 hc cache past past_key_values mems caches kv_cache inference_params"
)
FORCING = _names(
    "teacher_forcing_ratio teacher_forcing teacher_forcing_prob teacher_force_ratio teacher_forcing_rate tf_ratio "
    "use_teacher_forcing"
)
ALWAYS = Extra("value", value=1.0)


@dataclass(frozen=True)
class Reading:
    """The arguments of a ``forward``, by what they take.

    Attributes
    ----------
    input
        Argument that takes the tokens or images; ``""`` where it is passed by position.
    shown
        The same, as a person reads it.
    names_images
        Its name says that it takes images.
    decoder, labels
        Arguments that take these; ``None`` where there is none.
    masks
        Arguments that are masks, in the order of ``forward``.
    required
        All arguments without a default, but for the input.
    extras
        For each required argument that no role fills: the ways to fill it, likeliest first. Of those that have a
        default only one is here: how often a decoder is told the true token before.
    """

    input: str
    shown: str
    names_images: bool
    decoder: str | None = None
    labels: str | None = None
    masks: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    extras: dict[str, tuple[Extra, ...]] = field(default_factory=dict)

    def fillings(self) -> Iterator[dict[str, Extra]]:
        """Yield ways to fill the required arguments, likeliest first; some are tried, not all."""
        ways = list(self.extras.values())
        ranked = sorted(islice(product(*(range(len(way)) for way in ways)), 50_000), key=sum)
        for ranks in ranked[:400]:
            yield {name: way[rank] for name, way, rank in zip(self.extras, ways, ranks, strict=True)}


def read_signature(module: nn.Module, wanted: str | None = None, given: Mapping[str, Any] | None = None) -> Reading:
    """Read the arguments of a module's ``forward``.

    Parameters
    ----------
    wanted
        Argument that takes the input, where the user has said so.
    given
        What the user wants other arguments to be given, see the spec's ``model.arguments``.

    Raises
    ------
    ModelError
        If there is no input, not the one that is wanted, or an argument without a default that has no known meaning.
    """
    parameters = list(inspect.signature(module.forward).parameters.values())
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = [p.name for p in named]
    if wanted is not None and wanted not in names:
        raise ModelError(
            f"model.input: forward has no argument {wanted!r}.", hint=f"It has {', '.join(names) or 'none by name'}."
        )
    if not named:
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            raise ModelError(
                "The model's forward takes no input.",
                hint="Declare it: def forward(self, input_ids). Or export it again.",
            )
        return Reading(input="", shown="*args", names_images=False)
    known = (*IMAGES[:1], *_TOKENS, *IMAGES[1:])
    chosen = wanted or next((name for name in known if name in names), names[0])
    given = given or {}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in given:
        if name == chosen or (name not in names and not takes_any):
            others = ", ".join(other for other in names if other != chosen)
            what = "is its input" if name == chosen else "is not an argument of forward"
            raise ModelError(
                f"model.arguments: {name} {what}.", hint=f"Its other arguments: {others or 'none by name'}."
            )
    by_position = chosen == names[0] and named[0].kind is not named[0].KEYWORD_ONLY
    required = frozenset(p.name for p in named if p.default is p.empty and p.name != chosen)
    rest = [name for name in names if name != chosen and name not in given]
    reading = Reading(
        input="" if by_position else chosen,
        shown=chosen,
        names_images=chosen in IMAGES,
        decoder=next((name for name in DECODER if name in rest), None),
        labels=next((name for name in LABELS if name in rest), None),
        masks=tuple(name for name in rest if "mask" in name.lower() and name != "masked_pos"),
        required=required,
    )
    if reading.decoder is None and reading.labels in required and reading.labels in ("y", "target"):
        # Asked for, and not called targets: what the decoder reads. Its logits' shape tells whether that is so.
        reading = replace(reading, decoder=reading.labels, labels=None)
    extras = {name: _ways(name, decodes=reading.decoder is not None) for name in rest if name in required}
    for role in (reading.decoder, reading.labels):
        extras.pop(role or "", None)
    if reading.decoder is not None:
        extras |= {name: (ALWAYS,) for name in rest if name.lower() in FORCING}
    decodes = reading.decoder is not None
    extras |= {name: _told(name, value, decodes=decodes) for name, value in given.items()}
    unknown = [name for name, ways in extras.items() if not ways]
    if unknown:
        raise ModelError(
            f"The model's forward requires more than its input {chosen}: {', '.join(unknown)}.",
            hint=f"Set them in model.arguments, for example {{{unknown[0]}: 1}}; compute them inside forward, "
            "or give them defaults. If another argument is the input, set model.input.",
        )
    return replace(reading, extras=extras)


PADDING_FORMS = tuple(
    Extra("padding", convention, axes) for axes in (2, 4, 3) for convention in ("keep", "numbers", "drop", "additive")
)
CAUSAL_FORMS = tuple(
    Extra("causal", convention, axes) for axes in (2, 3, 4) for convention in ("additive", "drop", "keep", "numbers")
)
DECODER_FORMS = tuple(Extra("decoder-causal", form.convention, form.axes) for form in CAUSAL_FORMS)


def _ways(name: str, *, decodes: bool) -> tuple[Extra, ...]:
    """Return the ways to fill a required argument; none where its name says nothing."""
    lower = name.lower()
    known = {
        SEGMENTS: (Extra("segments"),),
        POSITIONS: (Extra("positions", axes=2), Extra("positions", axes=1), Extra("value", value=0)),
        STARTS: (Extra("value", value=0),),
        LENGTHS: (Extra("lengths"),),
        CARRIED: (NOTHING,),
    }
    for names, ways in known.items():
        if lower in names:
            return ways
    return _mask_ways(lower, decodes=decodes) if "mask" in lower and lower != "masked_pos" else ()


def _told(name: str, value: Any, *, decodes: bool) -> tuple[Extra, ...]:
    """Return the ways to fill an argument as the user wants it; a word that means nothing here is given as it is."""
    if not isinstance(value, str):
        return (Extra("value", value=value),)
    of_decoder = decodes and (name in DECODER_MASKS or name.lower().startswith(("tgt", "trg", "dec", "target")))
    words = {
        "none": (NOTHING,),
        "causal": DECODER_FORMS if of_decoder else CAUSAL_FORMS,
        "padding": PADDING_FORMS,
        "positions": (Extra("positions", axes=2), Extra("positions", axes=1)),
        "segments": (Extra("segments"),),
        "lengths": (Extra("lengths"),),
    }
    return words.get(value, (Extra("value", value=value),))


def _mask_ways(name: str, *, decodes: bool) -> tuple[Extra, ...]:
    if decodes and name in DECODER_MASKS:
        return (*DECODER_FORMS, NOTHING)
    if decodes and name.startswith(("tgt", "trg", "dec", "target")):
        return (NOTHING,)  # padding at the end of a target is not counted, and a causal mask hides it
    if decodes or name not in CAUSAL:
        return (NOTHING, *PADDING_FORMS)  # what it wants is found out later: here it must only run
    return (*CAUSAL_FORMS, *PADDING_FORMS, NOTHING)
