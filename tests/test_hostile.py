"""Calls that crashed, hung or silently lied in well-known libraries, each in a process that may die of it.

A case is an expression and the outcomes that are right for it. A batch of cases shares a process; when that
ends with a signal or hangs, the case it had announced last is to blame, and the rest go on in another one.
"""

import json
import re
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits and timer signals")

# V ValueError that names an argument; v ValueError in NumPy's words (a gufunc called directly); T TypeError;
# O OverflowError; M MemoryError, or a ValueError or OverflowError that says it is too big; R the right result
# (the expression is true); I still running after a second, and ended by a signal's exception at once.
NAMES = (
    r"\b(x|weight|bias|depthwise_weight|pointwise_weight|depthwise_bias|pointwise_bias|stride|padding|dilation|"
    r"padding_mode|activation|data_format|out|dtype|kernel|kernel_size|input_size|name|grad|grad_output|"
    r"output_padding|output_size|batch_axes)\b"
)
TOO_BIG = r"too big|too large|overflow|64-bit|64 bits|exceeds?|does not fit|memory|maximum"

CHILD = r"""
import faulthandler, json, resource, signal, sys, time

import numpy as np
import dsconv as ds
from dsconv import reference

np.seterr(all="ignore")


class Alarm(BaseException):
    pass


def ring(number, frame):
    raise Alarm


def ones(*shape, dtype="f4"):
    return np.ones(shape, dtype)


def wide(*shape, dtype="f4"):
    return np.broadcast_to(np.ones((), dtype), shape)


def call(rank, kind="depthwise", x=None, w=None, p=None, bias=None, **keywords):
    "One of the functions on small operands of ones, where not given; kind is such as 'separable transpose'."
    kind, *transpose = kind.split()
    name = "_".join([f"{kind}_conv", *transpose]) + f"{rank}d"
    x = ones(2, 3, *[5] * rank) if x is None else x
    w = ones(3, 1, *[3] * rank) if w is None else w
    weights = {"depthwise": [w], "pointwise": [ones(4, 3) if p is None else p]}
    weights["separable"] = [w, ones(4, 3) if p is None else p]
    biases = [] if bias is None else [bias]
    return getattr(ds, name)(x, *weights[kind], *biases, **keywords)


def same(name, *arguments, **keywords):
    "Is the result of this function that of the reference, dtype included?"
    actual = getattr(ds, name)(*arguments, **keywords)
    expected = getattr(reference, name)(*arguments, **keywords)
    return np.array_equal(actual, expected) and actual.dtype == expected.dtype


def vjp(name, *arguments, **keywords):
    "The gradients for an incoming one of ones."
    y, pullback = getattr(ds, name + "_vjp")(*arguments, **keywords)
    return pullback(np.ones_like(y))


def right(rank, x, w, kind="depthwise", **keywords):
    name = f"{kind}_conv{rank}d"
    actual = getattr(ds, name)(x, *w, **keywords)
    expected = getattr(reference, name)(x, *w, **keywords)
    return np.array_equal(actual, expected) and actual.dtype == expected.dtype


def numbers(*shape, dtype="f4"):
    return (np.arange(np.prod(shape), dtype="i8") % 7 - 3).reshape(shape).astype(dtype)


def still_works():
    x = numbers(2, 3, 9, 9)
    weights = numbers(3, 2, 3, 3), numbers(4, 6)
    return right(2, x, weights, "separable", padding=1, stride=2)


signal.signal(signal.SIGALRM, ring)
with open(sys.argv[1], encoding="utf-8") as file:
    cases = json.load(file)
assert still_works()
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for number, expression in cases:
    print(json.dumps([number, "start", ""]), flush=True)
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 1)
    faulthandler.dump_traceback_later(8, exit=True)
    try:
        value = eval(expression)
        signal.setitimer(signal.ITIMER_REAL, 0)
        outcome, text = ("right" if value is True or value is np.True_ else "wrong"), repr(value)
    except Alarm:
        outcome, text = "interrupted", f"after {time.monotonic() - began:.2f} s"
        if time.monotonic() - began > 1.25:
            outcome = "late"
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        kinds = MemoryError, OverflowError, TypeError, ValueError
        outcome, text = next(kind.__name__ for kind in kinds if isinstance(error, kind)), str(error)
    except Exception as error:
        outcome, text = type(error).__name__, str(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    if not still_works():
        outcome, text = "corrupted", text
    print(json.dumps([number, outcome, text[:500]]), flush=True)
"""

RANKS = (1, 2, 3)
KINDS = ("depthwise", "separable")
TRANSPOSED = ("depthwise transpose", "separable transpose")


def each(template, allowed, kinds=KINDS, ranks=RANKS):
    return [(template.format(rank=rank, kind=kind), allowed) for kind in kinds for rank in ranks]


def stride_zero():
    yield from each("call({rank}, '{kind}', stride=0)", "V")
    yield from each("call({rank}, '{kind}', stride=(0,) * {rank})", "V")
    yield "call(2, stride=(1, 0))", "V"
    yield "call(3, stride=[1, 1, 0], padding='same')", "V"
    yield "call(2, stride=np.int64(0))", "V"
    yield "ds.gufunc('depthwise_conv2d', stride=0)", "V"
    yield "ds.conv_output_size(5, 3, stride=0)", "V"


def zero_divisors():
    yield from each("call({rank}, '{kind}', stride=0, dilation=0)", "V")
    yield from each("call({rank}, '{kind}', stride=0, dilation=0, padding='same')", "V")
    yield from each("call({rank}, w=ones(3, 0, *[3] * {rank}))", "V", ["depthwise"])
    yield from each(
        "call({rank}, 'separable', w=ones(3, 0, *[3] * {rank}), p=ones(4, 0))", "V", ["separable"]
    )
    yield "call(2, x=ones(0, 5, 5), w=ones(0, 0, 3, 3))", "V"
    yield "call(2, padding='same', w=ones(3, 1, 0, 0))", "V"
    yield "call(2, padding='same', padding_mode='circular', x=ones(3, 0, 0))", "V"


def bad_dilation():
    for value in ("-100", "-2**31", "-2**63", "-1", "0", "np.iinfo('i4').min"):
        yield from each(f"call({{rank}}, '{{kind}}', dilation={value})", "V", ranks=(2,))
        yield f"call(1, dilation={value}, padding='causal')", "V"


def bad_padding():
    for value in ("-1", "-1250999896764", "(-1, 2)", "((0, -1), (0, 0))", "-2**63", "np.int8(-1)"):
        yield from each(f"call({{rank}}, '{{kind}}', padding={value})", "V", ranks=(2,))


def giant_strides():
    yield "call(2, stride=(4800000000000000000, -6900000000000000000))", "V"
    yield "call(2, stride=-6900000000000000000)", "V"
    yield "call(2, stride=2**63)", "O"
    yield "call(2, stride=np.uint64(2**64 - 1))", "O"
    yield "call(1, stride=2**64)", "O"
    yield "call(3, stride=10**40)", "O"
    for rank in RANKS:
        x, w = f"numbers(2, 3, *[5] * {rank})", f"(numbers(3, 1, *[3] * {rank}),)"
        for stride in ("4800000000000000000", "2**63 - 1", "2**55", "2**31", "2**32 + 1"):
            yield f"right({rank}, {x}, {w}, stride={stride})", "VR"
            yield f"right({rank}, {x}, {w}, stride={stride}, padding=1)", "VR"
            yield f"right({rank}, {x}, {w}, stride={stride}, padding='same')", "VRM"


