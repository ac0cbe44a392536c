"""What the README shows is what happens."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import dsconv as ds

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def blocks():
    return BLOCK.findall(README.read_text(encoding="utf-8"))


def test_examples(blocks, tmp_path, monkeypatch):
    """Each Python block runs after the ones before it, and prints the text block that follows it."""
    monkeypatch.chdir(tmp_path)
    namespace, shown = {}, 0
    for (kind, code), (next_kind, text) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, README.name, "exec"), namespace)
        assert printed.getvalue() == (text if next_kind == "text" else ""), code
        shown += 1
    assert shown >= 4


def test_commands_are_those_of_ci(blocks):
    script = ROOT / ".ci" / "run"
    if not script.exists():
        pytest.skip("no .ci/run here")
    commands = [text.strip() for kind, text in blocks if kind == ""]
    assert len(commands) == 2
    lines = [line.strip() for line in script.read_text(encoding="utf-8").splitlines()]
    for command in commands:
        assert command in lines


def test_names_exist():
    """Every `ds.name` of the text exists, and so does every file that it links to."""
    text = README.read_text(encoding="utf-8")
    for name in set(re.findall(r"\bds\.(\w+)", text)):
        assert hasattr(ds, name), name
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (ROOT / target).exists(), target


def test_number_of_operations():
    from dsconv.demonstration import CASES

    assert f"runs {len(CASES)} operations" in README.read_text(encoding="utf-8")
