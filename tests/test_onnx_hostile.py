"""Files that are damaged or meant to harm: a clear error, nothing run, nothing large allocated."""

import os

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper

from dsconv import io, nn

from .onnx_files import model_of, node, saved

X = {"x": ("float32", ("N", 4))}
Y = {"y": ("float32", None)}


def tensor(dims, dtype=TensorProto.FLOAT, name="w", **fields):
    made = TensorProto(data_type=dtype, name=name, **fields)
    made.dims.extend(dims)
    return made


def with_tensor(made):
    """A graph whose one constant is that tensor."""
    model = model_of([node("Add", "x,w")], X, Y)
    model.graph.initializer.append(made)
    return model


def with_functions(*functions):
    """A graph that calls the first of some functions, each a name and what it calls."""
    model = model_of([helper.make_node(functions[0][0], ["x"], ["y"], domain="own")], X, Y, domains=["own"])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for name, called in functions:
        made = [
            helper.make_node(
                each,
                ["x" if i == 0 else f"v{i}"],
                [f"v{i + 1}" if i + 1 < len(called) else "y"],
                domain="own" if each.startswith("f") else "",
            )
            for i, each in enumerate(called)
        ]
        model.functions.append(helper.make_function("own", name, ["x"], ["y"], made, opsets))
    return model


def nested(depth):
    """If in If in If."""
    graph = helper.make_graph(
        [node("Relu", "x", "r")], "g", [], [helper.make_tensor_value_info("r", 1, None)]
    )
    for level in range(depth):
        made = node("If", "c", f"y{level}", then_branch=graph, else_branch=graph)
        graph = helper.make_graph([made], "g", [], [helper.make_tensor_value_info(f"y{level}", 1, None)])
    made = graph.node[0]
    made.output[0] = "y"
    return model_of([node("ReduceMax", "x", "m", keepdims=0), node("Cast", "m", "c", to=9), made], X, Y)