def giant_dilations():
    for rank in (2, 3):
        for dilation in (2**31 - 1, 2**31, 3046875451, 2**32 + 1, 2**61, 2**63 - 1):
            x, w = f"numbers(1, 2, *[5] * {rank})", f"(numbers(2, 1, *[3] * {rank}),)"
            yield f"right({rank}, {x}, {w}, dilation={dilation}, padding='same')", "VMRO"
            yield f"call({rank}, dilation={dilation})", "VO"
            yield f"call({rank}, dilation={dilation}, padding='full')", "VMO"
            for mode in ("circular", "reflect", "symmetric", "replicate"):
                keywords = f"dilation={dilation}, padding='same', padding_mode='{mode}'"
                yield f"(call({rank}, {keywords}) == 3**{rank}).all()", "VMRO"


def giant_paddings():
    for rank in RANKS:
        for padding in (2**63 - 5, 2**63 - 1, 2**62, 2**55, 2**40):
            yield f"call({rank}, padding={padding})", "VMO"
            yield f"call({rank}, 'separable', padding={padding})", "VMO"
        yield f"call({rank}, padding=2**55, stride=2**50).shape[2:] == (65,) * {rank}", "VMOR"
    yield "(call(1, padding=2**20, padding_mode='circular') == 3).all()", "R"
    yield "call(2, padding=2**20, padding_mode='circular')", "M"
    yield "call(2, padding=((2**63 - 1, 2**63 - 1), (0, 0)))", "VMO"
    yield (
        "call(1, padding=((2**63 - 1, 0),), stride=2**62, padding_mode='reflect').shape == (2, 3, 3)",
        "VMOR",
    )


def giant_kernels():
    for kernel in ("2**55", "2**60", "2**31", "2**32 + 1"):
        for x, empty in (("ones(0, 1, 5)", "R"), ("ones(2, 1, 5)", "")):
            arguments = f"x={x}, w=wide(1, 1, {kernel}), padding=1700000000000000000"
            yield f"call(1, {arguments}).size == 0", "VMOI" + empty
            yield f"call(1, x={x}, w=wide(1, 1, {kernel}), padding=0)", "VMO"
        yield f"(call(1, x=ones(1, 5), w=wide(1, 1, {kernel}), padding='same') == 5).all()", "VMOIR"
        yield f"call(1, x=ones(1, 5), w=wide(1, 1, {kernel}), padding='full')", "VMOI"
    yield "call(2, x=ones(1, 5, 5), w=wide(1, 1, 65536, 65536))", "VMO"
    yield "(call(2, x=ones(1, 5, 5), w=wide(1, 1, 65536, 65536), padding='same') == 25).all()", "VMOIR"
    yield "call(2, x=ones(1, 5, 5), w=wide(1, 1, 65536, 65536), padding='full')", "VMOI"
    yield "call(3, x=ones(1, 5, 5, 5), w=wide(1, 1, 2**21, 2**21, 2**18), padding='same').all()", "VMOIR"
    yield "call(2, x=ones(1, 5, 5), w=wide(1, 1, 2**31, 2**29), padding='same').all()", "VMOIR"


def giant_stride_and_kernel():
    for stride in ("2**55", "2**40", "2**63 - 1"):
        arguments = f"x=ones(1, 4), w=ones(1, 1, 256), padding=1000000, stride={stride}"
        yield f"np.array_equal(call(1, {arguments}), np.zeros((1, 1), 'f4'))", "VR"
        arguments = f"x=ones(1, 4, 4), w=ones(1, 1, 16, 16), padding=1000000, stride={stride}"
        yield f"np.array_equal(call(2, {arguments}), np.zeros((1, 1, 1), 'f4'))", "VR"


def giant_channels():
    yield "call(2, 'pointwise', x=wide(2**30, 1, 1), p=wide(2**28, 2**30))", "MI"
    yield "call(2, x=wide(2**30, 1, 1), w=wide(2**30, 2**28, 1, 1))", "M"
    yield "call(2, 'separable', x=wide(2**30, 1, 1), w=wide(2**30, 1, 1, 1), p=wide(2**28, 2**30))", "MI"
    yield "call(2, x=wide(2**31, 1, 1, dtype='?'), w=wide(2**31, 2**31, 1, 1, dtype='?'))", "M"
    yield "call(2, x=wide(2**62, 1, 1, dtype='?'), w=wide(2**62, 1, 1, 1, dtype='?'))", "M"
    yield "call(2, 'separable', x=wide(2**31, 1, 1), w=wide(2**31, 2**28, 1, 1), p=wide(1, 2**59))", "MI"
    yield "call(2, x=ones(2, 0, 5, 5), w=ones(0, 2**40, 1, 1)).shape == (2, 0, 5, 5)", "R"
    yield "call(2, x=wide(0, 2**40, 1, 1), w=wide(2**40, 2**20, 1, 1)).shape == (0, 2**60, 1, 1)", "RVM"
    yield "call(2, x=wide(0, 2**40, 1, 1, dtype='?'), w=wide(2**40, 2**22, 1, 1, dtype='?'))", "M"
    yield "call(1, 'pointwise', x=wide(4, 2), p=wide(2**58, 4))", "M"


def more_than_an_int():
    yield "(call(2, x=wide(1, 46341, 46341), w=ones(1, 1, 1, 1), stride=46341) == 1).all()", "RM"
    yield "(call(2, x=wide(1, 46341, 46341), w=ones(1, 1, 3, 3), stride=10000) == 9).all()", "RM"
    yield "(call(2, x=wide(1, 2, 2**32 + 9), w=ones(1, 1, 2, 3), stride=2**31) == 6).all()", "RM"
    yield "(call(3, x=wide(1, 2048, 2048, 2048), w=ones(1, 1, 3, 3, 3), stride=1000) == 27).all()", "RM"
    yield "(call(1, x=wide(1, 2**40), w=ones(1, 1, 3), stride=2**38) == 3).all()", "RM"
    yield "(call(1, x=wide(1, 2**61), w=ones(1, 1, 3), stride=2**59, dilation=2**58) == 3).all()", "RM"
    yield "call(2, x=wide(1, 46341, 46341), w=ones(1, 1, 1, 1))", "MI"
    yield "call(3, x=wide(1, 2048, 2048, 2048), w=ones(1, 1, 1, 1, 1))", "MI"
    yield "call(2, 'pointwise', x=wide(3, 46341, 46341))", "MI"
    arguments = "x=wide(16, 1167, 1167), w=ones(16, 1, 5, 5), dilation=2"
    yield f"call(2, {arguments})[:, ::97, ::89].min() == 25", "RI"


