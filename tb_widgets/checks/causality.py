"""Whether a language model sees the tokens that it should predict."""

from __future__ import annotations

from dataclasses import replace

from tb_widgets.checks.result import CheckResult, Fault, Verdict
from tb_widgets.engine.causality import Causality, measure_causality
from tb_widgets.models.load import LoadedModel


def causality(model: LoadedModel) -> CheckResult:
    """See whether a language model can see the tokens that it has to predict."""
    if "classification" in model.task:
        return _causality_result(None, "pass", "Not needed: a classifier may attend to its whole input.")
    found = measure_causality(model)
    if found.moved is None:
        return _causality_result(None, "unknown", found.why_not, "Fix what the other checks found, then check again.")
    if model.task == "masked-lm":
        good: Fault = ("pass", "Every position sees the tokens on both sides, as it should.", "")
        advice = "A masked language model needs no causal mask: remove it, or train the model as causal-lm."
        bad: Fault = ("warn", "Each position sees only the tokens before it.", advice)
        return _causality_result(found, *(good if found.leaks else bad), model_is_causal=False)
    good = ("pass", "Later tokens do not change earlier predictions.", "")
    advice = "Give its attention a causal mask; without it, a low loss is meaningless."
    bad = (
        "fail",
        "The model can see the token it has to predict: changing later tokens changes earlier predictions.",
        advice,
    )
    return _causality_result(found, *(bad if found.leaks else good))


def _causality_result(
    found: Causality | None, verdict: Verdict, message: str, advice: str = "", *, model_is_causal: bool = True
) -> CheckResult:
    result = CheckResult("causality", "Causality", 1, verdict, message, advice=advice)
    if found is None:
        return result
    picture = {
        "kind": "heatmap",
        "title": "Change in the prediction at each position (column) when the input from this row on changes. "
        "Nothing may change below the diagonal.",
        "rows": "first changed token",
        "columns": "position of the prediction",
        "forbidden": "below" if model_is_causal else "",
        "values": [[round(min(value, 1e6), 4) for value in row] for row in found.moves],
    }
    bound = f"at most {found.tolerance:.1g}"
    return replace(result, value=found.moved, unit="standard deviations", threshold=bound, picture=picture)
