"""What rewrites make of a graph, and what they leave as it is."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper

from dsconv import io, nn

from .onnx_files import ONE, assert_close, check_against_runtime, check_graph, model_of, node, saved


def hardswish(x, y, order):
    """As PaddlePaddle and PyTorch export it."""
    last = {
        "multiply first": [node("Mul", f"{x},c", "m"), node("Div", "m,six", y)],
        "divide first": [node("Div", "c,six", "d"), node("Mul", f"d,{x}", y)],
        "by a sixth": [node("Mul", "c,sixth", "d"), node("Mul", f"{x},d", y)],
    }[order]
    return [node("Add", f"{x},three", "a"), node("Clip", "a,zero,six", "c"), *last]


def gelu(x, y, order):
    made = [node("Div", f"{x},root", "d"), node("Erf", "d", "e"), node("Add", "e,one", "s")]
    if order == "half last":
        return [*made, node("Mul", f"{x},s", "m"), node("Mul", "m,half", y)]
    if order == "half first":
        return [node("Mul", f"{x},half", "m"), *made, node("Mul", "m,s", y)]
    return [*made, node("Mul", "half,s", "m"), node("Mul", f"m,{x}", y)]


NUMBERS = {"zero": 0, "one": 1, "three": 3, "six": 6, "sixth": 1 / 6, "half": 0.5, "root": 2**0.5}
ACTIVATIONS = {
    "relu": lambda x, y: [node("Relu", x, y)],
    "relu6": lambda x, y: [node("Clip", f"{x},zero,six", y)],
    "sigmoid": lambda x, y: [node("Sigmoid", x, y)],
    "tanh": lambda x, y: [node("Tanh", x, y)],
    "hardsigmoid": lambda x, y: [node("HardSigmoid", x, y, alpha=1 / 6, beta=0.5)],
    "hardswish": lambda x, y: [node("HardSwish", x, y)],
    "silu": lambda x, y: [node("Sigmoid", x, "s"), node("Mul", f"{x},s", y)],
    "hardswish of hardsigmoid": lambda x, y: [
        node("HardSigmoid", x, "s", alpha=0.16666666, beta=0.5),
        node("Mul", f"s,{x}", y),
    ],
    "hardsigmoid of clip": lambda x, y: [
        node("Add", f"three,{x}", "a"),
        node("Clip", "a,zero,six", "c"),
        node("Div", "c,six", y),
    ],
}
ACTIVATIONS |= {
    f"hardswish {order}": lambda x, y, order=order: hardswish(x, y, order)
    for order in ("multiply first", "divide first", "by a sixth")
}
ACTIVATIONS |= {
    f"gelu {order}": lambda x, y, order=order: gelu(x, y, order)
    for order in ("half last", "half first", "inside")
}


def constants(rng, **shapes):
    numbers = {name: np.float32(value) for name, value in NUMBERS.items()}
    return numbers | {name: rng.uniform(0.5, 1.5, shape).astype("f") for name, shape in shapes.items()}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, tmp_path, rng):
    """Each becomes the epilogue of the convolution before it."""
    arrays = constants(rng, w=(4, 1, 3, 3))
    made = [node("Conv", "x,w", "v", group=4), *ACTIVATIONS[name]("v", "y")]
    network = check_graph(tmp_path, made, arrays, opset=17)
    assert network.operators == ["Conv"]
    (step,) = network._evaluator.rt_nodes_
    assert step.given("activation", None) == name.split()[0]


def test_fused_chain(tmp_path, rng):
    """Depthwise, norm, activation, pointwise, norm, activation: one operator, as it is in MobileNets."""
    arrays = constants(rng, dw=(4, 1, 3, 3), pw=(6, 4, 1, 1), s1=4, b=4, m=4, v=4, s2=6, b2=6, m2=6, v2=6)
    made = [
        node("Conv", "x,dw", "1", group=4, pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", "1,s1,b,m,v", "2", epsilon=1e-3),
        node("Clip", "2,zero,six", "3"),
        node("Conv", "3,pw", "4"),
        node("BatchNormalization", "4,s2,b2,m2,v2", "5"),
        *ACTIVATIONS["silu"]("5", "y"),
    ]
    network = check_graph(tmp_path, made, arrays)
    assert network.operators == ["Conv"]
    (step,) = network._evaluator.rt_nodes_
    assert step.depthwise_activation == "relu6" and step.activation == "silu" and len(step.input) == 5


def test_transposed_chain(tmp_path, rng):
    arrays = constants(rng, dw=(4, 2, 3, 3), pw=(6, 8, 1, 1), s=8, b=8, m=8, v=8)
    made = [
        node("ConvTranspose", "x,dw", "1", group=4, strides=[2, 2]),
        node("BatchNormalization", "1,s,b,m,v", "2"),
        node("Relu", "2", "3"),
        node("Conv", "3,pw", "y"),
    ]
    assert check_graph(tmp_path, made, arrays).operators == ["ConvTranspose"]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_constants_per_channel(operator, groups, tmp_path, rng):
    """Scales and shifts after a convolution, of the forms that exporters write them in."""
    weight = (8, 4 // groups, 3, 3) if operator == "Conv" else (4, 8 // groups, 3, 3)
    arrays = constants(rng, w=weight, s=(8, 1, 1), t=(1, 8, 1, 1), o=(1,), d=(8, 1, 1), b=8)
    made = [
        node(operator, "x,w,b", "1", group=groups),
        node("Mul", "1,s", "2"),
        node("Add", "t,2", "3"),
        node("Sub", "3,o", "4"),
        node("Div", "4,d", "y"),
    ]
    assert check_graph(tmp_path, made, arrays).operators == [operator]


def test_padding(tmp_path, rng):
    """A Pad before a convolution is its padding, and its mode."""
    for mode in ("constant", "reflect", "edge"):
        arrays = constants(rng, w=(4, 1, 3, 3)) | {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1])}
        made = [node("Pad", "x,p", "1", mode=mode), node("Conv", "1,w", "y", group=4)]
        assert check_graph(tmp_path, made, arrays).operators == ["Conv"]
    arrays["p"] = np.array([0, 1, 1, 2, 0, 0, 0, 1])  # of channels: that one stays
    arrays["w"] = np.ones((5, 1, 3, 3), np.float32)
    made = [node("Pad", "x,p", "1"), node("Conv", "1,w", "y", group=5)]
    assert check_graph(tmp_path, made, arrays).operators == ["Pad", "Conv"]


def test_constants_that_are_no_scales(tmp_path, rng):
    """One for each sample, or with more axes than the result of the convolution has."""
    for shape in ((2, 4, 1, 1), (1, 1, 1, 1, 1), (4, 1)):
        arrays = constants(rng, w=(4, 1, 1, 4), s=shape)
        made = [node("Conv", "x,w", "1", group=4), node("Mul", "1,s", "y")]
        assert check_graph(tmp_path, made, arrays, shapes=[(2, 4, 4, 4)]).operators == ["Conv", "Mul"]
        made = [node("Sigmoid", "x", "g"), node("Mul", "x,g", "m"), node("Mul", "m,s", "y")]
        assert check_graph(tmp_path, made, arrays, shapes=[(2, 4, 4, 4)]).operators == ["Activation", "Mul"]


def test_integers(tmp_path):
    """No activation of the engine is for them."""
    bounds = {"zero": np.array(0), "six": np.array(6)}
    made = [node("Cast", "x", "i", to=7), node("Clip", "i,zero,six", "c"), node("Add", "c,six", "s")]
    made += [node("Cast", "s", "t", to=6), node("Relu", "t", "r"), node("Cast", "r", "y", to=1)]
    check_graph(tmp_path, made, bounds)


def test_functions(tmp_path, rng):
    """What a function of the file makes is rewritten with the rest; its attributes come from the call."""
    inside = [
        node("Conv", "x,w", "v", group=4),
        node("LeakyRelu", "v", "u"),
        node("Sigmoid", "u", "s"),
        node("Mul", "u,s"),
    ]
    inside[1].attribute.add(name="alpha", ref_attr_name="slope", type=1)
    opsets = [helper.make_opsetid("", 17)]
    made = [
        helper.make_node("block", ["x", "w"], ["1"], domain="own", slope=0.3),
        helper.make_node("block", ["1", "w"], ["y"], domain="own", slope=0.1),
    ]
    model = model_of(made, ONE, {"y": ("float32", None)}, constants(rng, w=(4, 1, 1, 1)), domains=["own"])
    model.functions.append(helper.make_function("own", "block", ["x", "w"], ["y"], inside, opsets, ["slope"]))
    network = check_against_runtime(
        saved(model, tmp_path), {"x": rng.standard_normal((2, 4, 5, 5)).astype("f")}
    )
    assert network.operators == ["Conv", "LeakyRelu", "Activation"] * 2


KEPT = {
    "used twice": [node("Conv", "x,w", "v", group=4), node("Relu", "v", "r"), node("Add", "v,r", "y")],
    "not the same x": [
        node("Conv", "x,w", "v", group=4),
        node("Abs", "v", "a"),
        node("Sigmoid", "a", "s"),
        node("Mul", "v,s", "y"),
    ],
    "a shift by 2": [
        node("Conv", "x,w", "v", group=4),
        node("Add", "v,one", "a"),
        node("Clip", "a,zero,six", "c"),
        node("Div", "c,six", "d"),
        node("Mul", "d,v", "y"),
    ],
    "a sum of channels": [node("Conv", "x,w", "v", group=4), node("Add", "v,row", "y")],
    "erf of something else": [
        node("Conv", "x,w", "v", group=4),
        node("Mul", "v,half", "d"),
        node("Erf", "d", "e"),
        node("Add", "e,one", "s"),
        node("Mul", "v,s", "m"),
        node("Mul", "m,half", "y"),
    ],
    "depthwise twice": [
        node("Conv", "x,w", "v", group=4),
        node("Conv", "v,p", "m"),
        node("Mul", "v,one", "o"),
        node("Slice", "o,at0,at2,at1", "t"),
        node("ReduceMean", "m", "z"),
        node("Add", "t,z", "y"),
    ],
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_no_pattern(name, tmp_path, rng):
    arrays = constants(rng, w=(4, 1, 1, 1), p=(3, 4, 1, 1), row=6)
    arrays |= {"at0": np.array([0]), "at1": np.array([1]), "at2": np.array([2])}
    network = check_graph(
        tmp_path, KEPT[name], arrays, shapes=[(2, 4, 7, 6)], inputs={"x": ("float32", ("N", 4, 7, 6))}
    )
    assert len(network.operators) > 1


def test_values_between_that_are_outputs(tmp_path, rng):
    """Neither an activation nor a norm goes into a convolution whose result is asked for."""
    arrays = constants(rng, w=(4, 1, 3, 3), pw=(6, 4, 1, 1))
    made = [node("Conv", "x,w", "v", group=4), node("Relu", "v", "r"), node("Conv", "r,pw", "y")]
    outputs = {name: ("float32", None) for name in ("v", "r", "y")}
    path = saved(model_of(made, ONE, outputs, arrays), tmp_path)
    network = check_against_runtime(path, {"x": rng.standard_normal((2, 4, 7, 6)).astype("f")})
    assert network.operators == ["Conv", "Activation", "Conv"]


def test_subgraphs(tmp_path, rng):
    """Branches see values and constants around them, which therefore stay; inside, the same is rewritten."""

    def branch(name, operator):
        made = [
            node("Conv", "v,w", f"{name}1", group=4),
            node(operator, f"{name}1", f"{name}2"),
            node("Add", f"{name}2,v", name),
        ]
        return helper.make_graph(made, name, [], [helper.make_tensor_value_info(name, 1, None)])

    branches = {"then_branch": branch("t", "Relu"), "else_branch": branch("e", "Tanh")}
    made = [
        node("Conv", "x,w", "u", group=4), node("Relu", "u", "v"),
        node("ReduceMean", "x", "m", keepdims=0), node("Greater", "m,zero", "c"),
        node("If", "c", "y", **branches),
    ]  # fmt: skip
    network = check_graph(tmp_path, made, constants(rng, w=(4, 1, 1, 1)), shapes=[(2, 4, 7, 6)] * 4)
    assert network.operators[0] == "Conv" and "Activation" not in network.operators
    inner = [step for step in network._evaluator.rt_nodes_ if step.op_type == "If"][0].then_branch
    assert [step.op_type for step in inner.rt_nodes_] == ["Conv", "Add"]


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "LeakyRelu", "Clip", "HardSigmoid", ""])
def test_fused_conv(activation, tmp_path, rng):
    """ONNX Runtime's own Conv, as it writes it into optimised files."""
    limits = {"LeakyRelu": [0.2], "Clip": [-0.5, 0.75], "HardSigmoid": [0.3, 0.4]}.get(activation, [])
    words = ({"activation": activation} if activation else {}) | (
        {"activation_params": limits} if limits else {}
    )
    arrays = constants(rng, w=(4, 4, 3, 3), b=4)
    inputs = ONE | {"z": ("float32", ("N", 4, "p", "q"))}
    made = [
        helper.make_node(
            "FusedConv", ["x", "w", "b", "z"], ["y"], domain="com.microsoft", pads=[1] * 4, **words
        )
    ]
    check_graph(tmp_path, made, arrays, inputs, domains=["com.microsoft"], shapes=[(1, 4, 7, 6)])
    made[0].input.pop()
    check_graph(tmp_path, made, arrays, domains=["com.microsoft"])