def empty_things():
    yield "call(2, x=ones(0, 3, 5, 5)).shape == (0, 3, 3, 3)", "R"
    yield "call(2, x=ones(2, 0, 3, 5, 5)).shape == (2, 0, 3, 3, 3)", "R"
    yield "call(2, x=ones(2, 0, 5, 5), w=ones(0, 1, 3, 3)).shape == (2, 0, 3, 3)", "R"
    yield "call(2, x=ones(2, 3, 0, 5))", "V"
    yield "call(2, x=ones(2, 3, 5, 0))", "V"
    yield "call(2, x=ones(2, 3, 0, 0))", "V"
    yield "call(2, w=ones(0, 1, 3, 3))", "V"
    yield "call(2, w=ones(3, 0, 3, 3))", "V"
    yield "call(2, w=ones(3, 1, 0, 3))", "V"
    yield "call(2, w=ones(3, 1, 3, 0))", "V"
    yield "call(2, 'pointwise', p=ones(0, 3))", "V"
    yield "call(2, 'pointwise', p=ones(4, 0))", "V"
    yield "call(2, 'pointwise', x=ones(0, 5, 5), p=ones(0, 0))", "V"
    yield "call(2, 'separable', p=ones(0, 3))", "V"
    yield "call(2, 'separable', x=ones(0, 3, 5, 5)).shape == (0, 4, 3, 3)", "R"
    for kind, shape in (("depthwise", "(2, 0, 3)"), ("separable", "(2, 4, 3)")):
        extra = ", p=ones(4, 0)" if kind == "separable" else ""
        yield f"call(1, '{kind}', x=ones(2, 0, 5), w=ones(0, 2, 3){extra}).shape == {shape}", "R"
    yield "(call(1, 'separable', x=ones(2, 0, 5), w=ones(0, 2, 3), p=ones(4, 0)) == 0).all()", "R"
    yield "(call(2, 'pointwise', x=ones(0, 5, 5), p=ones(4, 0), bias=-ones(4)) == -1).all()", "R"
    yield "call(2, 'pointwise', x=ones(2, 3, 0, 0)).shape == (2, 4, 0, 0)", "R"
    yield "call(2, x=ones(1, 0, 2, 1), w=ones(0, 1, 1, 1), padding=1).shape == (1, 0, 4, 3)", "R"
    yield "(call(2, x=ones(1, 2, 0, 1), w=ones(2, 1, 1, 1), bias=ones(2), padding=1) == 1).all()", "R"
    yield "(call(2, x=ones(1, 2, 0, 1), w=ones(2, 1, 1, 1), padding=1) == 0).all()", "R"
    for mode in ("circular", "reflect", "symmetric", "replicate"):
        yield f"call(2, x=ones(1, 2, 0, 1), w=ones(2, 1, 1, 1), padding=1, padding_mode='{mode}')", "V"
    yield "call(2, x=ones(0, 5, 5), w=ones(0, 1, 3, 3), data_format='channels_first').size == 0", "R"
    yield "call(2, x=ones(5, 5, 0), w=ones(0, 1, 3, 3), data_format='channels_last').shape == (3, 3, 0)", "R"
    yield "ds.conv_output_size(0, 0)", "V"


def disagreements():
    yield from each("call({rank}, '{kind}', w=ones(4, 1, *[3] * {rank}))", "V")
    yield from each("call({rank}, '{kind}', x=ones(2, 4, *[5] * {rank}))", "V")
    yield from each("call({rank}, '{kind}', p=ones(4, 4))", "V", ["pointwise", "separable"])
    yield from each("call({rank}, '{kind}', bias=ones(2))", "V", ["depthwise", "pointwise", "separable"])
    yield from each("call({rank}, '{kind}', x=ones(3))", "V")
    yield from each("call({rank}, '{kind}', x=np.float32(3))", "V")
    yield from each("call({rank}, '{kind}', w=ones(3))", "V")
    yield from each("call({rank}, '{kind}', w=ones())", "V")
    yield from each(
        "call({rank}, '{kind}', x=ones(2, 3, *[5] * {rank}), w=ones(5, 3, 1, *[3] * {rank}))", "V"
    )
    yield "call(2, bias=ones())", "V"
    yield "call(2, x=ones(2, 4, 3, 5, 5), w=ones(2, 3, 1, 3, 3))", "V"
    yield "call(2, bias=ones(7, 3))", "V"
    yield "call(2, w=ones(3, 1, 6, 3))", "V"
    yield "call(2, w=ones(3, 1, 3, 6), padding=0)", "V"
    yield "ds.gufunc('depthwise_conv2d')(ones(2, 3, 5, 5), ones(4, 1, 3, 3))", "v"
    yield "ds.gufunc('separable_conv2d')(ones(2, 3, 5, 5), ones(3, 1, 3, 3), ones(4, 5))", "v"
    yield "ds.gufunc('depthwise_conv2d')(ones(5, 5), ones(3, 1, 3, 3))", "v"
    yield "ds.gufunc('depthwise_conv2d', bias=True)(ones(3, 5, 5), ones(3, 1, 3, 3), ones(4))", "v"
    # a core-dimension hook that trusts the sizes would divide by, or index with, these
    yield "ds.gufunc('separable_conv2d')(ones(2, 0, 5, 5), ones(0, 1, 3, 3), ones(4, 5))", "v"
    yield "ds.gufunc('depthwise_conv1d')(ones(3, 5), ones(3, 1, 3), axes=[(0, 1), (0, 1, 2), (0,)])", "v"


def wrong_types():
    for argument in ("stride", "dilation", "padding"):
        for value in ("[]", "()", "(1,)", "(1, 1, 1)", "np.ones((2, 2, 2), int)"):
            yield f"call(2, {argument}={value})", "VT"
        for value in (
            "1.0",
            "(1, 1.5)",
            "None",
            "True",
            "(True, 1)",
            "[None, 1]",
            "b'1'",
            "np.float64(1)",
            "1j",
        ):
            yield f"call(2, {argument}={value})", "T"
        yield f"call(2, {argument}=('1', '1'))", "T"
    for argument in ("stride", "dilation"):
        yield f"call(2, {argument}='2')", "T"
        yield f"call(2, {argument}='same')", "T"
    yield "call(2, padding='2')", "V"
    yield "call(2, padding='SAME')", "V"
    yield "call(2, padding=[[[1, 1]], [[1, 1]]])", "VT"
    yield "call(2, padding_mode=1)", "T"
    yield "call(2, activation=len)", "T"
    yield "call(2, data_format='NCHW')", "V"
    yield "ds.depthwise_conv2d(None, ones(3, 1, 3, 3))", "T"
    yield "ds.depthwise_conv2d(ones(3, 5, 5), None)", "T"
    yield "call(2, x='abc')", "T"
    yield "call(2, x=[[1], [1, 2]])", "V"
    yield "call(2, w={'a': 1})", "T"
    yield "call(2, x=ones(3, 5, 5, dtype='O'))", "T"
    yield "call(2, x=ones(3, 5, 5, dtype='g'))", "T"


def kernel_beyond_input():
    for kind, extra in (("depthwise", ""), ("separable", ", numbers(4, 2)")):
        w = f"(numbers(2, 1, 125, 125){extra},)" if not extra else f"(numbers(2, 1, 125, 125){extra})"
        yield f"right(2, numbers(2, 1, 1), {w}, '{kind}', padding=63, stride=2)", "R"
        yield f"right(2, numbers(2, 1, 1), {w}, '{kind}', padding='same')", "R"
        yield f"right(2, numbers(2, 3, 2), {w}, '{kind}', padding='causal', dilation=3)", "R"
    for mode in ("circular", "reflect", "symmetric", "replicate"):
        keywords = f"padding=63, padding_mode='{mode}'"
        yield f"right(2, numbers(2, 1, 2), (numbers(2, 1, 125, 125),), {keywords})", "RV"
        yield f"right(1, numbers(2, 2), (numbers(2, 1, 41),), padding=57, padding_mode='{mode}')", "RV"
    yield "call(2, x=ones(1, 300, 300), w=wide(1, 1, 1, 700000))", "V"
    yield "(call(2, x=ones(1, 300, 300), w=wide(1, 1, 1, 700000), padding='same') == 300).all()", "RMI"
    yield "(call(1, x=ones(1, 7), w=ones(1, 1, 100001), padding='same') == 7).all()", "R"


