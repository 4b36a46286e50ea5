"""From the address of a Gist to a trained model, for every kind of export that people come with, click by click."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from models.broken import EMBEDDED, HEAD, OUTPUT, TIED
from models.github import GitHub
from playwright.sync_api import Locator, expect

from tb_widgets.app.words import data_title
from tb_widgets.spec import DataSpec

from .page import DashboardPage
from .servers import Server
from .test_dashboard import button, tab, wait_for_state, wait_until

OpenDashboard = Callable[..., DashboardPage]

GPT = (
    HEAD
    + OUTPUT
    + "\n    def forward(self, input_0_tokens):\n"
    + EMBEDDED
    + """        mhsa_0_output, _ = self.mhsa_0(embedding_0_x, embedding_0_x, embedding_0_x)
        return self.output_0(self.layernorm_0(embedding_0_x + mhsa_0_output))
"""
)
# With the sizes that transformer-builder.com documents.
SIZES = {"32": "768", "64": "50257", "48": "512", "4": "12"}
DOCUMENTED = re.sub(r"\b(32|64|48|4)\b", lambda found: SIZES[found[0]], GPT)
DOCUMENTED = DOCUMENTED.replace("Linear(768, 50257),", "Linear(768, 3072),").replace("Linear(50257,", "Linear(3072,")
UNDECLARED = GPT.replace("forward(self, input_0_tokens)", "forward(self, )")
CLASSIFIER = """import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.word_embeddings = nn.Embedding(300, 32)
        self.position_embeddings = nn.Embedding(40, 32)
        self.encoder = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True)
        self.classifier = nn.Linear(32, 2)

    def forward(self, input_ids, attention_mask=None):
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.word_embeddings(input_ids) + self.position_embeddings(place)
        padding = None if attention_mask is None else attention_mask == 0
        x = self.encoder(x, src_key_padding_mask=padding)
        return {"logits": self.classifier(x[:, 0])}
"""
T5 = """import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Embedding(300, 32)
        self.positions = nn.Embedding(40, 32)
        self.transformer = nn.Transformer(32, 2, 1, 1, 64, batch_first=True)
        self.lm_head = nn.Linear(32, 300)

    def embed(self, ids):
        return self.shared(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))

    def forward(self, input_ids=None, decoder_input_ids=None, attention_mask=None):
        later = torch.ones(decoder_input_ids.shape[1], decoder_input_ids.shape[1], device=input_ids.device).triu(1) > 0
        padding = None if attention_mask is None else attention_mask == 0
        x = self.transformer(
            self.embed(input_ids),
            self.embed(decoder_input_ids),
            tgt_mask=later,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return self.lm_head(x)
"""
VISION = """import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.positions = nn.Parameter(torch.zeros(1, 16, 16))
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, pixel_values):
        x = self.patches(pixel_values).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.encoder(x).mean(1))
"""
# code, the repairs that it needs, the task, the data, and the clicks from the first view on
CASES = {
    "gpt-without-a-mask": (GPT, ["causal-mask"], "causal-lm", "python-docs", 4),
    "gpt-as-large-as-documented": (DOCUMENTED, ["causal-mask"], "causal-lm", "python-docs", 4),
    "broken-v1": (TIED, ["missing-steps", "causal-mask"], "causal-lm", "python-docs", 4),
    "broken-v2": (UNDECLARED, ["undeclared-input", "causal-mask"], "causal-lm", "python-docs", 4),
    "bert-classifier": (CLASSIFIER, [], "sequence-classification", "prose-or-code", 3),
    "t5": (T5, [], "seq2seq", "reversed-words", 3),
    "vision": (VISION, [], "vision-classification", "drawn-shapes", 3),
}
SOURCE = """import os

os.environ["GITHUB_API_URL"] = {url!r}
import tb_widgets

