"""A spec file is read whole: every field has a default, every mistake is named, and nothing else ever escapes."""

from __future__ import annotations

import contextlib
import json
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tb_widgets.errors import SpecError
from tb_widgets.spec import SCHEMA_VERSION, RunSpec, versions

texts = st.text(st.characters(codec="utf-8"), max_size=12)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
valid_specs = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
        "model": st.fixed_dictionaries(
            {}, optional={"source": texts, "config": st.dictionaries(texts, plain, max_size=3)}
        ),
        "data": st.fixed_dictionaries({}, optional={"source": texts, "context_length": st.integers(2, 131072)}),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "steps": st.integers(1, 10**8),
                "batch_size": st.integers(64, 65536),
                "micro_batch_size": st.none() | st.integers(1, 32),
                "learning_rate": st.floats(1e-12, 10),
                "clip": st.none() | st.floats(1e-12, 1e6),
                "deterministic": st.booleans(),
            },
        ),
        "evaluation": st.fixed_dictionaries({}, optional={"prompts": st.lists(texts, max_size=8)}),
        "hardware": st.fixed_dictionaries({}, optional={"threads": st.just("auto") | st.integers(1, 1024)}),
        "tracking": st.fixed_dictionaries(
            {}, optional={"project": st.none() | texts, "tags": st.lists(texts, max_size=4)}
        ),
    },
)


def problems(text: str) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        RunSpec.from_yaml(text)
    return dict(caught.value.problems)


@given(valid_specs)
@settings(deadline=None)
@example({"evaluation": {"prompts": ["\x85", "\u2028", "\r\n", "\x7f", "\ufffe", "😀", "off", "3e-4"]}})
@example({"model": {"config": {"dropout": "3e-4", "rate": 3e-4, "date": "2020-01-01", "bias": "no"}}})
def test_a_spec_reads_back_from_yaml_and_from_json_as_it_was(mapping):
    spec = RunSpec.from_mapping(mapping)
    assert RunSpec.from_yaml(spec.to_yaml()) == spec
    assert RunSpec.from_yaml(spec.to_json()) == spec
    assert RunSpec.from_mapping(spec.to_mapping()) == spec
    assert RunSpec.from_mapping(yaml.safe_load(spec.to_yaml())) == spec, "any YAML reader understands the file"


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "{}", "---\n"])
def test_an_empty_file_is_a_valid_spec(text):
    assert RunSpec.from_yaml(text) == RunSpec()


def test_the_file_in_the_design_page_is_read():
    spec = RunSpec.from_yaml(
        "schema: 1\nname: tiny-gpt\n"
        "model: {source: zoo:gpt, preset: small, config: {}}\n"
        "training: {steps: 1000, learning_rate: 1.0e-3, micro_batch_size: null}\n"
        "hardware: {device: auto, processes: 1, threads: auto, backend: process}\n"
        "tracking: {wandb: off, project: null, tags: []}\n"
    )
    assert (spec.name, spec.training.learning_rate, spec.tracking.wandb) == ("tiny-gpt", 1e-3, "off")


def test_a_number_without_a_dot_is_a_number_in_a_file_too():
    spec = RunSpec.from_yaml("training: {learning_rate: 3e-4}\nmodel: {config: {dropout: 1e-1}}")
    assert spec.training.learning_rate == 3e-4
    assert spec.model.config == {"dropout": 0.1}


def test_json_with_an_escaped_emoji_is_read_as_json():
    assert RunSpec.from_yaml(json.dumps({"evaluation": {"prompts": ["😀"]}})).evaluation.prompts == ["😀"]