def forms_of_memory():
    base = "numbers(3, 12, 12)"
    weight = "(numbers(3, 2, 3, 3),)"
    for view in ("[:, ::-1, ::-2]", "[::-1]", "[:, 1:, 1:]", "[:, ::3, ::2]", ".T", ".swapaxes(1, 2)"):
        yield (
            f"right(2, {base}{view}, {weight}, padding=1)"
            if view != ".T"
            else (f"right(2, {base}{view}, {weight}, padding=1, data_format='channels_last')"),
            "R",
        )
    yield "right(2, wide(3, 9, 9), (wide(3, 2, 3, 3),), padding=1)", "R"
    yield f"right(2, {base}.astype('>f4'), {weight}).__class__ is bool", "R"
    yield f"right(2, np.lib.stride_tricks.sliding_window_view({base}, 5, axis=2)[0], {weight})", "V"
    yield (
        f"right(2, np.lib.stride_tricks.sliding_window_view(numbers(3, 40), 9, axis=1), {weight})",
        "R",
    )
    buffer = "np.frombuffer(bytes(4 * 243 + 1), 'f4', 243, 1).reshape(3, 9, 9)"
    yield f"right(2, {buffer}, {weight})", "R"
    yield "right(2, numbers(9, 9, 1), (numbers(1, 2, 3, 3),), data_format='channels_last')", "R"
    yield "right(2, numbers(2, 9, 1, 1), (numbers(1, 2, 3, 1),), data_format='channels_last')", "R"


def wrong_out():
    yield "call(2, out=ones(2, 3, 3, 4))", "V"
    yield "call(2, out=ones(3))", "V"
    yield "call(2, out=wide(2, 3, 3, 3))", "V"
    yield "call(2, out=ones(2, 3, 3, 3, dtype='i8'))", "T"
    yield "call(2, out=ones(2, 3, 3, 3, dtype='O')).dtype == object", "TR"
    yield "call(2, out=[1])", "T"
    yield (
        "call(2, out=np.lib.stride_tricks.as_strided(ones(5), (2, 3, 3, 3), (0, 0, 0, 4))) is not None",
        "VR",
    )
    yield (
        (
            "(lambda x: np.array_equal(ds.depthwise_conv2d(x.copy(), ones(3, 1, 3, 3), padding=1), "
            "ds.depthwise_conv2d(x, ones(3, 1, 3, 3), padding=1, out=x)))(numbers(2, 3, 64, 64))"
        ),
        "R",
    )
    yield (
        (
            "(lambda b: np.array_equal(ds.depthwise_conv1d(b[None, :900].copy(), ones(1, 1, 1)), "
            "ds.depthwise_conv1d(b[None, :900], ones(1, 1, 1), out=b[None, 5:905])))(numbers(1000))"
        ),
        "R",
    )
    yield (
        (
            "(lambda w: np.array_equal(ds.pointwise_conv1d(ones(8, 8), w.copy()), "
            "ds.pointwise_conv1d(ones(8, 8), w, out=w)))(numbers(8, 8))"
        ),
        "R",
    )


def astronomical_axes():
    yield "call(1, x=wide(1, 2**60), w=ones(1, 1, 3))", "MVI"
    yield "(call(1, x=wide(1, 2**40), w=ones(1, 1, 3), stride=2**20) == 3).all()", "MVIR"
    yield "call(1, x=wide(2**59, 1, 3), w=ones(1, 1, 3))", "MVI"
    yield "call(1, x=wide(2**59, 1, 3), w=ones(1, 1, 3), out=ones(1))", "V"
    yield "call(1, x=wide(2**40, 1), w=wide(2**40, 1, 1), bias=wide(2**40))", "M"
    yield "call(1, 'separable', x=wide(2**40, 1), w=wide(2**40, 1, 1), p=wide(1, 2**40))", "MVI"
    yield "call(1, 'pointwise', x=wide(2**40, 1), p=wide(1, 2**40))", "MVI"
    yield "call(1, 'pointwise', x=wide(2**36, 2), p=wide(1, 2**36), data_format='channels_first')", "MVI"
    yield "call(1, 'pointwise', x=wide(2, 2**36), p=wide(1, 2**36), data_format='channels_last')", "MVI"
    yield (
        "call(1, 'pointwise', x=wide(2, 2**36, dtype='i1'), p=wide(1, 2**36), data_format='channels_last')",
        "MVI",
    )
    yield "call(1, x=wide(1, 2**40), w=wide(1, 1, 2**40))", "MVI"
    yield "call(1, x=wide(1, 2**40), w=wide(1, 1, 2**39), stride=2**39)", "MVI"
    yield "call(1, x=wide(1, 2**40, dtype='f8'), w=ones(1, 1, 3))", "M"
    yield "call(2, x=wide(1, 2**30, 2**30), w=ones(1, 1, 3, 3), stride=2**29).shape == (1, 2, 2)", "RMVI"
    yield (
        "call(3, x=wide(1, 2**20, 2**20, 2**20), w=ones(1, 1, 1, 1, 1), stride=2**19).shape == (1, 2, 2, 2)",
        "RMVI",
    )
    yield "call(2, x=wide(1, 5, 5), w=wide(2**40, 1, 1, 3, 3))", "M"


# ---- transposed convolutions and gradients -----------------------------------------------------
def zeros_of_transposed():
    yield from each("call({rank}, '{kind}', stride=0)", "V", TRANSPOSED)
    yield from each("call({rank}, '{kind}', stride=0, dilation=0, padding='same')", "V", TRANSPOSED)
    yield from each("call({rank}, '{kind}', w=ones(3, 0, *[3] * {rank}), p=ones(4, 0))", "V", TRANSPOSED)
    yield from each("call({rank}, '{kind}', w=ones(3, 1, *[0] * {rank}))", "V", TRANSPOSED)
    for name in ("depthwise_conv2d", "depthwise_conv_transpose2d"):
        yield f"ds.{name}_input_grad(ones(3, 3, 3), ones(3, 1, 3, 3), 5, stride=0)", "V"
        yield f"ds.{name}_weight_grad(ones(3, 5, 5), ones(3, 3, 3), 3, stride=(1, 0))", "V"
        yield f"ds.{name}_input_grad(ones(3, 3, 3), ones(3, 1, 3, 3), 5, dilation=-100)", "V"
        yield f"ds.{name}_weight_grad(ones(3, 5, 5), ones(3, 3, 3), 3, padding=-1)", "V"
        yield f"ds.{name}_weight_grad(ones(3, 5, 5), ones(3, 3, 3), 0)", "V"
        yield f"ds.{name}_input_grad(ones(3, 3, 3), ones(3, 1, 3, 3), -5)", "V"
        yield f"ds.{name}_input_grad(ones(0, 3, 3), ones(3, 0, 3, 3), 5)", "V"
    yield "ds.conv_transpose_output_size(5, 3, stride=0)", "V"
    yield "ds.gufunc('depthwise_conv_transpose2d', stride=0)", "V"


