"""What was found behind an address: who wrote it, whether it may run, what is wrong with it, how it is called."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import code_view, widgets
from tb_widgets.app.parts.cards import button, card, fold, row, show
from tb_widgets.app.parts.form import Form
from tb_widgets.app.parts.model_view import conclusion_list, finding_list, model_files, origin_facts, repair_list
from tb_widgets.app.registry import Panel, panel
from tb_widgets.errors import UndecidedError
from tb_widgets.service.models import CODE, Repair
from tb_widgets.service.probing import ADAPT_WITHIN
from tb_widgets.spec import TASKS

if TYPE_CHECKING:
    from tb_widgets.app.session import Session
    from tb_widgets.app.state.model_choice import ModelChoice

MOST_ANSWERS = 8  # buttons; the field takes any
_CONSENT = "Loading runs the author's code with your permissions."
OVERRIDES = (
    "model.task",
    "model.entry",
    "model.input",
    "model.arguments",
    "model.order",
    "model.output",
    "model.mask",
    "model.vocab_size",
    "model.context_limit",
    "model.image_size",
    "model.image_channels",
    "model.allow_leak",
)
OF_TEXTS = ("model.order", "model.vocab_size", "model.context_limit")
OF_IMAGES = ("model.image_size", "model.image_channels")


@panel("found-model", step="model", column="main", order=2)
class FoundModelPanel(Panel):
    """One card for a model on its way: fetching, asking, trying, ready, failed."""

    watches = ("model",)

    def render(self) -> widgets.Widget:
        """Build the card."""
        session = self.session
        act = self.act
        self._head = widgets.HTML()
        self._trust = button("Trust this revision", lambda: act(session.trust_model), "tbw-primary", "tbw-at-trust")
        self._again = button("Try again", lambda: act(self._retry), "tbw-at-retry")
        self._stop = button("Stop", lambda: act(session.stop_trying), "tbw-at-stop-trying")
        self._answers = row([])
        self._answered: tuple[str, ...] = ()
        self._buttons = row([self._answers, self._trust, self._again, self._stop])
        self._below = widgets.HTML()
        self._card = card("What was found", [self._head, self._buttons, self._below])
        self._heading = self._card.children[0]
        return self._card

    def _offer(self, answers: tuple[str, ...]) -> None:
        """Show a button for each answer to what is asked."""
        show(self._answers, bool(answers))
        if answers != self._answered:
            self._answered = answers
            self._answers.children = [self._answer_button(answer) for answer in answers[:MOST_ANSWERS]]

    def _answer_button(self, answer: str) -> widgets.Button:
        does = {str(name): f"It {record.does}" for name, record in TASKS.items()}
        label = does.get(answer, answer)
        session = self.session
        return button(label, lambda: self.act(lambda: session.answer(answer)), f"tbw-at-is-{answer}")

    def _retry(self) -> None:
        self.session.load_model(self.session.choice.typed)

    def draw(self) -> None:
        """Follow the model."""
        choice = self.session.choice
        state = choice.state
        show(self._card, state not in ("ours", "waiting"))
        asking, failed = state == "asking", state == "failed"
        show(self._trust, asking)
        undecided = choice.error.answers if failed and isinstance(choice.error, UndecidedError) else ()
        self._offer(undecided)
        show(self._stop, state in ("fetching", "trying"))
        show(self._again, failed and not undecided)
        show(self._buttons, state in ("asking", "failed", "fetching", "trying"))
        self._heading.value = words.heading(*_title(choice))
        self._head.value = _head(choice)
        self._below.value = _below(choice)


@panel("repairs", step="model", column="main", order=3)
class RepairsPanel(Panel):
    """What is wrong with the source and can be mended, as a diff, with one button."""

    watches = ("draft", "model")

    def render(self) -> widgets.Widget:
        """Build the card."""
        session = self.session
        self._text = widgets.HTML()
        self._apply = button("Apply", lambda: self.act(self._press), "tbw-primary", "tbw-at-repair")
        self._undo = button("Take the repairs back", lambda: self.act(lambda: session.repair_model([])))
        self._card = card("Repairs", [self._text, row([self._apply, self._undo])])
        return self._card

    def _press(self) -> None:
        self.session.repair_model([repair.id for repair in self._offered()])

    def _offered(self) -> list[Repair]:
        """The repairs that fit what is known: a mask that hides later tokens is for models that continue texts."""
        choice = self.session.choice
        applied = self.session.draft.spec.model.repairs
        task = choice.answer.get("task") if choice.state == "ready" else None
        return [
            repair
            for repair in choice.repairs
            if repair.id != "causal-mask" or repair.id in applied or task is None or choice.leaks
        ]

    def draw(self) -> None:
        """Follow the model."""
        choice, spec = self.session.choice, self.session.draft.spec.model
        # A model that has not been tried may be whole as it is; one that needs consent needs that first.
        known = choice.state in ("ready", "failed")
        offered = self._offered() if known or spec.repairs else []
        applied = [repair for repair in offered if repair.id in spec.repairs]
        missing = [repair for repair in offered if repair.id not in spec.repairs]
        faults = choice.faults if known else []
        show(self._card, bool(offered or faults) and choice.state not in ("ours", "asking", "fetching"))
        show(self._apply, bool(missing))
        show(self._undo, bool(applied))
        self._apply.description = "Apply" if len(offered) == 1 else f"Apply all {len(offered)}"
        told = [
            words.note(f"{fault.title}: this can't be done from the source alone.", detail=fault.why)
            for fault in faults
        ]
        self._text.value = repair_list(offered, spec.repairs) + "".join(told)


@panel("conclusions", step="model", column="main", order=4)
class ConclusionsPanel(Panel):
    """What was concluded about the model and why, and a way to say otherwise."""

    watches = ("draft", "model")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._address = ""

    def render(self) -> widgets.Widget:
        """Build the card."""
        session = self.session
        self._text = widgets.HTML()
        self._form = Form(session.draft, OVERRIDES, self.act)
        self._more = fold("Change these", "Hide the fields", lambda is_open: show(self._form.widget, is_open))
        self._more.add_class("tbw-at-decide")
        show(self._form.widget, False)
        self._source = widgets.HTML()
        self._read = fold(
            "Show the source", "Hide the source", lambda is_open: self.act(lambda: self._show_source(is_open))
        )
        self._card = card(
            "How we call your model", [self._text, row([self._more, self._read]), self._form.widget, self._source]
        )
        return self._card

    def _show_source(self, visible: bool) -> None:
        source = self.session.choice.source
        self._source.value = code_view.source(source.files[CODE]) if visible and source is not None else ""

    def draw(self) -> None:
        """Follow the model."""
        choice = self.session.choice
        wrong = choice.state == "failed" and choice.trial is not None and not choice.was_stopped
        show(self._card, choice.state == "ready" or wrong)
        if choice.address != self._address:
            self._address = choice.address
            self._more.value = self._read.value = False  # they were opened for another model
        if wrong and not isinstance(choice.error, UndecidedError) and not self._more.value:
            self._more.value = True  # the way out may be there
        self._form.follow()
        task = choice.answer.get("task")
        beside = () if task is None else OF_TEXTS if TASKS[task].reads_images else OF_IMAGES
        for field in self._form.fields:
            show(field.widget, field.card.path not in beside)
        self._text.value = conclusion_list(choice.answer)


def _title(choice: ModelChoice) -> tuple[str, str]:
    titles = {
        "fetching": ("Fetching …", ""),
        "asking": ("Read it, then decide", "nothing of it has run"),
        "trying": ("Testing the model …", f"in a process of its own, {ADAPT_WITHIN:.0f} seconds at most"),
        "ready": ("Not ready yet" if choice.leaks and not choice.may_leak else "Ready", ""),
        "failed": ("That did not work", ""),
    }
    if choice.was_stopped:
        return "Stopped", ""
    if isinstance(choice.error, UndecidedError):
        asked = "What was it built for?" if choice.error.field == "model.task" else "Which of them is the model?"
        return asked, "this can't be told from the code"
    return titles.get(choice.state, ("", ""))


def _head(choice: ModelChoice) -> str:
    """Return what is known, and what it means."""
    if choice.state == "fetching":
        wait = '<div class="tbw-progress is-waiting" role="progressbar" aria-label="Working"><span></span></div>'
        return f'<p class="tbw-muted">{escape(choice.address)}</p>{wait}'
    parts = []
    if choice.state == "asking" and choice.source is not None:
        parts.append(origin_facts(choice.source.origin))
        if choice.trust.state == "changed":
            parts.append(
                words.note(
                    f"It has changed since you trusted revision {choice.trust.revision[:10]}.",
                    detail="The changes are listed first below.",
                )
            )
        parts.append(words.note(_CONSENT, detail="Trust it if you know where it comes from, or have read it."))
        parts.append(_findings(choice))
    elif choice.state == "trying":
        phase = choice.trial.phase if choice.trial is not None else ""
        parts.append(
            f'<p class="tbw-muted">{escape(phase or "Starting")} …</p>'
            '<div class="tbw-progress is-waiting" role="progressbar" aria-label="Working"><span></span></div>'
        )
    elif choice.state == "failed" and choice.error is not None:
        is_question = isinstance(choice.error, UndecidedError)
        # The buttons below are the way out; a hint would speak of a field, or of what is at hand.
        is_plain = is_question or choice.was_stopped
        parts.append(words.note(choice.error.message) if is_plain else words.error_note(choice.error))
    elif choice.leaks and not choice.may_leak:
        way = "Apply the repair below"
        if not any(repair.id == "causal-mask" for repair in choice.repairs):
            way = "Add a causal mask to model.py (no automatic repair fits this code)"
        parts.append(
            words.note(
                "The model can see the tokens it has to predict.",
                "bad",
                detail="Its loss would look excellent and it could not generate text. "
                f"{way}, or choose another task under “Change these”, to enable Start.",
            )
        )
    elif choice.state == "ready":
        task = choice.answer["task"]
        parts.append(words.note("It works.", "ok", detail=f"Task: {TASKS[task].title}."))
    if choice.trial is not None and choice.state in ("ready", "failed"):
        parts += [words.note(note) for note in choice.trial.notes]
    return "".join(parts)


def _findings(choice: ModelChoice) -> str:
    """Return what differs from what was trusted, and what to look at, of a model that waits for consent."""
    parts = []
    if choice.trust.diff:
        parts.append(f"<h3>What has changed</h3>{code_view.diff(choice.trust.diff)}")
    parts.append(finding_list(choice.findings))
    return "".join(parts)


def _below(choice: ModelChoice) -> str:
    """Return the source of a model that waits for consent; of any other where it comes from."""
    if choice.state == "fetching":
        return ""
    if choice.state != "asking" or choice.original is None:
        return origin_facts(choice.source.origin) if choice.source is not None else ""
    return model_files(choice.original, choice.findings)