OUTSIDE = [("location", "../secret.bin")]
FLOATS = np.ones(4, np.float32).tobytes()
FILES = {
    "raw too short": (
        lambda: with_tensor(tensor([4], raw_data=FLOATS[:-1])),
        "initializer 'w': shape .4,. of FLOAT needs 16 bytes, the file holds 15",
    ),
    "raw too long": (lambda: with_tensor(tensor([2], raw_data=FLOATS)), "needs 8 bytes, the file holds 16"),
    "numbers too few": (
        lambda: with_tensor(tensor([4], float_data=[1, 2])),
        "needs 4 numbers, the file holds 2",
    ),
    "in another field": (
        lambda: with_tensor(tensor([4], int32_data=[1, 2, 3, 4])),
        "needs 4 numbers, the file holds 0",
    ),
    "gigantic": (
        lambda: with_tensor(tensor([2**40, 2**40], raw_data=FLOATS)),
        "initializer 'w': shape .* needs 4835703278458516698824704 bytes",
    ),
    "product that wraps": (lambda: with_tensor(tensor([2**32, 2**32], raw_data=b"")), "the file holds 0"),
    "negative": (
        lambda: with_tensor(tensor([-4], raw_data=FLOATS)),
        r"sizes must not be negative, got \(-4,\)",
    ),
    "unknown type": (
        lambda: with_tensor(tensor([4], 99, raw_data=FLOATS)),
        "initializer 'w': unknown data type 99",
    ),
    "attribute": (
        lambda: model_of(
            [node("Constant", "x", "w", value=tensor([9], raw_data=b"")), node("Add", "x,w")], X, Y
        ),
        r"node 'w' \(Constant\), attribute 'value': shape .9,. of FLOAT needs 36 bytes",
    ),
    "external elsewhere": (
        lambda: with_tensor(external(tensor([4]), location="../secret.bin")),
        "external data must lie in the folder of the file, got '../secret.bin'",
    ),
    "external absolute": (
        lambda: with_tensor(external(tensor([4]), location="/etc/passwd")),
        "must lie in the folder .* got '/etc/passwd'",
    ),
    "external by a link": (
        lambda: with_tensor(external(tensor([4]), location="link.bin")),
        "must lie in the folder .* got 'link.bin'",
    ),
    "external nowhere": (
        lambda: with_tensor(external(tensor([4]))),
        "must lie in the folder of the file, got ''",
    ),
    "external missing": (
        lambda: with_tensor(external(tensor([4]), location="none.bin")),
        "there is no file 'none.bin'",
    ),
    "external folder": (lambda: with_tensor(external(tensor([4]), location=".")), "there is no file '.'"),
    "external short": (
        lambda: with_tensor(external(tensor([99]), location="good.bin")),
        "needs 396 bytes of external data, 'good.bin' has 16 at offset 0",
    ),
    "external offset": (
        lambda: with_tensor(external(tensor([4]), location="good.bin", offset="8")),
        "'good.bin' has 8 at offset 8",
    ),
    "external number": (
        lambda: with_tensor(external(tensor([4]), location="good.bin", offset="-8")),
        "the offset of external data must be a number, got '-8'",
    ),
    "cycle": (
        lambda: model_of([node("Add", "x,b", "a"), node("Relu", "a", "b"), node("Relu", "b")], X, Y),
        r"node 'a' \(Add\): input 'b' is not there; a later node makes it: the graph has a cycle",
    ),
    "itself": (
        lambda: model_of([node("Add", "x,y")], X, Y),
        "node 'y' .Add.: input 'y' is not there; a later node",
    ),
    "missing": (
        lambda: model_of([node("Add", "x,b")], X, Y),
        "node 'y' .Add.: input 'b' is not there; nothing makes it",
    ),
    "made twice": (
        lambda: model_of([node("Relu", "x"), node("Relu", "x")], X, Y),
        "node 'y' .Relu.: output 'y' is already there",
    ),
    "no such output": (lambda: model_of([node("Relu", "x", "z")], X, Y), "nothing makes the output 'y'"),
    "no outputs": (lambda: model_of([node("Relu", "x", "z")], X, {}), "it has no outputs"),
    "no operator": (lambda: model_of([node("", "x")], X, Y), "a node needs an operator and an output"),
    "itself a function": (lambda: with_functions(("f", ["f"])), "functions: f -> f: a function calls itself"),
    "functions in a ring": (
        lambda: with_functions(("f", ["f1"]), ("f1", ["Relu", "f"])),
        "functions: f -> f1 -> f: a function calls itself",
    ),
    "a billion nodes": (
        lambda: with_functions(*[(f"f{i}", [f"f{i + 1}"] * 10) for i in range(20)], ("f20", ["Relu"])),
        "amounts to more than 1000000 nodes",
    ),
    "deep functions": (
        lambda: with_functions(*[(f"f{i}", [f"f{i + 1}"]) for i in range(2000)], ("f2000", ["Relu"])),
        "functions: .* or more than 32",
    ),
    "deep graphs": (lambda: nested(6), None),
    "no version": (lambda: without_opsets(), "opset_import: the file does not say"),
}
UNKNOWN = {
    "domain": (
        lambda: model_of(
            [helper.make_node("Gelu", ["x"], ["y"], "n", domain="com.other")], X, Y, domains=["com.other"]
        ),
        r"node 'n' \(com.other.Gelu\): operators of the domain 'com.other'",
    ),
    "operator": (
        lambda: model_of([node("Frobnicate", "x")], X, Y),
        r"node 'y' \(Frobnicate\): there is no implementation of this operator",
    ),
    "in a branch": (lambda: branch_of("Frobnicate"), r"node 'r' \(Frobnicate\): there is no implementation"),
    "version": (
        lambda: model_of([node("Relu", "x")], X, Y, opset=999),
        "the file needs version 999 of the operators, and the installed",
    ),
    "sequence": (lambda: sequence_input(), "input 's': only tensors are supported, this is a sequence_type"),
    "four bits": (
        lambda: with_tensor(tensor([4], TensorProto.INT4, raw_data=b"12")),
        "initializer 'w': tensors of INT4",
    ),
}


