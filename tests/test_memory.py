"""Memory that calls take and give back, and the floating-point environment, seen from outside the process."""

import gc
import json
import os
import platform
import subprocess
import sys
import weakref

import numpy as np
import pytest

import dsconv as ds

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")

MIB = 1 << 20

STATUS = """
def status(name):
    "A size in /proc/self/status, in bytes."
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))
"""

# ---- peak --------------------------------------------------------------------------------------
# Address space, unlike resident memory, is counted exactly. A child of fork has no scratch of calls before;
# workers are started before the count, for their stacks.
PEAK = (
    STATUS
    + """
import json, os, sys
import numpy as np, dsconv as ds
from dsconv import _core

def operands(height, width, channels, outputs, kernel, data_format):
    x, out = (height, width, channels), (height, width, outputs)
    if data_format == "channels_first":
        x, out = (channels, height, width), (outputs, height, width)
    arrays = [np.ones(shape, "f4") for shape in (x, (channels, 1, kernel, kernel), (outputs, channels), out)]
    return arrays[:3], arrays[3]

def growth(sizes, kernel, dilation, data_format, threads):
    ds.set_num_threads(threads)
    keywords = dict(padding="same", dilation=dilation, data_format=data_format)
    threshold = _core.set_parallel_threshold(0)
    for _ in range(3):
        small, small_out = operands(9, 3, 2, 2, kernel, data_format)
        ds.separable_conv2d(*small, out=small_out, **keywords)
    _core.set_parallel_threshold(threshold)
    arrays, out = operands(*sizes, kernel, data_format)
    before = status("VmSize")
    assert before == status("VmPeak")
    ds.separable_conv2d(*arrays, out=out, **keywords)
    assert out.max() <= kernel * kernel * sizes[2] and out.min() >= sizes[2]
    return status("VmPeak") - before

for line in sys.stdin:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(growth(*json.loads(line))).encode())
        os._exit(0)
    os.close(write)
    print(os.read(read, 100).decode() or "failed", flush=True)
    os.close(read)
    os.waitpid(child, 0)
"""
)

PEAK_SIZES = [
    ((2000, 2000, 8, 8), 3, 1),
    ((2000, 2000, 8, 8), 7, 1),
    ((2000, 2000, 8, 8), 3, 12),
    ((112, 112, 512, 512), 3, 1),
    ((112, 112, 512, 512), 7, 1),
    ((112, 112, 512, 512), 3, 12),
    ((7, 7, 2048, 2048), 3, 1),
    ((7, 7, 2048, 2048), 7, 1),
]

# blocks from the system as they are asked for, and no address space reserved for threads
EXACT_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0", "MALLOC_ARENA_MAX": "1"}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Run a script in a fresh interpreter, with lines for its input; the completed process comes back."""
    path = tmp_path_factory.mktemp("memory") / "script.py"

    def run(script, *arguments, lines=(), **environment):
        path.write_text(script, encoding="utf-8")
        return subprocess.run(
            [sys.executable, str(path), *map(str, arguments)],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            timeout=120,
            cwd=path.parent,
            env={**os.environ, **environment},
        )

    return run


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("threads", [1, 2])
def test_peak_is_a_mebibyte_a_thread(python, threads, data_format):
    cases = [(*case, data_format, threads) for case in PEAK_SIZES]
    done = python(PEAK, lines=map(json.dumps, cases), **EXACT_MALLOC)
    assert len(done.stdout.split()) == len(cases), done.stderr
    # and a few pages for the call's own objects
    most = threads * MIB + (32 << 10)
    grown = dict(zip(map(str, cases), done.stdout.split(), strict=True))
    assert not {case: size for case, size in grown.items() if not size.isdigit() or int(size) > most}, (
        done.stderr
    )


