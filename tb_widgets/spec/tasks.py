"""What a model can be built for: one record a task, and everything that differs between tasks in it.

A new task begins here; its batches and its loss follow (:mod:`tb_widgets.data.batches`,
:mod:`tb_widgets.engine.objective`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["causal-lm", "masked-lm", "sequence-classification", "seq2seq", "vision-classification"]
Role = Literal["text", "label", "source", "target"]


@dataclass(frozen=True)
class TaskRecord:
    """What a task needs, and how it is spoken of.

    Attributes
    ----------
    name, title
        As a spec names it, and as people do.
    does, needs
        What its models do, as the end of "a model that ...", and the data that they learn from.
    inputs
        The roles of a batch that a model can't do without; ``mask`` is used where there is one.
    columns
        What the columns of a table can be; none where tables don't serve.
    from_text
        Whether running text serves: of it, parts are hidden, cut out or predicted.
    special_tokens
        How many of pad, mask, start and end, in this order, the model must know beside the tokenizer's pieces.
    continues
        Whether an answer goes on from its prompt.
    predicts_tokens
        Whether labels are tokens; then a loss has a perplexity.
    must_not_see_ahead
        Whether a model that sees the tokens it predicts is worthless.
    accuracy
        What its accuracy is called.
    sample_title
        Title of the samples that are written along a run.
    ask_title, ask_verb, ask_help
        How the playground asks, what its button says, and what to type.
    """

    name: Task
    title: str
    does: str
    needs: str
    inputs: tuple[str, ...]
    columns: tuple[Role, ...]
    from_text: bool
    special_tokens: int
    continues: bool
    predicts_tokens: bool
    must_not_see_ahead: bool
    accuracy: str
    sample_title: str
    ask_title: str
    ask_verb: str
    ask_help: str = ""
    ask_example: str = ""

    @property
    def reads_images(self) -> bool:
        """Whether a model of this task looks at images; otherwise it reads tokens."""
        return "images" in self.inputs

    @property
    def tells_classes(self) -> bool:
        """Whether an answer is one of several classes."""
        return not self.predicts_tokens

    @property
    def unit(self) -> str:
        """What the loss is a mean over."""
        return "token" if self.predicts_tokens else "example"


TASKS: dict[Task, TaskRecord] = {
    record.name: record
    for record in (
        TaskRecord(
            name="causal-lm",
            title="text generation (causal language model)",
            does="generates text",
            needs="plain text",
            inputs=("tokens",),
            columns=("text",),
            from_text=True,
            special_tokens=0,
            continues=True,
            predicts_tokens=True,
            must_not_see_ahead=True,
            accuracy="Next-token accuracy",
            sample_title="Sample",
            ask_title="Generate text",
            ask_verb="Generate",
            ask_example="The ",
        ),
        TaskRecord(
            name="masked-lm",
            title="filling in masked tokens (masked language model)",
            does="fills in masked tokens",
            needs="plain text",
            inputs=("tokens",),
            columns=("text",),
            from_text=True,
            special_tokens=2,
            continues=False,
            predicts_tokens=True,
            must_not_see_ahead=False,
            accuracy="Masked-token accuracy",
            sample_title="Filled-in tokens",
            ask_title="Fill in tokens",
            ask_verb="Fill in",
            ask_help="Write [MASK] where a token is missing.",
            ask_example="The [MASK] is",
        ),
        TaskRecord(
            name="sequence-classification",
            title="text classification",
            does="classifies texts",
            needs="texts with labels",
            inputs=("tokens",),
            columns=("text", "label"),
            from_text=False,
            special_tokens=1,
            continues=False,
            predicts_tokens=False,
            must_not_see_ahead=False,
            accuracy="Accuracy",
            sample_title="Predicted classes",
            ask_title="Classify text",
            ask_verb="Classify",
            ask_help="Enter a text to see the predicted class and its probability.",
        ),
        TaskRecord(
            name="seq2seq",
            title="text to text (encoder-decoder)",
            does="maps one text to another",
            needs="pairs of texts",
            inputs=("tokens", "decoder_tokens"),
            columns=("source", "target"),
            from_text=True,
            special_tokens=4,
            continues=False,
            predicts_tokens=True,
            must_not_see_ahead=True,
            accuracy="Next-token accuracy",
            sample_title="Model output",
            ask_title="Answer",
            ask_verb="Answer",
            ask_help="Enter a text to see what the model answers.",
        ),
        TaskRecord(
            name="vision-classification",
            title="image classification",
            does="classifies images",
            needs="images with labels",
            inputs=("images",),
            columns=(),
            from_text=False,
            special_tokens=0,
            continues=False,
            predicts_tokens=False,
            must_not_see_ahead=False,
            accuracy="Accuracy",
            sample_title="Predictions",
            ask_title="Classify images",
            ask_verb="Classify new images",
            ask_help="Draws new images and shows the predicted class and its probability.",
        ),
    )
}


def task_record(name: str) -> TaskRecord:
    """Return the record of a task by a name out of a file; of one that nobody knows, that of continuing texts.

    >>> task_record("seq2seq").ask_title, task_record("").ask_title
    ('Answer', 'Generate text')
    """
    return next((record for task, record in TASKS.items() if task == name), TASKS["causal-lm"])