def external(made, **entries):
    made.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        made.external_data.add(key=key, value=value)
    return made


def branch_of(operator):
    graph = helper.make_graph(
        [node(operator, "x", "r")], "g", [], [helper.make_tensor_value_info("r", 1, None)]
    )
    made = [node("ReduceMax", "x", "m", keepdims=0), node("Cast", "m", "c", to=9)]
    return model_of([*made, node("If", "c", "y", then_branch=graph, else_branch=graph)], X, Y)


def sequence_input():
    model = model_of([node("SequenceLength", "s")], {}, Y)
    model.graph.input.append(helper.make_tensor_sequence_value_info("s", 1, None))
    return model


def without_opsets():
    model = model_of([node("Relu", "x")], X, Y)
    del model.opset_import[:]
    return model


@pytest.fixture
def folder(tmp_path):
    """A folder with files of weights, and one beside it that is no one's business."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "good.bin").write_bytes(FLOATS)
    (tmp_path / "secret.bin").write_bytes(FLOATS)
    os.symlink(tmp_path / "secret.bin", inner / "link.bin")
    return inner


@pytest.mark.parametrize("name", FILES)
def test_files_that_contradict_themselves(name, folder):
    make, message = FILES[name]
    if message is None:
        io.load_onnx(saved(make(), folder))
        return
    with pytest.raises(ValueError, match=message):
        io.load_onnx(saved(make(), folder))


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_run(name, folder):
    make, message = UNKNOWN[name]
    with pytest.raises(NotImplementedError, match=message):
        io.load_onnx(saved(make(), folder))


def test_weights_beside_the_file(folder):
    made = external(tensor([4]), location="good.bin", offset="0", length="16")
    network = io.load_onnx(saved(with_tensor(made), folder))
    assert network(np.zeros((2, 4), np.float32)).tolist() == [[1] * 4] * 2


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.load_onnx(tmp_path / "none.onnx")
    for content in (b"", b"\x00" * 100, b"no protobuf at all", b"\x80\x02}q\x00."):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="path: .*bad.onnx is no"):
            io.load_onnx(tmp_path / "bad.onnx")


FUZZ = """
import random, resource, sys
import numpy as np
from dsconv import io

