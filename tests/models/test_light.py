import subprocess
import sys


def test_describing_a_model_imports_no_torch_and_runs_no_code_of_the_users(export):
    spec = export.write("raise SystemExit('executed')\nclass Model(nn.Module):\n    pass\n", '{"model_name": "Mine"}')
    script = (
        "import sys\n"
        "from tb_widgets.models.load import describe, resolve\n"
        "from tb_widgets.spec import ModelSpec\n"
        "for source in ('zoo:gpt', sys.argv[1]):\n"
        "    print(describe(ModelSpec(source=source), vocab_size=64, context_length=8).title)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script, spec.source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["GPT, small", "Mine"]
