"""The hyperparameters: a form made from the spec, basic first, the rest on request."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import card, fold, framed, labelled, show
from tb_widgets.app.parts.form import Form
from tb_widgets.app.registry import Panel, panel
from tb_widgets.app.state.fields import CARDS
from tb_widgets.app.words import heading
from tb_widgets.display.schedule_drawing import draw_schedule
from tb_widgets.spec import PRESETS, TrainingSpec
from tb_widgets.wording import listed

if TYPE_CHECKING:
    from tb_widgets.app.session import Session

ELSEWHERE = ("model.", "data.", "tokenizer.", "schema_version")
# One choice is no choice: these fields have nothing to offer in a form yet.
SINGLE = ("hardware.backend", "tracking.wandb")
PATHS = [path for path in CARDS if not path.startswith(ELSEWHERE) and path not in SINGLE]


@panel("settings", step="train", column="side", order=1)
class SettingsPanel(Panel):
    """Preset, basic fields, and the advanced ones behind a switch."""

    watches = ("draft", "run")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._advanced: Form | None = None
        self._opens = False
        self._schedule = widgets.HTML()
        self._drawn: TrainingSpec | None = None

    def render(self) -> widgets.Widget:
        """Build the basic form; the advanced one is built when it is asked for."""
        draft, act = self.session.draft, self.act
        options = [(preset.title, name) for name, preset in PRESETS.items()]
        self._preset = widgets.Dropdown(options=[*options, ("My own", "")], value=draft.preset)
        self._preset.add_class("tbw-at-preset")
        self._preset_help = widgets.HTML()
        box = labelled("Start from", framed(self._preset), self._preset_help)
        self._preset.observe(self._chosen, "value")
        self._paths = [path for path in PATHS if self.session.policy.may_set(path)]
        self._basic = Form(draft, [path for path in self._paths if CARDS[path].level == "basic"], act)
        self._more = fold("More settings", "Fewer settings", self._unfold)
        self._place = widgets.VBox()
        made = card("Settings", [box, self._basic.widget, self._more, self._place])
        self._heading = made.children[0]
        return made

    def _chosen(self, change: dict[str, str]) -> None:
        if change["new"]:
            self.act(lambda: self.session.use_preset(change["new"]))

    def _unfold(self, is_open: bool) -> None:
        if not self._opens:
            self.act(lambda: self._show_advanced(is_open))

    def _show_advanced(self, visible: bool) -> None:
        if self._advanced is None:
            paths = [path for path in self._paths if CARDS[path].level == "advanced"]
            below = {"training.schedule": self._schedule}
            self._advanced = Form(self.session.draft, paths, self.act, headings=True, below=below)
            self._place.children = (self._advanced.widget,)
            self._follow()
        show(self._place, visible)

    def draw(self) -> None:
        """Follow the draft."""
        status = self.session.watch.status
        active = status is not None and status.is_active
        self._heading.value = heading("Settings", "for the next run" if active else "")
        draft = self.session.draft
        self._preset.value = draft.preset
        about = PRESETS[draft.preset].help if draft.preset in PRESETS else "Settings of a run or a file."
        if changed := draft.changed_settings:
            about = f"Changed: {listed(changed, most=4)}. Measure below to see how long it takes."
        self._preset_help.value = f'<div class="tbw-help">{escape(about)}</div>'
        if not self._more.value and any(
            path in self._paths and CARDS[path].level == "advanced" for path in draft.errors
        ):
            self._opens = True  # by itself: the field that keeps the run from starting is there
            self._more.value = True
            self._opens = False
            self._show_advanced(True)
        self._follow()

    def _follow(self) -> None:
        """Show the values, and only the fields that have an effect."""
        draft = self.session.draft
        for form in filter(None, (self._basic, self._advanced)):
            form.follow()
            for field in form.fields:
                show(field.widget, field.card.is_used(draft.values))
        # Of settings that can't be used yet, the last ones that could stay drawn.
        if draft.spec.training != self._drawn:
            self._drawn = draft.spec.training
            self._schedule.value = draw_schedule(self._drawn)