def output_padding():
    for rank in RANKS:
        x, w = f"numbers(2, 3, *[4] * {rank})", f"numbers(3, 2, *[3] * {rank})"
        name, g = f"depthwise_conv_transpose{rank}d", f"numbers(2, 6, *[9] * {rank})"
        yield f"same('{name}', {x}, {w}, output_padding=1, dilation=2)", "R"
        yield f"same('{name}_input_grad', {g}, {w}, 4, dilation=2)", "R"
        yield f"same('{name}_weight_grad', {x}, {g}, 3, dilation=2)", "R"
        for extra in (2, 3, 2**31, 2**62):
            yield f"call({rank}, 'depthwise transpose', output_padding={extra}, dilation=2)", "V"
            yield f"call({rank}, 'separable transpose', output_padding={extra}, stride=2)", "V"
        for extra in ("-1", "-1250999896764", "-2**63", "(-1,) * {rank}"):
            yield from each(
                f"call({{rank}}, '{{kind}}', output_padding={extra}, stride=2)", "V", TRANSPOSED, [rank]
            )
        yield f"call({rank}, 'depthwise transpose', output_padding=2**63)", "O"


def giant_transposed():
    for value in (2**55, 2**62, 2**63 - 1, 4800000000000000000):
        yield from each(f"call({{rank}}, '{{kind}}', stride={value})", "VMO", TRANSPOSED)
        yield from each(f"call({{rank}}, '{{kind}}', dilation={value})", "VMO", TRANSPOSED)
        yield from each(f"call({{rank}}, '{{kind}}', padding={value})", "VMO", TRANSPOSED)
        yield from each(f"call({{rank}}, '{{kind}}', padding='same', stride={value})", "VMO", TRANSPOSED)
        yield from each(f"call({{rank}}, '{{kind}}', output_size={value})", "VMO", TRANSPOSED)
        yield f"call(2, 'depthwise transpose', stride={value}, output_padding={value - 1})", "VMO"
        for rank in RANKS:
            y, w = f"ones(3, *[3] * {rank})", f"ones(3, 1, *[3] * {rank})"
            for name in (f"depthwise_conv{rank}d", f"depthwise_conv_transpose{rank}d"):
                yield f"ds.{name}_input_grad({y}, {w}, {value})", "VMO"
                yield f"ds.{name}_weight_grad(ones(3, *[5] * {rank}), {y}, {value})", "VMO"
                yield f"ds.{name}_weight_grad(ones(3, *[5] * {rank}), {y}, {value}, dilation={value})", "VMO"
                yield f"ds.{name}_input_grad({y}, {w}, 5, dilation={value})", "VMO"
                yield f"ds.{name}_input_grad({y}, {w}, 5, padding={value})", "VMO"
    for stride in ("2**31", "2**40", "2**55"):
        x = "ones(1, 1)"
        yield f"(call(1, 'depthwise transpose', x={x}, w=ones(1, 1, 3), stride={stride}) == 1).all()", "VMR"
        yield (
            f"ds.depthwise_conv1d_input_grad({x}, ones(1, 1, 3), 3, stride={stride}).tolist() == [[1, 1, 1]]",
            "VR",
        )
        yield (
            f"ds.depthwise_conv1d_weight_grad(ones(1, 3), {x}, 3, stride={stride}).tolist() == [[[1, 1, 1]]]",
            "VR",
        )
        gradient = f"ds.depthwise_conv_transpose1d_input_grad(ones(1, 3), ones(1, 1, 3), 1, stride={stride})"
        yield f"({gradient} == 3).all()", "VR"
    yield "ds.depthwise_conv1d_input_grad(ones(1, 1), ones(1, 1, 3), 2**40)", "VM"
    yield "ds.depthwise_conv1d_input_grad(ones(1, 1), ones(1, 1, 3), 2**50, stride=2**51)", "M"
    yield "ds.depthwise_conv1d_weight_grad(ones(1, 1), ones(1, 1), 2**40, padding=2**39)", "VM"
    yield "ds.depthwise_conv1d_weight_grad(ones(1, 1), ones(1, 2), 2**40, padding=2**39)", "VMI"
    yield "call(2, 'depthwise transpose', x=wide(1, 2**31, 2**31), w=ones(1, 1, 1, 1))", "M"
    yield "call(1, 'depthwise transpose', x=wide(1, 2**40), w=wide(1, 1, 2**40))", "M"
    yield "call(1, 'separable transpose', x=wide(2**40, 1), w=wide(2**40, 1, 1), p=wide(1, 2**40))", "MVI"
    yield "ds.depthwise_conv1d_weight_grad(wide(1, 2**40), wide(1, 2**40), 1)", "MI"
    yield "ds.depthwise_conv1d_weight_grad(wide(2**40, 1, 3), wide(2**40, 1, 1), 3)", "MI"
    yield "ds.depthwise_conv1d_weight_grad(wide(2**40, 1), wide(2**40, 1), 1)", "M"
    yield "ds.pointwise_conv1d_weight_grad(wide(1, 2**40), wide(1, 2**40))", "MI"
    yield "ds.pointwise_conv1d_weight_grad(wide(2**40, 1, 1), wide(2**40, 1, 1))", "MI"
    yield "ds.pointwise_conv2d_weight_grad(wide(2**20, 2**20, 1, 1, 1), wide(2**20, 2**20, 1, 1, 1))", "MI"
    yield "ds.depthwise_conv3d_weight_grad(wide(1, 2**40, 1, 1), wide(1, 2**40, 1, 1), 1)", "MI"
    yield "ds.depthwise_conv_transpose1d_weight_grad(wide(2**40, 2, 1), wide(2**40, 2, 2), 2)", "MI"
    yield "ds.pointwise_conv1d_weight_grad(wide(2**40, 1), wide(2**20, 1))", "M"
    yield "ds.pointwise_conv1d_input_grad(wide(2**40, 1), wide(2**40, 1))", "MI"
    yield "ds.pointwise_conv1d_input_grad(wide(1, 2**40), wide(1, 1))", "MI"
    yield "ds.depthwise_conv1d_weight_grad(wide(2**31, 1, dtype='?'), wide(2**62, 1, dtype='?'), 1)", "MV"