OPTIMISED = {
    "QuickGelu": ("x", {}, ["Mul", "Activation", "Mul"]),
    "QuickGelu silu": ("x", {"alpha": 1.0}, ["Activation"]),
    "Gelu": ("x", {}, ["Activation"]),
    "BiasGelu": ("x,b", {}, ["Add", "Activation"]),
    "FusedGemm": ("x,w,b", {"activation": "Relu", "transB": 1, "alpha": 0.5}, ["Gemm", "Activation"]),
    "FusedGemm leaky": ("x,w,b", {"activation": "LeakyRelu", "activation_alpha": 0.3}, ["Gemm", "LeakyRelu"]),
    "FusedMatMul": ("x,w", {"transA": 1, "transB": 1, "alpha": 0.5}, ["MatMul"]),
}


@pytest.mark.parametrize("name", OPTIMISED)
def test_nodes_of_onnx_runtime(name, tmp_path, rng):
    """What else it writes into the files that it has optimised."""
    inputs, words, kinds = OPTIMISED[name]
    made = [helper.make_node(name.split()[0], inputs.split(","), ["y"], domain="com.microsoft", **words)]
    arrays = {"w": rng.standard_normal((6, 6)).astype("f"), "b": rng.standard_normal(6).astype("f")}
    given = {"x": ("float32", ("N", 6))}
    network = check_graph(tmp_path, made, arrays, given, [(6, 6)], domains=["com.microsoft"])
    assert network.operators == kinds


