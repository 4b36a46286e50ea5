import subprocess
import sys

from tb_widgets.models.sources.resolve import fetch, pinned

from .github import ID


def test_describing_a_model_imports_no_torch_and_runs_no_code_of_the_users(export):
    spec = export.write("raise SystemExit('executed')\nclass Model(nn.Module):\n    pass\n", '{"model_name": "Mine"}')
    script = (
        "import sys\n"
        "from tb_widgets.models.describe import describe\n"
        "from tb_widgets.models.sources.resolve import resolve\n"
        "from tb_widgets.spec import ModelSpec\n"
        "for source in ('zoo:gpt', sys.argv[1]):\n"
        "    print(describe(resolve(ModelSpec(source=source), vocab_size=64, context_length=8)).title)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script, spec.source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["GPT small", "Mine"]


def test_whose_code_may_run_is_told_without_torch_or_a_network_client(github):
    github.add(
        ID, {"model.py": "raise SystemExit('executed')\nclass Model(nn.Module):\n    pass\n", "config.json": "{}"}
    )
    script = (
        "import sys\n"
        "from tb_widgets.models.describe import describe\n"
        "from tb_widgets.models.sources.resolve import fetch, resolve\n"
        "from tb_widgets.models.trust.consent import TrustStore\n"
        "from tb_widgets.spec import ModelSpec\n"
        "source = fetch(sys.argv[1], online=False)\n"
        "print(TrustStore().state(source).state)\n"
        "describe(resolve(ModelSpec(source=sys.argv[1]), vocab_size=64, context_length=8))\n"
        "assert not {'torch', 'requests', 'huggingface_hub'} & set(sys.modules)\n"
    )
    pinned_source = pinned(fetch(ID))
    done = subprocess.run([sys.executable, "-c", script, pinned_source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "new\n"