def empty_gradients():
    for rank in RANKS:
        x, w = f"ones(2, 3, *[5] * {rank})", f"ones(3, 2, *[3] * {rank})"
        for name, size in ((f"depthwise_conv{rank}d", 3), (f"depthwise_conv_transpose{rank}d", 7)):
            none = f"ones(2, 0, *[{size}] * {rank})"
            for batch in ("0", "0, 2", "2, 0"):
                g, empty = f"ones({batch}, 6, *[{size}] * {rank})", f"ones({batch}, 3, *[5] * {rank})"
                yield f"same('{name}_input_grad', {g}, {w}, 5)", "R"
                yield f"ds.{name}_input_grad({g}, {w}, 5).size == 0", "R"
                yield f"same('{name}_weight_grad', {empty}, {g}, 3)", "R"
                yield f"not ds.{name}_weight_grad({empty}, {g}, 3).any()", "R"
                yield f"not vjp('{name}', {empty}, {w}, ones(6))[1].any()", "R"
                yield f"not vjp('{name}', {empty}, {w}, ones(6))[2].any()", "R"
            for zero in (f"ones(2, 6, 0, *[{size}] * {rank - 1})", f"ones(2, 0, *[{size}] * {rank})"):
                yield f"ds.{name}_input_grad({zero}, {w}, 5)", "V"
                yield f"ds.{name}_weight_grad({x}, {zero}, 3)", "V"
            yield (
                f"ds.{name}_weight_grad(ones(2, 0, *[5] * {rank}), {none}, 3).size == 0",
                "R",
            )
            yield f"ds.{name}_weight_grad(ones(2, 3, *[0] * {rank}), ones(2, 6, *[{size}] * {rank}), 3)", "V"
            yield (
                f"ds.{name}_input_grad({none}, ones(0, 2, *[3] * {rank}), 5).size == 0",
                "R",
            )
        yield f"not ds.pointwise_conv{rank}d_weight_grad(ones(0, *{x}.shape), ones(0, *{x}.shape)).any()", "R"
        yield (
            f"not ds.pointwise_conv{rank}d_weight_grad(ones(3, *[0] * {rank}), ones(4, *[0] * {rank})).any()",
            "R",
        )
        yield f"ds.pointwise_conv{rank}d_input_grad(ones(0, *[2] * {rank}), ones(0, 3))", "V"
        yield f"ds.pointwise_conv{rank}d_input_grad(ones(4, *[2] * {rank}), ones(4, 0)).size == 0", "R"
    yield "not ds.depthwise_conv2d_input_grad(ones(1, 2, 2, 2), ones(2, 1, 1, 1), 0, padding=1).any()", "R"
    yield "same('depthwise_conv2d_weight_grad', ones(1, 2, 0, 2), ones(1, 2, 2, 4), 1, padding=1)", "R"
    for mode in ("circular", "reflect", "symmetric", "replicate"):
        keywords = f"padding=1, padding_mode='{mode}'"
        yield f"ds.depthwise_conv2d_input_grad(ones(2, 2, 2), ones(2, 1, 1, 1), 0, {keywords})", "V"
        yield f"ds.depthwise_conv2d_weight_grad(ones(2, 0, 0), ones(2, 2, 2), 1, {keywords})", "V"


def empty_transposed():
    yield "call(2, 'depthwise transpose', x=ones(0, 3, 5, 5)).shape == (0, 3, 7, 7)", "R"
    yield "call(2, 'separable transpose', x=ones(2, 0, 3, 5, 5)).shape == (2, 0, 4, 7, 7)", "R"
    yield "call(2, 'depthwise transpose', x=ones(2, 0, 5, 5), w=ones(0, 2, 3, 3)).shape == (2, 0, 7, 7)", "R"
    yield (
        "(call(1, 'separable transpose', x=ones(2, 0, 5), w=ones(0, 2, 3), p=ones(4, 0)) == 0).all()",
        "R",
    )
    yield "call(2, 'depthwise transpose', w=ones(0, 1, 3, 3))", "V"
    yield "call(2, 'depthwise transpose', x=ones(0, 5, 5), w=ones(0, 0, 3, 3))", "V"
    yield "call(2, 'separable transpose', p=ones(0, 3))", "V"
    yield "(call(1, 'depthwise transpose', x=ones(3, 0), bias=ones(3)) == 1).all()", "R"
    yield "same('depthwise_conv_transpose2d', ones(3, 0, 4), ones(3, 1, 3, 3), ones(3))", "R"
    yield "call(2, 'depthwise transpose', x=ones(3, 0, 4), stride=3)", "V"
    yield "call(2, 'depthwise transpose', x=ones(3, 0, 4), padding='same')", "V"
    # from fewer output channels than input channels
    for rank in RANKS:
        x, w = f"numbers(2, 7, *[4] * {rank})", f"numbers(7, 1, *[3] * {rank})"
        arguments = f"{x}, {w}, numbers(2, 7), None, numbers(2)"
        for keywords in ("stride=2", "padding=1", "stride=2, padding='same', data_format='channels_first'"):
            yield f"same('separable_conv_transpose{rank}d', {arguments}, {keywords})", "R"


def transposed_sizes():
    for rank in RANKS:
        x = f"x=ones(2, 3, *[2] * {rank})"
        yield f"call({rank}, 'depthwise transpose', {x}, padding=2)", "V"
        yield f"call({rank}, 'separable transpose', {x}, padding=2)", "V"
        yield f"call({rank}, 'depthwise transpose', {x}, padding=2**40)", "V"
        yield f"call({rank}, 'depthwise transpose', {x}, padding=((4, 0),) * {rank})", "V"
        yield (
            f"call({rank}, 'depthwise transpose', {x}, padding=2, dilation=3, output_padding=2).size > 0",
            "R",
        )
        yield (
            f"call({rank}, 'depthwise transpose', {x}, padding=2, stride=2, output_padding=1).shape[-1] == 2",
            "R",
        )
        for size in ("3", "5", "(5,) * {rank}", "2**31", "2**62", "-1", "0", "-2**63"):
            yield f"call({rank}, 'depthwise transpose', {x}, output_size={size.format(rank=rank)})", "V"
        for size in ("4", "7", "100"):
            yield f"call({rank}, 'separable transpose', {x}, stride=2, output_size={size})", "V"
            yield (
                f"call({rank}, 'separable transpose', {x}, stride=2, padding='same', output_size={size}0)",
                "V",
            )
            name = f"gufunc('depthwise_conv_transpose{rank}d', stride=2, output_size={size})"
            yield f"ds.{name}(ones(3, *[2] * {rank}), ones(3, 1, *[3] * {rank}))", "v"
        yield f"call({rank}, 'depthwise transpose', {x}, output_size=2**63)", "O"
        yield f"call({rank}, 'depthwise transpose', {x}, stride=2, output_size=5, output_padding=1)", "V"