# ---- leaks -------------------------------------------------------------------------------------
LEAKS = (
    STATUS
    + """
import gc, sys
import numpy as np, dsconv as ds

def wide(*shape):
    return np.broadcast_to(np.float32(1), shape)

x, w, p = np.ones((2, 3, 9, 11), "f4"), np.ones((3, 1, 3, 3), "f4"), np.ones((4, 3), "f4")
out = np.empty((2, 4, 7, 9), "f4")
good = [
    lambda i: ds.separable_conv2d(x, w, p),
    lambda i: ds.separable_conv2d(x, w, p, np.ones(3), np.ones(4), out=out, activation="relu"),
    lambda i: ds.separable_conv2d(x[..., ::2], w.astype("f8"), p, padding=1 + i % 7, dilation=1 + i % 3),
    lambda i: ds.depthwise_conv2d(np.moveaxis(x, 1, -1), w, data_format="channels_last", padding="same"),
    lambda i: ds.pointwise_conv2d(x, p, np.ones(4, "f4"), activation="gelu"),
    lambda i: ds.gufunc("depthwise_conv2d", stride=1 + i % 50)(x, w),
]
bad = [
    lambda i: ds.separable_conv2d(x, w, p[:, :2]),
    lambda i: ds.separable_conv2d(x, w, p, out=out[:1, :, :, 1:]),
    lambda i: ds.separable_conv2d(x, w, p, dtype="i8"),
    lambda i: ds.depthwise_conv2d(x, w, dilation=2**61, padding=i % 50),
    lambda i: ds.depthwise_conv2d(x, w, stride=0),
    lambda i: ds.depthwise_conv2d(x + 1j, w),
    lambda i: ds.depthwise_conv2d(x, w, activation="none"),
    lambda i: ds.pointwise_conv2d(wide(3, 2**28, 2**28), wide(2**24, 3)),
    lambda i: ds.pointwise_conv2d(wide(3, 2**20, 2**20), wide(2**10, 3)),
    lambda i: ds.gufunc("depthwise_conv2d", padding=(1, 2, 3)),
]

def calls(count):
    failed = 0
    for i in range(count):
        for call in good if sys.argv[1] == "good" else bad:
            try:
                call(i)
            except (ValueError, TypeError, MemoryError):
                failed += 1
    assert failed == (0 if sys.argv[1] == "good" else count * len(bad)), failed
    gc.collect()
    return status("VmRSS"), sys.getallocatedblocks()

warm, turns = 300, int(sys.argv[2]) // len(good if sys.argv[1] == "good" else bad)
before, after = calls(warm), calls(turns)
print(after[0] - before[0], after[1] - before[1])
"""
)


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_no_leak(python, kind):
    done = python(LEAKS, kind, 20000)
    assert done.returncode == 0, done.stderr
    resident, blocks = map(int, done.stdout.split())
    # 13 bytes lost in each call would show
    assert resident < MIB // 4, f"{resident} bytes"
    assert blocks < 500, f"{blocks} blocks"


FAILING = {
    "channels": lambda x, w, p: ds.separable_conv2d(x, w, p[:, :2]),
    "out": lambda x, w, p: ds.separable_conv2d(x, w, p, out=np.empty(3)),
    "dtype": lambda x, w, p: ds.separable_conv2d(x, w, p, dtype="i8"),
    "complex": lambda x, w, p: ds.depthwise_conv2d(x.view("c8"), w),
    "stride": lambda x, w, p: ds.depthwise_conv2d(x, w, stride=0),
    "dilation": lambda x, w, p: ds.depthwise_conv2d(x, w, dilation=100),
}


@pytest.mark.parametrize("fault", FAILING)
def test_failing_call_lets_go_of_its_arrays(fault):
    x = np.ones((2, 3, 9, 10), np.float32)
    alive = weakref.ref(x)
    gc.disable()
    try:
        try:
            FAILING[fault](x, np.ones((3, 1, 3, 3), np.float32), np.ones((4, 3), np.float32))
        except (TypeError, ValueError):
            pass
        else:
            pytest.fail("nothing was raised")
        del x
        assert alive() is None, "only the garbage collector would free it"
    finally:
        gc.enable()