def test_every_error_is_told_at_once_and_names_its_field():
    found = problems(
        "name: -x\n"
        "model: {preset: tinny}\n"
        "training: {steps: 0, batch_size: many, deterministic: maybe, learning_rate: .inf}\n"
        "data: {validation_fraction: 0.9}\n"
        "hardware: {threads: atuo}\n"
        "evaluation: {prompts: hello}\n"
        "tokenizer: 5\n"
    )
    assert set(found) == {
        "name",
        "model.preset",
        "training.steps",
        "training.batch_size",
        "training.deterministic",
        "training.learning_rate",
        "data.validation_fraction",
        "hardware.threads",
        "evaluation.prompts",
        "tokenizer",
    }
    assert found["training.steps"] == "must be at least 1, not 0."
    assert found["training.batch_size"] == "must be a whole number, not 'many'."
    assert found["model.preset"].endswith("Did you mean tiny?")
    assert found["data.validation_fraction"] == "must be at most 0.5, not 0.9."
    assert "a whole number" in found["hardware.threads"]
    assert found["hardware.threads"].endswith("Did you mean auto?"), "one sentence for a number or a word"
    assert found["evaluation.prompts"] == "must be a list, not text."


def test_contradictions_name_the_field_at_fault():
    found = problems(
        "training: {batch_size: 8, micro_batch_size: 16}\n"
        "checkpoints: {monitor: val/accuracy, mode: min}\n"
        "hardware: {processes: 3}\n"
        "tracking: {wandb: online}\n"
    )
    assert list(found) == ["training.micro_batch_size", "checkpoints.mode", "hardware.processes", "tracking.wandb"]


def test_what_needs_a_whole_model_contradicts_sharding():
    found = problems(
        "training: {optimizer: muon, averaging: 0.99, precision: fp16}\nhardware: {sharding: full, compile: true}\n"
    )
    assert list(found) == ["training.optimizer", "training.averaging", "training.precision", "hardware.compile"]
    assert "set it to adamw, or hardware.sharding to none" in found["training.optimizer"]


@pytest.mark.parametrize(
    ("text", "field", "advice"),
    [
        ("training: {step: 3}", "training.step", "Did you mean training.steps?"),
        ("trainig: {steps: 3}", "trainig", "Did you mean training?"),
        ("model: {steps: 3}", "model.steps", "Did you mean training.steps?"),
        ("training: {threads: 2}", "training.threads", "Did you mean hardware.threads?"),
        ("data: {zzz: 2}", "data.zzz", "Known here: source, context_length, validation_fraction, validation_split, "),
        ("data: {int: 2}", "data.int", "there is no such field."),
    ],
)
def test_an_unknown_field_is_told_with_the_name_that_was_meant(text, field, advice):
    assert advice in problems(text)[field]


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, f"'{SCHEMA_VERSION + 1}'", "2.0", "9" * 400])
def test_a_newer_file_is_refused_with_a_way_out(version):
    with pytest.raises(SpecError) as caught:
        RunSpec.from_yaml(f"schema: {version}\nsomething: {{of: the future}}")
    assert [field for field, _ in caught.value.problems] == ["schema"], "its new fields are not called mistakes"
    assert "pip install -U tb-widgets" in caught.value.hint


def batch_was_renamed(spec: dict) -> dict:
    training = spec.get("training")
    if isinstance(training, dict) and "batch" in training:
        return spec | {"training": {"batch_size" if key == "batch" else key: training[key] for key in training}}
    return spec


def seed_was_doubled(spec: dict) -> dict:
    training = spec.get("training", {})
    return spec | {"training": training | {"seed": 2 * training["seed"]}} if "seed" in training else spec


@pytest.mark.parametrize("first", [1, "'1'"])
def test_a_file_of_an_older_version_is_read_as_what_it_meant(first, monkeypatch):
    monkeypatch.setattr(versions, "MIGRATIONS", [batch_was_renamed, seed_was_doubled])
    old = RunSpec.from_yaml(f"schema: {first}\ntraining: {{batch: 8, seed: 3}}")
    assert (old.training.batch_size, old.training.seed, old.schema_version) == (8, 6, 3)
    assert RunSpec.from_yaml("schema: 2\ntraining: {batch_size: 8, seed: 3}").training.seed == 6
    assert RunSpec.from_yaml("schema: 3\ntraining: {seed: 3}").training.seed == 3
    assert RunSpec.from_yaml("training: {seed: 3}").training.seed == 3, "what is written by hand is of today"
    with pytest.raises(SpecError, match=r"up to (version )?3\."):
        RunSpec.from_yaml("schema: 4")
    with pytest.raises(SpecError, match="training"):
        RunSpec.from_yaml("schema: 1\ntraining: {batch: many}")
    for version in ("0", "[]", "one"):
        with pytest.raises(SpecError, match="schema"):
            RunSpec.from_yaml(f"schema: {version}")


