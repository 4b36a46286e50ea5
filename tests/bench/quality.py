"""How much computing a character model takes until it is as good as nanoGPT's CPU recipe: CPU seconds, side by side.

Tiny Shakespeare by characters, context 64, about 0.80 million parameters, one thread; loss over the whole last tenth.
Ours is the whole process (start, data, counting n-grams, training, one validation over all of it, checkpoints); the
recipe is a plain loop, of which training alone is counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .figure import Figure

TEXT = Path(__file__).parents[3] / "shared" / "data" / "tinyshakespeare.txt"
AS_GOOD = 1.89
STEPS = 175  # hardly more than the worst of three seeds needs
OURS = """
import json, sys, time
from pathlib import Path
from tb_widgets.engine.session import train_run
from tb_widgets.runs import create_run
from tb_widgets.spec import preset

folder, seed, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
spec = preset("shakespeare-char").with_values({
    "data.source": str(folder), "data.validation_split": "validation", "training.steps": steps, "training.seed": seed,
    "hardware.threads": 1, "evaluation.every": steps, "evaluation.batches": 100_000,
    "checkpoints.every": (steps + 1) // 2,
})
run = create_run(folder.parent / f"runs-{seed}", spec)
assert train_run(run) == "done", run.status().message
status = run.status()
print(json.dumps([status.metrics["val/loss"], time.process_time(), status.parameters]))
"""
RECIPE = """
import json, math, sys, time
from pathlib import Path
import torch
from torch.nn import functional as F
from tb_widgets.models.zoo.gpt import GPT, GPTConfig

torch.set_num_threads(1)
torch.manual_seed(1337)
texts = [Path(sys.argv[1], f"{part}.txt").read_text() for part in ("train", "validation")]
ids = {sign: n for n, sign in enumerate(sorted(set("".join(texts))))}
train, held_back = (torch.tensor([ids[sign] for sign in text]) for text in texts)
model = GPT(GPTConfig(len(ids), 64, n_layer=4, n_head=4, n_embd=128, positions="learned"))
for name, weight in model.named_parameters():
    if weight.dim() > 1:
        std = 0.02 / math.sqrt(8) if name.endswith(("proj.weight", "down.weight")) else 0.02
        torch.nn.init.normal_(weight, std=std)
weights = [*model.parameters()]
groups = [{"params": [w for w in weights if w.dim() > 1], "weight_decay": 0.1},
          {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0}]
optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
began = time.process_time()
for step in range(2000):
    lr = 1e-3 * (step + 1) / 101 if step < 100 else 1e-4 + 0.5 * 9e-4 * (1 + math.cos(math.pi * (step - 100) / 1900))
    for group in optimiser.param_groups:
        group["lr"] = lr
    at = torch.randint(len(train) - 64, (12,))
    batch = torch.stack([train[place : place + 65] for place in at])
    loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
took = time.process_time() - began
with torch.no_grad():
    rows = held_back[: (len(held_back) - 1) // 64 * 64 + 1].unfold(0, 65, 64)
    losses = [F.cross_entropy(model(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten(), reduction="sum").item()
              for part in rows.split(64)]
print(json.dumps([sum(losses) / rows.shape[0] / 64, took]))
"""


def measure(home: Path) -> Iterator[Figure]:
    """Compare them; without the text there is nothing to measure."""
    if not TEXT.exists():
        print(f"quality: not measured, for {TEXT} is not there", file=sys.stderr)
        return
    text = TEXT.read_text()
    cut = len(text) * 9 // 10
    folder = home / "text"
    folder.mkdir()
    (folder / "train.txt").write_text(text[:cut])
    (folder / "validation.txt").write_text(text[cut:])
    recipe_loss, recipe_seconds = _answer(RECIPE, folder)
    found = [_answer(OURS, folder, seed, STEPS) for seed in (42, 43, 44)]
    losses, seconds = [loss for loss, *_ in found], [took for _, took, _ in found]
    how = "tinyshakespeare by characters, last tenth, one thread"
    yield Figure("loss of nanoGPT's CPU recipe", recipe_loss, "nats", "at most", 1.92, f"{how}, 2,000 x 12")
    yield Figure("our worst loss of three seeds", max(losses), "nats", "at most", AS_GOOD, f"{how}, {STEPS} x 12")
    yield Figure("our parameters", found[0][2] / 1e6, "million", "at most", 0.84, "shakespeare-char")
    ratio = max(seconds) / recipe_seconds
    yield Figure("CPU seconds to it, ours / the recipe's", ratio, "", "at most", 0.1, f"of {recipe_seconds:.0f} s")


def _answer(code: str, folder: Path, *words: object) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: list[float] = json.loads(done.stdout.splitlines()[-1])
    return answer