# ---- no memory ---------------------------------------------------------------------------------
NO_MEMORY = (
    STATUS
    + """
import resource, sys
import numpy as np, dsconv as ds

data_format, what = sys.argv[1:]
ds.set_num_threads(1)
shape = (512, 64, 64) if data_format == "channels_first" else (64, 64, 512)
x, w, p = np.ones(shape, "f4"), np.ones((512, 1, 3, 3), "f4"), np.ones((512, 512), "f4")
out = np.empty(shape, "f4") if what == "scratch" else None
limits = resource.getrlimit(resource.RLIMIT_AS)
for turn in range(3):
    # less than the scratch, which is new and so not among what was freed before
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (64 << 10), limits[1]))
    try:
        ds.separable_conv2d(x, w, p, padding="same", data_format=data_format, out=out)
    except MemoryError as error:
        message = str(error)
    else:
        message = "no error"
    resource.setrlimit(resource.RLIMIT_AS, limits)
    print(message)
result = ds.separable_conv2d(x, w, p, padding="same", data_format=data_format, out=out)
print(result.max() == 9 * 512, result.min() == 4 * 512)
"""
)


@pytest.mark.parametrize("what", ["scratch", "result"])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_no_memory(python, data_format, what):
    done = python(NO_MEMORY, data_format, what)
    *messages, last = done.stdout.splitlines() or [""]
    assert last == "True True", (done.returncode, done.stderr)
    assert len(messages) == 3
    for message in messages:
        assert "scratch" in message if what == "scratch" else "allocate" in message, message


# ---- floating-point environment ----------------------------------------------------------------
ENVIRONMENT = """
import ctypes, ctypes.util, sys
import numpy as np

math = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
tiny = np.full(8, np.finfo("f4").smallest_subnormal)

def environment():
    "Rounding, trap and flush-to-zero bits; not the sticky flags of exceptions."
    buffer = ctypes.create_string_buffer(256)
    assert math.fegetenv(buffer) == 0
    bits = ()
    if sys.argv[1] == "x86_64":
        mxcsr = int.from_bytes(buffer.raw[28:32], "little")
        bits = mxcsr & ~0x3F, buffer.raw[:2]
    return math.fegetround(), bool((tiny * np.float32(1) != 0).all()), bits

def check(before, when):
    assert environment() == before, (when, before, environment())

rounding = [int(text) for text in sys.argv[2:]]
default = environment()
assert default[1]
import dsconv as ds
from dsconv import _core

check(default, "after import")
_core.set_parallel_threshold(0)
ds.set_num_threads(3)
for mode in rounding:
    assert math.fesetround(mode) == 0
    before = environment()
    for isa in ds.available_isas():
        _core.set_isa(isa)
        for dtype in ("f4", "f8"):
            x, w, p = np.ones((4, 3, 30, 30), dtype), np.ones((3, 1, 3, 3), dtype), np.ones((4, 3), dtype)
            for activation in (None, "relu6", "silu", "gelu", "tanh", "hardswish"):
                ds.separable_conv2d(x, w, p, activation=activation)
                check(before, (isa, dtype, activation))
                last = np.moveaxis(x * 1e-40, 1, -1).copy()
                ds.depthwise_conv2d(last, w, stride=2, data_format="channels_last", activation=activation)
                check(before, (isa, dtype, activation))
print("done")
"""

# FE_TONEAREST and the other modes, as <fenv.h> of the processor numbers them
ROUNDING = {"x86_64": (0, 0x400, 0x800, 0xC00), "aarch64": (0, 0x400000, 0x800000, 0xC00000)}


def test_floating_point_environment_stays(python):
    machine = platform.machine()
    done = python(ENVIRONMENT, machine, *ROUNDING.get(machine, (0,)))
    assert done.stdout.strip() == "done", done.stderr