def gradients_that_disagree():
    for rank in RANKS:
        x, w = f"ones(2, 3, *[5] * {rank})", f"ones(3, 2, *[3] * {rank})"
        for name, size in ((f"depthwise_conv{rank}d", 3), (f"depthwise_conv_transpose{rank}d", 7)):
            g = f"ones(2, 6, *[{size}] * {rank})"
            for wrong in (
                f"ones(2, 6, *[{size + 1}] * {rank})",
                f"ones(2, 6, *[{size - 1}] * {rank})",
                f"ones(2, 6, *[1] * {rank})",
                f"ones(2, 7, *[{size}] * {rank})",
                f"ones(2, 1, *[{size}] * {rank})",
                f"ones(*[{size}] * {rank})",
                "ones(6)",
                "ones()",
            ):
                yield f"ds.{name}_input_grad({wrong}, {w}, 5)", "V"
                yield f"ds.{name}_weight_grad({x}, {wrong}, 3)", "V"
            for batch in ("", "1, ", "3, ", "2, 2, ", "2, 1, "):
                yield f"ds.{name}_weight_grad({x}, ones({batch}6, *[{size}] * {rank}), 3)", "V"
            for wrong in (
                f"ones(2, 2, *[3] * {rank})",
                f"ones(3, *[3] * {rank})",
                f"ones(4, 3, 2, *[3] * {rank})",
            ):
                yield f"ds.{name}_input_grad({g}, {wrong}, 5)", "V"
            for size in ("4", "(5,) * {0} + (5,)", "()", "6"):
                yield f"ds.{name}_input_grad({g}, {w}, {size.format(rank)})", "V"
                yield f"ds.{name}_weight_grad({x}, {g}, {size.format(rank)})", "V"
        for wrong in (
            f"ones(2, 4, *[6] * {rank})",
            f"ones(3, 4, *[5] * {rank})",
            "ones(4)",
            f"ones(4, *[5] * {rank})",
        ):
            yield f"ds.pointwise_conv{rank}d_weight_grad({x}, {wrong})", "V"
        for wrong in ("ones(2, 4)", "ones(4)", "ones(1, 3, 4)", f"ones(2, 4, *[1] * {rank})", "ones()"):
            yield f"ds.pointwise_conv{rank}d_input_grad({x}, {wrong})", "V"
        yield f"vjp('depthwise_conv{rank}d', {x}, ones(2, 3, 2, *[3] * {rank}))", "V"
        yield f"vjp('depthwise_conv{rank}d', {x}, {w}, ones(2, 6))", "V"
        yield f"ds.depthwise_conv{rank}d_vjp({x}, {w})[1](ones(2, 6))", "V"
        yield f"ds.depthwise_conv{rank}d_vjp({x}, {w})[1](ones(*[1] * {rank + 2}))", "V"
    yield from each("call({rank}, '{kind}', w=ones(4, 1, *[3] * {rank}))", "V", TRANSPOSED)
    yield from each("call({rank}, '{kind}', w=ones(6, 1, *[3] * {rank}), p=ones(4, 6))", "V", TRANSPOSED)
    yield from each("call({rank}, '{kind}', bias=ones(2))", "V", TRANSPOSED)
    yield from each("call({rank}, '{kind}', x=ones(3))", "V", TRANSPOSED)
    yield from each("call({rank}, '{kind}', w=ones(3))", "V", TRANSPOSED)
    yield from each("call({rank}, '{kind}', w=ones(5, 3, 1, *[3] * {rank}))", "V", TRANSPOSED)
    # core-dimension hooks that trust the sizes would divide by, or index with, these
    grad = "ds.gufunc('depthwise_conv2d_weight_grad', kernel_size=3, batch_axes={0})"
    yield grad.format(0) + "(ones(0, 5, 5), ones(4, 3, 3))", "v"
    yield grad.format(2) + "(ones(2, 3, 5, 5), ones(2, 3, 3, 3))", "v"
    yield grad.format(1) + "(ones(2, 3, 5, 5), ones(2, 4, 3, 3))", "v"
    yield grad.format(1) + "(ones(2, 3, 5, 5), ones(2, 3, 3, 3), out=ones(3, 2, 3, 3))", "v"
    yield "ds.gufunc('depthwise_conv2d_input_grad', input_size=5)(ones(4, 3, 3), ones(3, 1, 3, 3))", "v"
    yield (
        "ds.gufunc('depthwise_conv1d_input_grad', input_size=5)(ones(3, 3), ones(3, 1, 3), out=ones(3, 6))",
        "v",
    )
    yield "ds.gufunc('pointwise_conv2d_weight_grad', batch_axes=25)", "V"


def wrong_types_of_gradients():
    for value in ("1.0", "'1'", "True", "b'1'", "1j", "(1.0, 1)", "[None, 1]"):
        yield f"call(2, 'depthwise transpose', stride=2, output_padding={value})", "T"
        yield f"call(2, 'depthwise transpose', stride=2, output_size={value})", "T"
        yield f"ds.depthwise_conv2d_input_grad(ones(3, 3, 3), ones(3, 1, 3, 3), {value})", "T"
        yield f"ds.depthwise_conv2d_weight_grad(ones(3, 5, 5), ones(3, 3, 3), {value})", "T"
    for value in ("[]", "()", "(1,)", "(1, 1, 1)"):
        yield f"call(2, 'depthwise transpose', stride=2, output_padding={value})", "V"
        yield f"call(2, 'separable transpose', stride=2, output_size={value})", "V"
        yield f"ds.depthwise_conv_transpose2d_input_grad(ones(3, 7, 7), ones(3, 1, 3, 3), {value})", "V"
        yield f"ds.depthwise_conv_transpose2d_weight_grad(ones(3, 5, 5), ones(3, 7, 7), {value})", "V"
    for padding in ("'causal'", "'full'", "'same_lower'", "'SAME'", "''", "(1, 2, 3)", "((1, 2), (3, -4))"):
        yield f"call(2, 'depthwise transpose', padding={padding})", "V"
        yield (
            f"ds.depthwise_conv_transpose2d_weight_grad(ones(3, 5, 5), ones(3, 7, 7), 3, padding={padding})",
            "V",
        )
    yield "call(2, 'depthwise transpose', padding_mode='zeros')", "T"
    for array in ("None", "'abc'", "ones(3, 3, 3, dtype='O')", "ones(3, 3, 3, dtype='g')", "{'a': 1}"):
        yield f"ds.depthwise_conv2d_input_grad({array}, ones(3, 1, 3, 3), 5)", "T"
        yield f"ds.depthwise_conv2d_weight_grad(ones(3, 5, 5), {array}, 3)", "T"
        yield f"ds.pointwise_conv2d_weight_grad({array}, ones(3, 3, 3))", "T"
        yield f"vjp('depthwise_conv2d', {array}, ones(3, 1, 3, 3))", "T"
    for array in ("None", "'abc'", "ones(3, 3, 3, dtype='O')", "ones(3, 3, 3, dtype='F')", "ones(3, 3)"):
        yield f"ds.depthwise_conv2d_vjp(ones(3, 5, 5), ones(3, 1, 3, 3))[1]({array})", "TV"
    yield "ds.depthwise_conv2d_input_grad([[1], [1, 2]], ones(3, 1, 3, 3), 5)", "V"
    yield "call(2, x=ones(3, 5, 5, dtype='F'), activation='relu')", "T"
    yield "call(2, 'separable transpose', x=ones(3, 5, 5, dtype='D'), depthwise_activation='gelu')", "T"


def gradients_of_kernels_beyond_the_input():
    for name in ("depthwise_conv2d", "depthwise_conv_transpose2d"):
        size = 1 if name.endswith("v2d") else 125
        keywords = "padding=62, stride=2" if size == 1 else "stride=2"
        x, w, g = "numbers(2, 1, 1)", "numbers(2, 1, 125, 125)", f"numbers(2, {size}, {size})"
        yield f"same('{name}', {x}, {w}, {keywords})", "R"
        yield f"same('{name}_input_grad', {g}, {w}, 1, {keywords})", "R"
        yield f"same('{name}_weight_grad', {x}, {g}, 125, {keywords})", "R"
    for mode in ("circular", "reflect", "symmetric", "replicate"):
        keywords = f"padding=57, padding_mode='{mode}'"
        yield f"same('depthwise_conv1d_input_grad', numbers(2, 76), numbers(2, 1, 41), 2, {keywords})", "R"
        yield f"same('depthwise_conv1d_weight_grad', numbers(2, 2), numbers(2, 76), 41, {keywords})", "R"
    yield "same('depthwise_conv_transpose2d', numbers(1, 2, 2), numbers(1, 1, 60, 3), padding=(29, 0))", "R"
    yield (
        "(call(1, 'depthwise transpose', x=ones(1, 1), w=ones(1, 1, 100001), padding=50000) == 1).all()",
        "R",
    )
    yield "call(2, 'depthwise transpose', x=ones(1, 3, 3), w=wide(1, 1, 2**31, 2**29), padding=2**28)", "VMI"
    yield (
        "(ds.depthwise_conv1d_input_grad(ones(1, 7), ones(1, 1, 100001), 7, padding='same') == 7).all()",
        "R",
    )


