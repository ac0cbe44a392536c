"""What the pages show is what happens."""

import contextlib
import io
import itertools
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["training", "analysis", "onnx"])
def test_examples(name):
    """Each Python block runs after the ones before it, and prints the text block that follows it."""
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