path, seeds = sys.argv[1], range(int(sys.argv[2]), int(sys.argv[3]))
data = open(path, "rb").read()
x = np.ones((2, 3, 8, 8), np.float32)
io.load_onnx(path)(x)
resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
counts = {}
for seed in seeds:
    draw, damaged = random.Random(seed), bytearray(data)
    kind = draw.random()
    if kind < 0.15:
        damaged = damaged[: draw.randrange(len(damaged))]
    elif kind < 0.85:
        for _ in range(draw.choice([1, 1, 2, 4, 16])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    else:
        begin, count = draw.randrange(len(damaged)), draw.randrange(32)
        damaged[begin : begin + draw.randrange(32)] = bytes(draw.randrange(256) for _ in range(count))
    with open(path + ".damaged", "wb") as file:
        file.write(damaged)
    try:
        io.load_onnx(path + ".damaged")(x)
        outcome = "ok"
    except (ValueError, NotImplementedError, MemoryError) as error:
        outcome = type(error).__name__
        assert str(error), seed
    except BaseException as error:
        raise SystemExit(f"seed {seed}: {error!r}")
    counts[outcome] = counts.get(outcome, 0) + 1
print(counts)
"""


def test_damaged_bytes(tmp_path, run_python):
    """A file cut off, with bytes changed, taken out and put in: an error, or another network."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, rng=0), nn.BatchNorm(4), nn.Activation("hardswish"), nn.MaxPool2d(2),
        nn.SeparableConv2d(4, 6, 3, padding="same", activation="relu", rng=1), nn.Upsample(2),
        nn.SelfAttention(6, 2, data_format="channels_first", rng=2), nn.SqueezeExcite(6, 2, rng=3),
        nn.DepthwiseConvTranspose2d(6, 2, stride=2, rng=4), nn.GlobalAveragePool(), nn.Linear(6, 3, rng=5),
    )  # fmt: skip
    path = tmp_path / "net.onnx"
    io.save_onnx(net, path, (1, 3, 8, 8))
    done = run_python(FUZZ, path, 0, 400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ValueError" in done.stdout and "ok" in done.stdout


SIZES = """
import resource, sys
import numpy as np
from dsconv import io

resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
network = io.load_onnx(sys.argv[1])
try:
    network(np.ones((2, 4), np.float32))
except (MemoryError, ValueError) as error:
    print(type(error).__name__, error)
"""
LARGE = {
    "ConstantOfShape": [node("ConstantOfShape", "s", "c"), node("Add", "x,c")],
    "Expand": [node("Expand", "x,s")],
    "Tile": [node("Unsqueeze", "x,a", "u"), node("Tile", "u,s")],
    "Resize": [helper.make_node("Resize", ["x", "", "", "t"], ["y"])],
    "Pad": [node("Pad", "x,p")],
    "Range": [node("Range", "zero,n,one", "r"), node("Cast", "r", "y", to=1)],
}


@pytest.mark.parametrize("name", LARGE)
def test_results_that_are_too_large(name, tmp_path, run_python):
    """Loading allocates none of it, and a call says which node asks for it."""
    arrays = {
        "s": np.array([2**36, 2, 4]),
        "t": np.array([2**34, 2**34]),
        "p": np.array([0, 2**36, 0, 2**36]),
        "a": np.array([0]),
        "zero": np.array(0),
        "n": np.array(2**40),
        "one": np.array(1),
    }
    path = saved(model_of(LARGE[name], X, Y, arrays), tmp_path)
    done = run_python(SIZES, path)
    assert done.returncode == 0 and "node '" in done.stdout and name in done.stdout, done.stdout + done.stderr


MEMORY = """
import resource, sys
from dsconv import io

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
io.load_onnx(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_constants_are_not_multiplied(tmp_path, run_python):
    """One weight that a thousand nodes turn, convert or scale, each for itself."""
    weight = np.ones((512, 512, 1, 1), np.float32)
    made, last = [], "x"
    for i in range(1000):
        made += [node("Cast", "w", f"d{i}", to=11), node("Cast", f"d{i}", f"f{i}", to=1)]
        made += [
            node("Conv", f"{last},w", f"v{i}"),
            node("Mul", f"v{i},two", f"m{i}"),
            node("Conv", f"m{i},f{i}", f"u{i}"),
        ]
        last = f"u{i}"
    arrays = {"w": weight, "two": np.float32(2)}
    model = model_of(made, {"x": ("float32", ("N", 512, 1, 1))}, {last: ("float32", None)}, arrays)
    done = run_python(MEMORY, saved(model, tmp_path))
    assert done.returncode == 0 and int(done.stdout) < 200, done.stdout + done.stderr  # MiB


def test_many_nodes_load_in_a_moment(tmp_path):
    """Neither chains of products nor of additions make the patterns go through them again and again."""
    made = [node("Mul" if i % 2 else "Add", "x,x" if i == 0 else f"v{i},x", f"v{i + 1}") for i in range(3000)]
    network = io.load_onnx(saved(model_of(made, X, {"v3000": ("float32", None)}), tmp_path))
    assert len(network.operators) == 3000
    made = [node("Mul", "x,h" if i == 0 else f"v{i},h", f"v{i + 1}") for i in range(3000)]
    half = {"h": np.float32(0.5)}
    io.load_onnx(saved(model_of(made, X, {"v3000": ("float32", None)}, half), tmp_path))
