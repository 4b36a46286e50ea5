import subprocess
import sys

import pytest

from tb_widgets.data.sources.builtin import list_sources, read_text, tasks_of
from tb_widgets.errors import DataError


def test_built_in_texts_are_there_without_a_network():
    assert [source.name for source in list_sources("masked-lm")] == ["python-docs", "python-source"]
    assert [source.name for source in list_sources("seq2seq")] == ["reversed-words", "python-docs", "python-source"]
    assert len(list_sources()) == 5
    docs, code = read_text("python-docs"), read_text("python-source")
    assert len(docs) > 300_000
    assert "statement" in docs
    assert len(code) > 3_000_000
    assert "def " in code
    with pytest.raises(
        DataError, match=r"reversed-words is not a built-in text. Choose one of python-docs, python-source"
    ):
        read_text("reversed-words")


@pytest.mark.parametrize(
    ("source", "classifies"),
    [
        ("book.txt", False),
        ("notes.md.gz", False),
        ("rows.csv", True),
        ("ROWS.TSV.GZ", True),
        ("a.jsonl", True),
        ("files.zip", True),
        ("data/*.txt", True),
        ("hub:stanfordnlp/imdb", True),
        ("https://example.org/book.txt", True),
        ("python-docs", False),
    ],
)
def test_what_may_be_a_table_may_have_labels(source, classifies):
    assert ("sequence-classification" in tasks_of(source)) is classifies
    assert {"causal-lm", "masked-lm", "seq2seq"} <= set(tasks_of(source))
    assert "vision-classification" not in tasks_of(source)


def test_looking_at_files_and_sources_imports_nothing_heavy(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\na,1\nb,2\n")
    (tmp_path / "book.txt").write_text("Some words.")
    code = (
        "import sys\n"
        "from tb_widgets.data.reading.columns import map_columns\n"
        "from tb_widgets.data.reading.open import open_data\n"
        "from tb_widgets.spec import DataSpec\n"
        f"table = open_data(DataSpec(source={str(tmp_path / 'rows.csv')!r}))\n"
        "assert map_columns(table, 'sequence-classification', {}).roles == {'text': 'text', 'label': 'label'}\n"
        "assert list(table.rows(['text'])) == [('a',), ('b',)]\n"
        f"assert len(list(open_data(DataSpec(source={str(tmp_path / 'book.txt')!r})).pieces())) == 1\n"
        "heavy = {'torch', 'pyarrow', 'pandas', 'datasets', 'requests', 'plotly', 'numpy', 'charset_normalizer'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
