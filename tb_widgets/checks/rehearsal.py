"""A few steps of the run that a spec describes, in its real batch shape at the greatest length, with a stopwatch."""

from __future__ import annotations

import gc
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import psutil
import torch

from tb_widgets.checks.inputs import choices, make_batch
from tb_widgets.checks.measure import peak_memory
from tb_widgets.checks.preflight import Preflight, Speed
from tb_widgets.engine.activation_checkpointing import activation_checkpointing, require_blocks
from tb_widgets.engine.compilation import compiled, missing_compiler, reason
from tb_widgets.engine.failures import is_out_of_memory
from tb_widgets.engine.hardware import choose_device, choose_threads, usable_cores
from tb_widgets.engine.memory import keep_freed_memory
from tb_widgets.engine.objective import prediction_loss
from tb_widgets.engine.optimisers.build import build_optimiser
from tb_widgets.engine.optimisers.groups import set_learning_rate
from tb_widgets.engine.precision import autocast, choose_precision
from tb_widgets.errors import quoted
from tb_widgets.models.blocks import repeated_blocks
from tb_widgets.models.load import LoadedModel, check_fits
from tb_widgets.models.modes import begin_training
from tb_widgets.spec import TASKS, RunSpec
from tb_widgets.spec.batch import Batch

OVERFIT_STEPS, OVERFIT_ROWS, OVERFIT_LENGTH = 30, 4, 64
PASSES_AT_LEAST = 18  # a machine that has no time for so many is asked with fewer rows
PIXELS_PER_TOKEN = 16


