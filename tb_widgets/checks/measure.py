"""Stopwatch and scales: seconds, bytes, and what this machine can do at best."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from tb_widgets.checks.inputs import USUAL_LENGTH, loss_of, make_batch, usual_length
from tb_widgets.engine.hardware import choose_threads
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.undisturbed import device_of, undisturbed
from tb_widgets.spec import HardwareSpec
from tb_widgets.spec.batch import Batch

_PROCESS = Path("/proc/self")
_TENSORS = {Tensor, nn.Parameter, nn.Buffer}


@dataclass
class Peak:
    """The highest use of memory, in bytes: of the device, or of this whole process on a CPU."""

    bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Watch the memory; the peak is known at the end."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device)
    elif os.access(_PROCESS / "clear_refs", os.W_OK):
        (_PROCESS / "clear_refs").write_text("5")  # the system's own high-water mark begins anew
        yield peak
        status = (_PROCESS / "status").read_text()
        peak.bytes = 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])
    else:
        with _sampled(peak):
            yield peak


@contextmanager
def _sampled(peak: Peak) -> Iterator[None]:
    """Where the system keeps no mark that can be reset: look every two milliseconds."""
    process, over = psutil.Process(), threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            peak.bytes = max(peak.bytes, process.memory_info().rss)

    watcher = threading.Thread(target=look, name="peak-memory", daemon=True)
    peak.bytes = process.memory_info().rss
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def live_tensor_bytes() -> int:
    """Return how many bytes the tensors hold that Python code can still reach, each storage counted once."""
    sizes = {}
    for thing in gc.get_objects():
        # Not isinstance: it takes ten times as long, and asks lazy objects for things that they load then.
        if type(thing) in _TENSORS and not thing.is_sparse:
            storage = thing.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def left_behind(step: Callable[[], object]) -> int:
    """Return how many bytes of tensors a repeated step leaves behind each time."""
    before = live_tensor_bytes()
    step()
    if live_tensor_bytes() <= before:
        return 0
    # It may be rubbish that is not collected yet; collecting takes long, so only now.
    gc.collect()
    before = live_tensor_bytes()
    step()
    gc.collect()
    return live_tensor_bytes() - before


def trial_step(model: LoadedModel) -> Callable[[Batch], float]:
    """Return a training step that costs what one with AdamW costs, and moves no weight; it returns the loss.

    It keeps the two averages that Adam keeps for each parameter, and computes the update without applying it. A real
    optimiser would import PyTorch's compiler first, which takes seconds.
    """
    parameters = [parameter for parameter in model.module.parameters() if parameter.requires_grad]
    averages: list[tuple[Tensor, Tensor]] = []

    def step(batch: Batch) -> float:
        loss = loss_of(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        averages.extend((torch.zeros_like(p), torch.zeros_like(p)) for p in parameters[len(averages) :])
        for parameter, (first, second) in zip(parameters, averages, strict=True):
            gradient, parameter.grad = parameter.grad, None
            if gradient is not None:
                first.lerp_(gradient, 0.1)
                second.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
                _ = first / second.sqrt().add_(1e-8)
        return loss.item()

    return step


def seconds_for(work: Callable[[], object], *, times: int) -> float:
    """Return the shortest of several times that some work takes, in seconds; once more before, to warm up."""
    work()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
        if sum(found) > 1.0:
            break
    return min(found)


@contextmanager
def fastest_threads(model: LoadedModel) -> Iterator[None]:
    """Use one thread or all cores, whichever is faster now; at the end it is as before.

    On a machine that others use too, two threads wait for each other more than they compute.
    """
    before = torch.get_num_threads()
    many = choose_threads(HardwareSpec(), parameters=model.parameters, tokens_per_pass=4 * USUAL_LENGTH)
    best = 1
    if many > 1 and device_of(model.module).type == "cpu":
        batch = make_batch(model, rows=1, length=usual_length(model))
        seconds = {}
        with undisturbed(model.module), torch.no_grad():
            for threads in (1, many):
                torch.set_num_threads(threads)
                seconds[threads] = seconds_for(lambda: model.logits(batch), times=1)
        best = min(seconds, key=lambda threads: seconds[threads])
    torch.set_num_threads(best)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def matrix_speed(device: torch.device) -> float:
    """Return the multiplications and additions a second that this machine does in a matrix product."""
    size = 512
    a = torch.ones(size, size, device=device)
    return 2 * size**3 / seconds_for(lambda: a @ a, times=3)