ROWS = {
    "1": stride_zero,
    "2": zero_divisors,
    "3": bad_dilation,
    "4": bad_padding,
    "6": giant_strides,
    "7": giant_dilations,
    "8": giant_paddings,
    "9, 11": giant_kernels,
    "10": giant_stride_and_kernel,
    "12": giant_channels,
    "13": more_than_an_int,
    "14, 15, 17": empty_things,
    "19, 20": disagreements,
    "21": wrong_types,
    "24": kernel_beyond_input,
    "26": forms_of_memory,
    "27": wrong_out,
    "28": astronomical_axes,
    "1-4, transposed and gradients": zeros_of_transposed,
    "5": output_padding,
    "6-13, 28, transposed and gradients": giant_transposed,
    "16": empty_gradients,
    "17, 23": empty_transposed,
    "18, 22": transposed_sizes,
    "19, 20, gradients": gradients_that_disagree,
    "21, gradients": wrong_types_of_gradients,
    "24, gradients": gradients_of_kernels_beyond_the_input,
}


# ---- running -----------------------------------------------------------------------------------
def run_batch(cases, directory):
    """[(outcome, text)] for [(number, expression)], in as many processes as it takes."""
    outcomes = {}
    while len(outcomes) < len(cases):
        rest = [case for case in cases if case[0] not in outcomes]
        path = directory / "cases.json"
        path.write_text(json.dumps(rest), encoding="utf-8")
        output, status = run_child(path)
        current = None
        for line in output.splitlines():
            number, outcome, text = json.loads(line)
            if outcome == "start":
                current = number
            else:
                outcomes[number] = outcome, text
                current = None
        if current is not None:
            outcomes[current] = status
        elif status is not None and len(outcomes) < len(cases):
            raise AssertionError(f"the process failed between two cases: {status}")
    return [outcomes[number] for number, _ in cases]


def run_child(path):
    """What the process printed, and how it ended where that was not well."""
    command = [sys.executable, "-c", CHILD, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode == 0:
        return done.stdout, None
    if done.returncode < 0:
        return done.stdout, (signal.Signals(-done.returncode).name, done.stderr[-500:])
    ending = "hang" if "Timeout (" in done.stderr else f"exit {done.returncode}"
    return done.stdout, (ending, done.stderr[-500:])


def acceptable(outcome, text, allowed):
    if outcome == "ValueError":
        named, big = re.search(NAMES, text), re.search(TOO_BIG, text)
        return "v" in allowed or ("V" in allowed and named) or ("M" in allowed and (big or named))
    letters = {"right": "R", "interrupted": "I", "TypeError": "T"}
    if outcome in letters:
        return letters[outcome] in allowed
    if outcome == "OverflowError":
        return ("O" in allowed or "M" in allowed) and re.search(NAMES, text)
    return outcome == "MemoryError" and "M" in allowed


@pytest.mark.parametrize("row", ROWS)
def test_hostile(row, tmp_path):
    table = list(ROWS[row]())
    outcomes = run_batch([(number, expression) for number, (expression, _) in enumerate(table)], tmp_path)
    failures = [
        f"{expression}\n    allowed {allowed}, got {outcome}: {text}"
        for (expression, allowed), (outcome, text) in zip(table, outcomes, strict=True)
        if not acceptable(outcome, text, allowed)
    ]
    assert not failures, f"{len(failures)} of {len(table)}\n" + "\n".join(failures)


def test_the_table_is_long():
    cases = [case for row in ROWS.values() for case in row()]
    assert len(cases) >= 400
    assert len({expression for expression, _ in cases}) == len(cases)


def test_the_runner_attributes_what_goes_wrong(tmp_path):
    expressions = [
        "True",
        "__import__('os').kill(__import__('os').getpid(), 11)",
        "False",
        "__import__('os')._exit(3)",
        "__import__('time').sleep(60)",
        "1 / 0",
        "True",
    ]
    outcomes = [outcome for outcome, _ in run_batch(list(enumerate(expressions)), tmp_path)]
    assert outcomes == ["right", "SIGSEGV", "wrong", "exit 3", "interrupted", "ZeroDivisionError", "right"]


# ---- row 25: guard pages -----------------------------------------------------------------------
GUARD = r"""
import ctypes, itertools, mmap, sys

import numpy as np
import dsconv as ds
from dsconv import reference

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
kept = []


def guarded(array, at_end):
    "A copy of `array` that ends, or begins, at a page that may not be touched."
    pages = -(-array.nbytes // PAGE) or 1
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        assert libc.mprotect(ctypes.c_void_p(address + page * PAGE), ctypes.c_size_t(PAGE), 0) == 0
    offset = PAGE + (pages * PAGE - array.nbytes if at_end else 0)
    copy = np.ndarray(array.shape, array.dtype, memory, offset)
    copy[...] = array
    kept.append(memory)
    return copy


def numbers(rng, *shape, dtype):
    return rng.integers(-3, 4, shape).astype(dtype)


rng = np.random.default_rng(5)
count = 0
for width, stride, kernel in itertools.product([*range(1, 20), 31, 32, 33, 63, 64, 65], (1, 2, 3), (1, 3, 5)):
    for data_format, dtype in (("channels_first", "f4"), ("channels_last", "f8"), ("channels_last", "f4")):
        at_end = bool(count % 2)
        channels, height = 1 + count % 9, 1 + count % 4
        dilation, mode = 1 + count % 2, ("zeros", "replicate", "circular")[count % 3]
        image = (channels, height, width) if data_format == "channels_first" else (height, width, channels)
        inputs = [
            guarded(numbers(rng, *each, dtype=dtype), at_end)
            for each in ((2, *image), (channels, 1, 1, kernel), (1 + count % 7, channels))
        ]
        keywords = {"stride": stride, "padding": "same", "dilation": dilation}
        keywords.update(padding_mode=mode, data_format=data_format)
        forward = reference.depthwise_conv2d(*inputs[:2], **keywords)
        gradient = guarded(numbers(rng, *forward.shape, dtype=dtype), at_end)
        crop = {key: value for key, value in keywords.items() if key != "padding_mode"}
        for name, arguments, geometry in (
            ("depthwise_conv2d", inputs[:2], keywords),
            ("separable_conv2d", inputs, keywords),
            ("depthwise_conv2d_input_grad", [gradient, inputs[1], (height, width)], keywords),
            ("depthwise_conv2d_weight_grad", [inputs[0], gradient, (1, kernel)], keywords),
            ("depthwise_conv_transpose2d", inputs[:2], crop),
            ("separable_conv_transpose2d", inputs, crop),
            ("pointwise_conv2d_weight_grad", [inputs[0]] * 2, {"data_format": data_format}),
        ):
            expected = getattr(reference, name)(*arguments, **geometry)
            out = guarded(np.full(expected.shape, 99, dtype), at_end)
            print(name, image, geometry, at_end, flush=True)
            getattr(ds, name)(*arguments, out=out, **geometry)
            assert np.array_equal(out, expected), "wrong"
        count += 1
        inputs = arguments = out = expected = gradient = None
        kept.clear()
print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects pages through libc")
def test_nothing_outside_the_arrays_is_touched(run_python):
    done = run_python(GUARD, timeout=120)
    last = done.stdout.strip().rpartition("\n")[2]
    assert last == "done", f"status {done.returncode} at {last}\n{done.stderr}"