class Rehearsal:
    """Measures, as long as there is time. It trains the model: give it one that nobody needs afterwards.

    Parameters
    ----------
    until
        When to end, on the clock of ``time.time``.
    on_measured
        Called with what was measured so far after each measurement.
    micro_batches, compiles
        Measure several micro-batches, and what compiling brings, as well.
    """

    def __init__(
        self,
        model: LoadedModel,
        spec: RunSpec,
        *,
        until: float,
        micro_batches: bool = False,
        compiles: bool = False,
        on_measured: Callable[[Preflight], None] = lambda _: None,
    ) -> None:
        self.model, self.spec, self.until, self._on_measured = model, spec, until, on_measured
        self._began = time.time()
        self.length = spec.data.context_length
        is_image = TASKS[model.task].reads_images
        if not is_image:
            check_fits(model, context_length=self.length)
        self.device = choose_device(spec.hardware.device)
        self.dtype, _ = choose_precision(spec.training.precision, self.device)
        self.module = model.module.to(self.device)
        begin_training(self.module)
        self._checkpointing = ExitStack()
        if spec.training.activation_checkpointing:
            require_blocks(self.module)
            self._checkpointing.enter_context(activation_checkpointing(self.module))
        self.optimiser = build_optimiser(self.module, spec.training, self.device)
        self.rows = min(spec.training.micro_batch_size or spec.training.batch_size, spec.training.batch_size)
        image = model.adapter.image
        length = image[1] * image[2] // PIXELS_PER_TOKEN if image else self.length
        threads = choose_threads(spec.hardware, parameters=model.parameters, tokens_per_pass=self.rows * max(1, length))
        self._stages: dict[str, Callable[[], None]] = {
            "memory and initial loss": self._memory,
            "speed": self._speed,
            "overfitting one batch": self._overfit,
        }
        if self.device.type == "cpu":
            # First, for the wrong number can make all the others take many times as long on a busy machine.
            self._stages = {"number of threads": self._threads, **self._stages}
        if self.device.type == "cuda":
            self._stages["deterministic algorithms"] = self._deterministic
        if micro_batches:
            self._stages["micro-batches"] = self._micro_batches
        if compiles:
            self._stages["compiling"] = self._compile
        self.measured = Preflight(
            task=model.task,
            parameters=model.parameters,
            device=self.device.type.upper(),
            batch=self._rows_in_words(self.rows),
            unit="images" if is_image else "tokens",
            even_guess=math.log(choices(model)),
            threads_used=threads if self.device.type == "cpu" else None,
            left_out=tuple(self._stages),
        )
        self._pass_seconds, self._slower = 0.0, 1.0
        self._left_out = list(self._stages)

    def run(self) -> Preflight:
        """Make every measurement that there is time for, and return what was measured."""
        self._tell()
        if self.device.type == "cpu":
            torch.set_num_threads(1)
            keep_freed_memory()  # as the run will
        self._fit_rows()
        with self._checkpointing:
            for name, stage in self._stages.items():
                # A measurement takes some passes; without time for more, it is left out.
                if self._left() > 2 * self._pass_seconds:
                    self._within_memory(stage)
                    self._left_out.remove(name)
                    self._tell()
        return self.measured

    def _within_memory(self, stage: Callable[[], None]) -> None:
        """Where memory is short, do it with activations computed again, and all that comes after it as well."""
        try:
            stage()
        except Exception as error:
            computes_again = self.spec.training.activation_checkpointing or self.measured.needs_checkpointing
            if not is_out_of_memory(error) or computes_again or not repeated_blocks(self.module):
                raise
        else:
            return
        # Outside of the handler, whose traceback holds what has to be freed.
        self.optimiser.zero_grad()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._checkpointing.enter_context(activation_checkpointing(self.module))
        self._tell(needs_checkpointing=True)
        stage()

    def _tell(self, **measured: Any) -> None:
        seconds = round(time.time() - self._began, 2)
        self.measured = replace(self.measured, **measured, left_out=tuple(self._left_out), seconds=seconds)
        self._on_measured(self.measured)

    def _fit_rows(self) -> None:
        """Take fewer rows, and say so, where a few passes with all of them would take longer than there is time."""
        began = time.perf_counter()
        self._pass(self._batch(1))
        seconds = time.perf_counter() - began
        self.optimiser.zero_grad()
        affordable = max(1, int(self._left() / PASSES_AT_LEAST / seconds))
        if affordable < self.rows:
            self._left_out.append(f"{self._rows_in_words(self.rows)} per pass (measured with {affordable})")
            self.rows = affordable
            self._tell(batch=self._rows_in_words(self.rows), whole_batch=False)
        self._pass_seconds = seconds * self.rows

    def _left(self) -> float:
        return self.until - time.time()

    def _rows_in_words(self, rows: int) -> str:
        return f"{rows} images" if TASKS[self.model.task].reads_images else f"{rows} × {self.length:,} tokens"

    def _batch(self, rows: int, length: int | None = None, seed: int = 0) -> Batch:
        return make_batch(self.model, rows=rows, length=length or self.length, seed=seed)

    def _pass(self, batch: Batch, model: LoadedModel | None = None) -> float:
        with autocast(self.device, self.dtype):
            logits = (model or self.model).logits(batch)
        loss = prediction_loss(logits, batch["labels"])
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _update(self, rate: float) -> None:
        if self.spec.training.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.spec.training.clip)
        set_learning_rate(self.optimiser, rate)
        self.optimiser.step()
        self.optimiser.zero_grad()

    def _timed(self, work: Callable[[], object], times: int) -> float:
        """Return the shortest time of some work, in seconds; once, if there is no time for more."""
        best = math.inf
        for _ in range(times):
            began = time.perf_counter()
            work()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            best = min(best, time.perf_counter() - began)
            if self._left() < 3 * best:
                break
        return best

    # ---- what is measured --------------------------------------------------------------------------------------------

    def _threads(self) -> None:
        """The best number is often not the number of cores: others may use them too."""
        batch = self._batch(self.rows)
        used = self.measured.threads_used or 1
        speeds: list[Speed] = []
        for count in dict.fromkeys((1, used, *_few(usable_cores()))):
            if speeds and self._left() < 3 * self._pass_seconds:
                break
            torch.set_num_threads(count)
            self._pass(batch)  # threads are made at their first use
            seconds = self._timed(lambda: self._pass(batch), times=2)
            speeds.append(Speed(count, self._per_second(self.rows, seconds)))
            self._pass_seconds = max(self._pass_seconds, seconds)
            self._tell(threads=tuple(sorted(speeds, key=lambda speed: speed.count)))
        self.optimiser.zero_grad()
        best = self.measured.best_threads or 1
        torch.set_num_threads(best)
        self._pass_seconds = self._measured_pass(best) or self._pass_seconds

    def _measured_pass(self, threads: int | None) -> float | None:
        """Return how long a pass takes with so many threads, in seconds, if that was measured."""
        found = [speed.per_second for speed in self.measured.threads if speed.count == threads]
        return self.rows * self._count_per_row / found[0] if found else None

    def _memory(self) -> None:
        """Two steps: from the second on, the optimiser's state is there too."""
        batch = self._batch(self.rows)
        with peak_memory(self.device) as peak:
            first = self._pass(batch)
            self._update(0.0)
            self._pass(batch)
            self._update(0.0)
        there = psutil.virtual_memory().total
        if self.device.type == "cuda":
            there = torch.cuda.get_device_properties(self.device).total_memory
        self._tell(peak_bytes=peak.bytes, memory_bytes=there, first_loss=first if math.isfinite(first) else None)

    def _speed(self) -> None:
        """A step is so many passes and one update; an evaluation is so many passes forward."""
        batch, training, evaluation = self._batch(self.rows), self.spec.training, self.spec.evaluation
        here = self._timed(lambda: self._pass(batch), times=2)
        update = self._timed(lambda: self._update(0.0), times=1)
        with torch.no_grad():
            forward = self._timed(lambda: self.model.logits(batch), times=1)
        # Measured here with the best number of threads; told is what the run would do.
        slower = self._slower = max(1.0, (self._measured_pass(self.measured.threads_used) or here) / here)
        passes = training.batch_size / self.rows
        step = slower * (passes * here + update)
        evaluations = slower * math.ceil(training.steps / evaluation.every) * evaluation.batches * passes * forward
        self._tell(
            step_seconds=step,
            per_second=training.batch_size * self._count_per_row / step,
            eta=training.steps * step + evaluations,
        )

    def _overfit(self) -> None:
        """Learn one small batch by heart, with the spec's own learning rate."""
        batch = self._batch(OVERFIT_ROWS, min(self.length, OVERFIT_LENGTH), seed=1)
        steps, loss = 0, math.nan
        ends = time.time() + self._left() / 2
        while steps < OVERFIT_STEPS and (steps < 2 or time.time() < ends):
            loss = self._pass(batch)
            self._update(self.spec.training.learning_rate)
            steps += 1
        self._tell(overfit_steps=steps, overfit_loss=loss if math.isfinite(loss) else sys.float_info.max)

    def _micro_batches(self) -> None:
        speeds: list[Speed] = []
        for rows in _few(self.spec.training.batch_size):
            if self._left() < 3 * self._pass_seconds * rows / self.rows:
                break
            work = partial(self._pass, self._batch(rows))
            try:
                speeds.append(Speed(rows, self._per_second(rows, self._timed(work, times=2))))
            except (MemoryError, RuntimeError) as error:
                if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
                    raise
                break
            self._tell(micro_batches=tuple(speeds))
        self.optimiser.zero_grad()

    def _deterministic(self) -> None:
        """Take turns with the algorithms that are used otherwise."""
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        batch, before = self._batch(self.rows), torch.are_deterministic_algorithms_enabled()

        def seconds(*, deterministic: bool) -> float:
            torch.use_deterministic_algorithms(deterministic)
            return self._timed(lambda: self._pass(batch), times=1)

        try:
            seconds(deterministic=True)
            turns = [(seconds(deterministic=True), seconds(deterministic=False)) for _ in range(3)]
        except RuntimeError as error:
            if "deterministic" not in str(error):
                raise
            self._tell(deterministic_problem=f"training.deterministic: {quoted(str(error).partition('. ')[0])}")
        else:
            slow, fast = (min(times) for times in zip(*turns, strict=True))
            self._tell(deterministic_cost=slow / fast)
        finally:
            torch.use_deterministic_algorithms(before)
            self.optimiser.zero_grad()

    def _compile(self) -> None:
        """Take turns with the model as it is: the speed of a shared machine wanders."""
        if lacking := missing_compiler(self.device):
            self._tell(compile_problem=lacking)
            return
        batch, training, began = self._batch(self.rows), self.spec.training, time.perf_counter()
        try:
            faster = compiled(self.model, batch)
            self._pass(batch, faster)
        except Exception as error:  # noqa: BLE001 - compilers may raise anything, and it is told
            self._tell(compile_problem=f"The model can't be compiled ({reason(error)})")
            return
        seconds = time.perf_counter() - began
        passes = [partial(self._pass, batch, model) for model in (self.model, faster)]
        turns = [[self._timed(work, times=1) for work in passes] for _ in range(5)]
        plain, quick = (min(times) for times in zip(*turns, strict=True))
        self.optimiser.zero_grad()
        saved = training.steps * training.batch_size / self.rows * self._slower * (plain - quick) - seconds
        self._tell(compile_seconds=seconds, compile_gain=plain / quick, compile_saves=saved)
        if self.spec.hardware.compile and self.measured.eta is not None:
            self._tell(eta=self.measured.eta - saved)

    @property
    def _count_per_row(self) -> int:
        return 1 if self.measured.unit == "images" else self.length

    def _per_second(self, rows: int, seconds: float) -> float:
        return rows * self._count_per_row / seconds


def _few(most: int) -> list[int]:
    """Return 1, 2, 4 and so on, and the most."""
    return sorted({most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})