def test_a_yaml_mistake_is_told_with_line_and_column():
    assert "line 2, column 12" in problems("training:\n  steps: [1")[""]
    assert "line 2, column 4" in problems("name: x\nab \x00")[""]


@pytest.mark.parametrize("text", ["5", "[1, 2]", "hello", "true"])
def test_a_file_that_is_no_mapping_is_refused(text):
    assert "must be a mapping of sections" in problems(text)[""]


@pytest.mark.parametrize("value", ["2020-01-01", ".nan", '!!binary "/w=="', "!!set {a, b}", "&a [*a]", r'"\ud800"'])
def test_a_config_value_that_no_file_gives_back_is_refused(value):
    assert "finite numbers" in problems(f"model: {{config: {{x: {value}}}}}")["model.config"]


def test_a_file_that_can_not_be_read_is_told_by_its_name(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: café".encode("latin-1"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    for path in (tmp_path, tmp_path / "missing.yaml", latin, broken):
        with pytest.raises(SpecError) as caught:
            RunSpec.load(path)
        assert str(path) in str(caught.value)
    with pytest.raises(SpecError):
        RunSpec.load("a\0b")


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text('{"name": "marked"}', encoding="utf-8-sig")
    assert RunSpec.load(path).name == "marked"


def test_two_specs_share_nothing():
    RunSpec().model.config["n_layer"] = 9
    assert RunSpec().model.config == {}


words = [*RunSpec.model_fields, "schema", "steps", "config", "off", "3e-4", "0x_", "2020-13-45", "1" * 5000, "é", "😀"]
tags = ["!!int ''", "!!bool x", "!!timestamp x", "!!python/object:os.system x", "&a", "*a", "<<", "|", ">", "---\n"]
signs = [": ", "\n", "\n  ", "- ", "{", "}", "[", "]", ", ", "? ", "#", "%", "@", "'", '"', "\t", "\x00", "\x85"]
BOMB = "\nmodel: {preset: *f}"  # 59,049 values in a few words
yaml_like = st.lists(st.sampled_from(words + tags + signs) | texts, max_size=25).map("".join)


@given(yaml_like | texts | st.recursive(st.none() | texts, lambda i: st.dictionaries(texts, i)).map(json.dumps))
@settings(max_examples=200, deadline=None)
@example("a: 2020-13-45")
@example("[" * 600)
@example("{" * 600)
@example("training: {steps: 0x" + "f" * 6000 + "}")
@example("schema: 0x" + "f" * 6000)
@example("model: {preset: 0x" + "f" * 6000 + "}")
@example("0x" + "f" * 6000 + ": 1")
@example("training: {0x" + "f" * 6000 + ": 1}")
@example("\n".join(["a: &a [x]", *(f"{n}: &{n} [{', '.join([f'*{m}'] * 9)}]" for m, n in pairwise("abcdef"))]) + BOMB)
def test_garbage_raises_nothing_but_spec_errors(text):
    try:
        spec = RunSpec.from_yaml(text)
    except SpecError as error:
        refused = error
    else:
        assert RunSpec.from_yaml(spec.to_yaml()) == spec
        return
    assert refused.problems
    assert len(str(refused)) < 20_000


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_in_a_file_raise_nothing_but_spec_errors(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spec.yaml")
        path.write_bytes(data)
        with contextlib.suppress(SpecError):
            RunSpec.load(path)
