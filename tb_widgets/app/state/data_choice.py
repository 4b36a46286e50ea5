"""The data that were asked for, on their way to be learned: looked at, fetched, taken. No widget is known here.

Whatever is slow (a large file, the network) is done in a thread and fills an object that :meth:`DataChoice.refresh`
looks at. What the form holds stays as it is until what was asked for is here and can be read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tb_widgets.app.state.draft import OF_DATA, Draft
from tb_widgets.app.state.jobs import Job, JobReport
from tb_widgets.app.state.locking import one_at_a_time
from tb_widgets.app.state.versioned import Versioned
from tb_widgets.errors import DataError, TbError
from tb_widgets.service.data import (
    CacheUse,
    Cleared,
    HubFacts,
    HubHit,
    cache_use,
    clear_cache,
    fetch_data,
    fetch_tokenizer,
    inspect_hub,
    pinned_tokenizer,
    read_beginning,
    resolve_source,
    search_hub,
    uploads,
)
from tb_widgets.service.gathering import tokens_read
from tb_widgets.service.looking import Look, Question, look_at
from tb_widgets.service.policy import Policy
from tb_widgets.spec import DataSpec
from tb_widgets.spec.hub_pages import data_source

LONGEST_ADDRESS = 2000  # characters
_LOOK_EVERY = 0.05  # seconds between two looks of a script that waits


@dataclass(frozen=True)
class Wanted:
    """Data that were asked for and are not the form's yet.

    Attributes
    ----------
    data
        What was asked for.
    stage
        ``inspecting`` (what there is to choose), ``asking`` (for the choice), ``fetching``, ``looking``, ``failed``.
    facts
        What there is to choose in a dataset of the Hub.
    job
        What is being done.
    error
        Why that did not work.
    """

    data: DataSpec
    stage: Literal["inspecting", "asking", "fetching", "looking", "failed"]
    facts: HubFacts | None = None
    job: Job[Any] | None = None
    error: TbError | None = None

    @property
    def is_decided(self) -> bool:
        """Whether everything is chosen that must be before a fetch: of a dataset, its variant."""
        return resolve_source(self.data).kind != "hub" or (self.facts is not None and bool(self.facts.splits))


class DataChoice(Versioned):
    """Follows the form's data, and takes others: from an address, a path or a name to what the form holds.

    Parameters
    ----------
    draft
        Takes the data once they are here and can be read, and hears what is wrong with its own.
    policy
        What may be read on this page.
    lock
        Held while anything of this changes.

    Attributes
    ----------
    look, error
        What the form's data are like, or why they can't be read; both ``None`` while that is being found out.
    wanted
        What was asked for and is not here yet, or did not work; ``None`` if there is nothing of the kind.
    search
        The last search on the Hub.
    tokenizer
        The last fetch of a tokenizer from the Hub.
    cache
        What the cache takes, as it was last looked at, and what clearing it has freed.
    version
        Grows whenever anything of this changes.
    """

    def __init__(self, draft: Draft, policy: Policy | None = None, lock: Any = None) -> None:
        self.draft = draft
        self.policy = policy or draft.policy
        self._lock = lock or threading.RLock()
        self.look: Look | None = None
        self.error: TbError | None = None
        self.wanted: Wanted | None = None
        self.search: Job[list[HubHit]] | None = None
        self.tokenizer: Job[str] | None = None
        self.cache: Job[tuple[CacheUse, Cleared | None]] | None = None
        self._looking: Job[Look] | None = None
        self._asked: Question | None = None
        self._was_busy = False

    # ---- what buttons do, and scripts may --------------------------------------------------------------------------

    @one_at_a_time
    def choose(self, /, source: str, **decided: Any) -> None:
        """Ask for other data; returns at once. The form takes them when they are here and can be read.

        Parameters
        ----------
        source
            The name of a text or task of ours, the path of a file, folder or glob, ``https://...``, or
            ``hub:OWNER/NAME``.
        **decided
            What is known already: ``config``, ``split``, ``columns`` and the like.

        Raises
        ------
        DataError
            If nothing was given.
        PolicyError
            If it may not be read on this page.
        """
        source = data_source(source.strip())
        if not source:
            raise DataError("Enter a path, an https:// address or hub:OWNER/NAME.")
        if len(source) > LONGEST_ADDRESS:
            raise DataError(
                f"An address or a path has at most {LONGEST_ADDRESS:,} characters, not {len(source):,}.",
                hint="It looks like books/*.txt, https://example.org/text.txt or hub:OWNER/NAME. Text itself is given "
                "as a file: drop one below.",
            )
        fresh = {name: DataSpec.model_fields[name].get_default(call_default_factory=True) for name in OF_DATA}
        data = self.draft.spec.data.model_copy(update={**fresh, **decided, "source": source})
        self.policy.require_data(data)
        self.cancel()
        found = resolve_source(data)
        if found.is_built_in:
            self._take(data)
        elif found.is_here:
            self._read(data)
        elif found.kind == "hub":
            self._inspect(Wanted(data, "inspecting"))
        else:
            self._fetch(Wanted(data, "asking"))

    @one_at_a_time
    def decide(self, /, **decided: Any) -> None:
        """Change what is wanted of a dataset before it is fetched: ``config``, ``split``, ``streaming`` ..."""
        wanted = self.wanted
        if wanted is None or wanted.stage not in ("asking", "failed"):
            raise DataError("No dataset waits for a choice.", hint="Choose one by its name first.")
        if "config" in decided:  # another variant may have other parts and columns
            decided = {**decided, "split": None, "validation_split": None, "columns": {}}
        self.wanted = replace(wanted, data=wanted.data.model_copy(update=decided))
        if "config" in decided:
            self._inspect(self.wanted)

    @one_at_a_time
    def get(self) -> None:
        """Fetch what was asked for, or what the form holds and is not here; after a failure, try again.

        Raises
        ------
        DataError
            If there is nothing to fetch.
        """
        wanted = self.wanted
        if wanted is None:
            if not self.is_missing:
                raise DataError("There is nothing to fetch.", hint="Choose a dataset or paste an address first.")
            wanted = Wanted(self.draft.spec.data, "asking")
        if not resolve_source(wanted.data).is_remote:
            self._read(wanted.data)
        elif wanted.stage == "failed" and not wanted.is_decided:
            self._inspect(wanted)
        else:
            self._fetch(wanted)

    @one_at_a_time
    def cancel(self) -> None:
        """Wait no longer for what was asked for; the form's data stay."""
        if self.wanted is not None:
            if self.wanted.job is not None:
                self.wanted.job.stop()
            self.wanted = None

    @one_at_a_time
    def find(self, text: str) -> None:
        """Search the Hub for datasets by name; what is found arrives in :attr:`search`."""
        self.policy.require_owner("search the Hub")
        if not text.strip():
            raise DataError("Enter a word to search for, for example poems.")
        self.search = Job(lambda report: search_hub(text.strip(), on_progress=report))

    @one_at_a_time
    def set_role(self, role: str, column: str) -> None:
        """Say which column plays a role; an empty name lets it be guessed."""
        others = {name: kept for name, kept in self.draft.values["data.columns"].items() if name != role}
        self.draft.set("data.columns", {**others, **({role: column} if column else {})})

    @one_at_a_time
    def get_tokenizer(self) -> None:
        """Fetch the tokenizer of the Hub that the form names; the form then names its full revision.

        Raises
        ------
        DataError
            If the form names none.
        """
        self.policy.require_owner("fetch tokenizers")
        source = str(self.draft.values["tokenizer.file"] or "")
        if not source.startswith("hub:"):
            raise DataError("There is no tokenizer to fetch.", hint="Enter hub:OWNER/NAME as the tokenizer file.")

        def work(report: JobReport) -> str:
            fetch_tokenizer(source, on_progress=report)
            return pinned_tokenizer(source)

        self.tokenizer = Job(work)

    @one_at_a_time
    def look_at_cache(self) -> None:
        """Find out what the cache takes; the answer arrives in :attr:`cache`."""
        self.cache = Job(lambda report: (cache_use(), None))

    @one_at_a_time
    def clear_cache(self) -> None:
        """Remove what can be fetched or made again, and uploads; what the form holds and what runs use stays."""
        self.policy.require_owner("clear the cache")
        data = self.draft.spec.data
        source = resolve_source(data)
        keep = [Path(data.source).expanduser()] if source.kind == "files" else []
        if source.is_remote and source.is_here:
            keep = [*source.files]

        def work(report: JobReport) -> tuple[CacheUse, Cleared]:
            cleared = clear_cache(keep=keep)
            return cache_use(), cleared

        self.cache = Job(work)

    # ---- what is known ---------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way."""
        jobs = (self._looking, self.wanted.job if self.wanted else None, self.search, self.cache, self.tokenizer)
        return any(job is not None and not job.finished.is_set() for job in jobs)

    @property
    def is_missing(self) -> bool:
        """Whether the form's data have to be fetched first."""
        return not resolve_source(self.draft.spec.data).is_here

    @property
    def warnings(self) -> tuple[str, ...]:
        """What would waste a night, in sentences; empty while nothing is known."""
        return self.look.preview.warnings if self.look is not None and self.look.preview is not None else ()

    # ---- the beat --------------------------------------------------------------------------------------------------

    def refresh(self, *, may_look: bool = False) -> None:
        """Look at what has arrived. The beat calls this.

        Parameters
        ----------
        may_look
            Whether the form's data may be looked at, which takes a thread.
        """
        self._follow_wanted()
        self._follow_tokenizer()
        self._follow_form(may_look)
        busy = self.is_busy
        if busy or self._was_busy:  # once more, for what came last
            self.touch()
        self._was_busy = busy

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until nothing is on its way, for scripts: the page looks by itself.

        Raises
        ------
        TimeoutError
            If that takes longer than ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            with self._lock:
                self.refresh(may_look=True)
                # A job that has ended since it was looked at is followed in the next round.
                followed = self._looking is None and (self.wanted is None or self.wanted.job is None)
                if followed and not self.is_busy:
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"The dataset is still being read after {timeout} seconds.")
            time.sleep(_LOOK_EVERY)

    def close(self) -> None:
        """End what is on its way."""
        self.cancel()
        if self._looking is not None:
            self._looking.stop()

    def _follow_wanted(self) -> None:
        wanted = self.wanted
        if wanted is None or wanted.job is None or not wanted.job.finished.is_set():
            return
        job = wanted.job
        self.wanted = replace(wanted, job=None)
        if job.error is not None:
            self.wanted = replace(self.wanted, stage="failed", error=job.error)
            uploads.remove(wanted.data.source)
        elif wanted.stage == "inspecting":
            self.wanted = replace(self.wanted, stage="asking", facts=job.result)
        elif wanted.stage == "fetching" and job.result is not None:
            self._read(job.result.data)
            self.look_at_cache()
        elif wanted.stage == "looking":
            self.wanted = None
            self._take(wanted.data)

    def _follow_tokenizer(self) -> None:
        job = self.tokenizer
        if job is not None and job.result is not None:
            self.tokenizer = None
            self._asked = None
            self.draft.set("tokenizer.file", job.result)
            self.draft.check(look_again=True)

    def _follow_form(self, may_look: bool) -> None:
        if self._looking is not None and self._looking.finished.is_set():
            done, self._looking = self._looking, None
            self.touch()  # also where it has found what was known
            if self._question() == self._asked:
                self.look, self.error = done.result, done.error
                problem = done.error or (done.result.problem if done.result is not None else None)
                shown = done.result.preview if done.result is not None else None
                self.draft.know_data(
                    self.draft.spec.data,
                    self.draft.spec.tokenizer,
                    problem,
                    vocabulary=shown.vocab_size if shown is not None else None,
                    classes=len(shown.classes) or None if shown is not None else None,
                )
        question = self._question()
        if question != self._asked and self._looking is None:
            if self._asked is not None or self.look is not None:
                self._asked = self.look = self.error = None
                self.touch()
            if may_look and not self.is_missing and not self.policy.problems(self.draft.spec):
                self._asked = question
                self._looking = Job(lambda report: look_at(question))

    def _question(self) -> Question:
        spec, facts = self.draft.spec, self.draft.facts
        model = self.draft.model
        return Question(
            spec.data,
            spec.tokenizer,
            facts.task if facts is not None else "causal-lm",
            facts.vocab_size if facts is not None else None,
            facts.context_limit if facts is not None else None,
            (facts.parameters if facts is not None else None) or (model.parameters if model is not None else None),
            spec.training.batch_size,
            facts.classes if facts is not None else None,
        )

    def _read(self, data: DataSpec) -> None:
        """See whether files can be read before the form takes them."""
        self._wait_for(Wanted(data, "looking"), lambda report: read_beginning(data))

    def _inspect(self, wanted: Wanted) -> None:
        data = wanted.data
        asking = replace(wanted, stage="inspecting", error=None)
        self._wait_for(asking, lambda report: inspect_hub(data, on_progress=report))

    def _fetch(self, wanted: Wanted) -> None:
        data = wanted.data
        tokens = tokens_read(self.draft.spec) if data.streaming else None
        fetching = replace(wanted, stage="fetching", error=None)
        self._wait_for(fetching, lambda report: fetch_data(data, tokens=tokens, on_progress=report))

    def _wait_for(self, wanted: Wanted, work: Callable[[JobReport], Any]) -> None:
        self.wanted = replace(wanted, job=Job(work))
        self._was_busy = True

    def _take(self, data: DataSpec) -> None:
        self._asked = None
        tree = data.model_dump()
        self.draft.choose_data({f"data.{name}": tree[name] for name in ("source", *OF_DATA)})