settings = {{"training.steps": 12, "training.batch_size": 4, "evaluation.every": 6, "evaluation.batches": 1}}
tb_widgets.Dashboard(tb_widgets.RunSpec().with_values(settings))"""


@pytest.fixture(scope="module")
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        yield server


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models") / "runs"


class Hand:
    """Clicks, and counts them."""

    def __init__(self) -> None:
        self.clicks = 0

    def click(self, target: Locator) -> None:
        target.click()
        self.clicks += 1


def gist(github: GitHub, code: str) -> str:
    """Put a model on the GitHub of the test, and return its address."""
    identity = hashlib.md5(code.encode()).hexdigest()
    for layer, sizes in (("Embedding", "({}, 32)"), ("output_0 = nn.Linear", "(32, {})")):
        code = code.replace(layer + sizes.format(64), layer + sizes.format(300))  # bytes alone are 256 tokens
    github.add(identity, {"model.py": code, "config.json": "{}"})
    return f"https://gist.github.com/somebody/{identity}"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("case", CASES)
def test_a_pasted_address_becomes_a_trained_model_in_at_most_four_clicks(
    open_dashboard: OpenDashboard, github: GitHub, shared_runs: Path, case: str
) -> None:
    code, repairs, task, data, clicks = CASES[case]
    page = open_dashboard("voila", runs_dir=shared_runs, source=SOURCE.format(url=github.url)).page
    before = {*shared_runs.glob("[!.]*")}
    hand = Hand()

    hand.click(tab(page, "Model"))
    page.locator(".tbw-at-model-address input").fill(gist(github, code))
    hand.click(button(page, "Trust this revision"))
    if repairs:
        hand.click(page.locator(".tbw-at-repair:not(.tbw-hidden)"))
    start = page.locator(".tbw-at-start")
    expect(page.get_by_text("It works. Task:")).to_be_visible(timeout=60_000)
    expect(start).to_be_enabled()
    expect(tab(page, "Data")).to_contain_text(data_title(DataSpec(source=data)))
    hand.click(start)

    wait_until(lambda: len({*shared_runs.glob("[!.]*")} - before) == 1, "a run")
    (run,) = {*shared_runs.glob("[!.]*")} - before
    expect(page.locator(".tbw-top").first).to_contain_text(run.name[-4:])
    wait_for_state(page, "done", timeout=240_000)  # 85 million weights are trained, and saved twice, in a minute or two
    assert hand.clicks == clicks
    if case == "vision":  # what it was shown can be seen
        seen = page.locator(".tbw-seen img")
        expect(seen).to_have_count(3)
        assert seen.first.evaluate("image => image.naturalWidth") == 16
    origin = json.loads((run / "model" / "origin.json").read_text())
    assert origin["kind"] == "gist"
    assert origin.get("repairs", []) == repairs
    status = json.loads((run / "status.json").read_text())
    assert (status["step"], status["data"]) == (12, data)
    assert 0 < status["metrics"]["val/loss"] < (9 if code is DOCUMENTED else 8)
    assert ("val/perplexity" in status["metrics"]) == (not task.endswith("classification"))


VALIDATION = """import os

os.environ["GITHUB_API_URL"] = {url!r}
import tb_widgets

validation = tb_widgets.Validation({address!r})
validation"""


@pytest.mark.parametrize("host", ["lab", pytest.param("floor", marks=pytest.mark.floor)])
def test_in_a_notebook_a_gist_is_agreed_to_with_the_button_below_it(
    open_dashboard: OpenDashboard, github: GitHub, host: str
) -> None:
    source = VALIDATION.format(url=github.url, address=gist(github, f"# in {host}\n{GPT}"))
    page = open_dashboard(host, source=source).page
    expect(page.get_by_text("Nothing of this model has been run.")).to_be_visible()
    trust = page.get_by_role("button", name="Trust this revision", exact=True)
    trust.click()
    expect(page.get_by_text("Trust this revision: done. Now run the cells below again.")).to_be_visible()
    expect(trust).to_be_disabled()


def test_the_page_s_own_address_may_name_the_gist(
    open_dashboard: OpenDashboard, github: GitHub, shared_runs: Path, server_of: Callable[..., Server]
) -> None:
    source = SOURCE.format(url=github.url)
    page = open_dashboard("voila", runs_dir=shared_runs, source=source).page
    identity = gist(github, f"# by address\n{GPT}").rpartition("/")[2]
    page.goto(f"{server_of('voila', source, shared_runs).url}/?gist_id={identity}")
    expect(button(page, "Trust this revision")).to_be_visible(timeout=60_000)
    expect(page.locator(".tbw")).to_contain_text(identity)


def test_dropped_files_are_a_model_and_an_accident_in_them_is_told(
    open_dashboard: OpenDashboard, github: GitHub, shared_runs: Path
) -> None:
    page = open_dashboard("voila", runs_dir=shared_runs, source=SOURCE.format(url=github.url)).page
    tab(page, "Model").click()
    page.locator(".tbw-drop").wait_for()
    drop = """async ([code, config]) => {
      const data = new DataTransfer();
      data.items.add(new File([code], "model.py"));
      data.items.add(new File([config], "config.json"));
      document.querySelector(".tbw-drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    padding = "# " + "x" * 900_000 + "\n"  # more than one piece
    page.evaluate(drop, [padding + "import os\nprint('a' * 1000000)\nos._exit(3)\n", "{}"])
    expect(page.get_by_text("ended its process (exit code 3)").first).to_be_visible(timeout=60_000)
    expect(page.locator(".tbw-at-start")).to_be_disabled()

    page.evaluate(drop, [CLASSIFIER, "{}"])
    expect(page.get_by_text("It works. Task: text classification")).to_be_visible(timeout=60_000)
    expect(page.locator(".tbw-at-start")).to_be_enabled()