def test_batches_that_are_turned(tmp_path):
    made = [helper.make_node("FusedMatMul", ["x", "x"], ["y"], "n", domain="com.microsoft", transBatchA=1)]
    path = saved(model_of(made, ONE, {"y": ("float32", None)}, domains=["com.microsoft"]), tmp_path)
    with pytest.raises(NotImplementedError, match=r"node 'n' \(com.microsoft.FusedMatMul\): turned batch"):
        io.load_onnx(path)


@pytest.mark.parametrize("activation", ["relu", "silu", "hardswish", "gelu"])
def test_optimised_files(activation, tmp_path, rng):
    """A file that ONNX Runtime has optimised runs as the one that it came from."""
    import onnxruntime

    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, rng=0), nn.BatchNorm(4), nn.Activation(activation),
        nn.DepthwiseConv2d(4, 3, rng=1), nn.Activation(activation), nn.PointwiseConv2d(4, 6, rng=2),
        nn.Activation(activation), nn.GlobalAveragePool(), nn.Linear(6, 5, activation=activation, rng=3),
    )  # fmt: skip
    io.save_onnx(net, tmp_path / "net.onnx", (1, 3, 12, 12))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), options, providers=["CPUExecutionProvider"])
    x = rng.standard_normal((2, 3, 12, 12)).astype("f")
    network = io.load_onnx(tmp_path / "optimised.onnx")
    assert_close(network(x), net.eval()(x))
    assert network.operators[:3] == io.load_onnx(tmp_path / "net.onnx").operators[:3]


def test_constants_of_nodes(tmp_path, rng):
    """As PaddlePaddle writes them: Constant nodes, and weights that are turned or reshaped at every call."""
    w = numpy_helper.from_array(rng.standard_normal((3, 3, 1, 4)).astype("f"))
    made = [
        node("Constant", "", "raw", value=w), node("Transpose", "raw", "w", perm=[3, 2, 0, 1]),
        node("Constant", "", "half", value_float=0.5), node("Identity", "half", "h"),
        node("Conv", "x,w", "1", group=4), node("Mul", "1,h", "y"),
    ]  # fmt: skip
    for each in made[::2][:2]:
        del each.input[:]
    assert check_graph(tmp_path, made).operators == ["Conv"]
