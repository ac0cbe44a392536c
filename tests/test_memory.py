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

def operands(spatial, channels, outputs, kernel, data_format, factor):
    def dense(channels, sizes):
        shape = (channels, *sizes) if data_format == "channels_first" else (*sizes, channels)
        return np.ones(shape, "f4")

    taps = np.ones((channels, 1, *[kernel] * len(spatial)), "f4")
    out = dense(outputs, [size * factor for size in spatial])
    return (dense(channels, spatial), taps, np.ones((outputs, channels), "f4")), out

def growth(name, spatial, channels, outputs, kernel, keywords, data_format, threads):
    ds.set_num_threads(threads)
    function, rank = getattr(ds, name), len(spatial)
    factor = keywords.get("stride", 1) if "transpose" in name else 1
    keywords = dict(keywords, padding="same", data_format=data_format)
    threshold = _core.set_parallel_threshold(0)
    tiles = [3000] if rank == 1 else [9, 3, 2][:rank]   # more than one, for the workers
    for _ in range(3):
        small, small_out = operands(tiles, 2, 2, kernel, data_format, factor)
        function(*small, out=small_out, **keywords)
    _core.set_parallel_threshold(threshold)
    arrays, out = operands(spatial, channels, outputs, kernel, data_format, factor)
    before = status("VmSize")
    assert before == status("VmPeak")
    function(*arrays, out=out, **keywords)
    assert out.max() <= kernel**rank * channels and out.min() >= channels
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

# the function, the image, channels and outputs, the kernel, its steps
PEAK_CASES = [
    ("separable_conv2d", (2000, 2000), 8, 8, 3, {}),
    ("separable_conv2d", (2000, 2000), 8, 8, 7, {}),
    ("separable_conv2d", (2000, 2000), 8, 8, 3, {"dilation": 12}),
    ("separable_conv2d", (112, 112), 512, 512, 3, {}),
    ("separable_conv2d", (112, 112), 512, 512, 7, {}),
    ("separable_conv2d", (112, 112), 512, 512, 3, {"dilation": 12}),
    ("separable_conv2d", (7, 7), 2048, 2048, 3, {}),
    ("separable_conv2d", (7, 7), 2048, 2048, 7, {}),
    ("separable_conv_transpose1d", (400000,), 8, 8, 4, {"stride": 2}),
    ("separable_conv_transpose1d", (400000,), 8, 8, 16, {"stride": 16}),
    ("separable_conv_transpose1d", (2000,), 1024, 64, 3, {"dilation": 2}),
    ("separable_conv_transpose2d", (1000, 1000), 8, 8, 4, {"stride": 2}),
    ("separable_conv_transpose2d", (1000, 1000), 8, 8, 3, {"dilation": 12}),
    ("separable_conv_transpose2d", (150, 150), 8, 8, 16, {"stride": 8}),
    ("separable_conv_transpose2d", (56, 56), 512, 256, 4, {"stride": 2}),
    ("separable_conv_transpose2d", (7, 7), 2048, 512, 3, {"stride": 3}),
    ("separable_conv_transpose3d", (30, 100, 100), 8, 8, 3, {"stride": 2}),
    ("separable_conv_transpose3d", (8, 14, 14), 512, 128, 4, {"stride": 2}),
    ("separable_conv_transpose3d", (4, 7, 7), 1024, 64, 3, {}),
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
    cases = [(*case, data_format, threads) for case in PEAK_CASES]
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
g, m = np.ones((2, 3, 7, 9), "f4"), np.ones((2, 3, 11, 13), "f4")
good = [
    lambda i: ds.separable_conv2d(x, w, p),
    lambda i: ds.separable_conv2d(x, w, p, np.ones(3), np.ones(4), out=out, activation="relu"),
    lambda i: ds.separable_conv2d(x[..., ::2], w.astype("f8"), p, padding=1 + i % 7, dilation=1 + i % 3),
    lambda i: ds.depthwise_conv2d(np.moveaxis(x, 1, -1), w, data_format="channels_last", padding="same"),
    lambda i: ds.pointwise_conv2d(x, p, np.ones(4, "f4"), activation="gelu"),
    lambda i: ds.gufunc("depthwise_conv2d", stride=1 + i % 50)(x, w),
    lambda i: ds.separable_conv_transpose2d(x, w, p, stride=1 + i % 3, activation="silu"),
    lambda i: ds.depthwise_conv_transpose2d(x.astype("f2"), w.astype("f2"), output_size=(11, 13)),
    lambda i: ds.depthwise_conv2d(x + 1j, w, padding=i % 5),
    lambda i: ds.depthwise_conv2d_input_grad(x, w, (9, 11), padding="same", padding_mode="reflect"),
    lambda i: ds.depthwise_conv2d_weight_grad(x, g, 3),
    lambda i: ds.depthwise_conv_transpose2d_input_grad(m, w, (9, 11)),
    lambda i: ds.depthwise_conv_transpose2d_weight_grad(x, m + 1j, (3, 3)),
    lambda i: ds.pointwise_conv2d_input_grad(out, p),
    lambda i: ds.pointwise_conv2d_weight_grad(x[:, :, :7, :9], out),
    lambda i: ds.separable_conv2d_vjp(x, w, p, np.ones(3), activation="gelu")[1](out),
]
bad = [
    lambda i: ds.separable_conv2d(x, w, p[:, :2]),
    lambda i: ds.separable_conv2d(x, w, p, out=out[:1, :, :, 1:]),
    lambda i: ds.separable_conv2d(x, w, p, dtype="i8"),
    lambda i: ds.depthwise_conv2d(x, w, dilation=2**61, padding=i % 50),
    lambda i: ds.depthwise_conv2d(x, w, stride=0),
    lambda i: ds.depthwise_conv2d(x + 1j, w, activation="relu"),
    lambda i: ds.depthwise_conv2d(x, w, activation="none"),
    lambda i: ds.pointwise_conv2d(wide(3, 2**28, 2**28), wide(2**24, 3)),
    lambda i: ds.pointwise_conv2d(wide(3, 2**20, 2**20), wide(2**10, 3)),
    lambda i: ds.gufunc("depthwise_conv2d", padding=(1, 2, 3)),
    lambda i: ds.depthwise_conv_transpose2d(x, w, output_size=20 + i % 50),
    lambda i: ds.separable_conv_transpose2d(x, w, p[:, :2]),
    lambda i: ds.depthwise_conv2d_input_grad(g, w, (9, 12)),
    lambda i: ds.depthwise_conv2d_weight_grad(x, g[:1], 3),
    lambda i: ds.depthwise_conv_transpose2d_input_grad(m, w, (9, 2 + i % 5)),
    lambda i: ds.pointwise_conv2d_weight_grad(wide(2**15, 2**10), wide(2**25, 2**10)),
    lambda i: ds.separable_conv2d_vjp(x, w, p)[1](g),
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
    "complex": lambda x, w, p: ds.depthwise_conv2d(x.view("c8"), w, activation="relu"),
    "stride": lambda x, w, p: ds.depthwise_conv2d(x, w, stride=0),
    "dilation": lambda x, w, p: ds.depthwise_conv2d(x, w, dilation=100),
    "output size": lambda x, w, p: ds.depthwise_conv_transpose2d(x, w, output_size=(11, 13)),
    "gradient of x": lambda x, w, p: ds.depthwise_conv2d_input_grad(x, w, (9, 10)),
    "gradient of taps": lambda x, w, p: ds.depthwise_conv2d_weight_grad(x, x, 3),
    "pullback": lambda x, w, p: ds.separable_conv2d_vjp(x, w, p)[1](x),
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
NO_MEMORY = """
import os, resource, sys
import numpy as np, dsconv as ds

name, data_format, what = sys.argv[1:]
ds.set_num_threads(1)

def image(channels, *sizes):
    return np.ones((channels, *sizes) if data_format == "channels_first" else (*sizes, channels), "f4")

x, half, large = image(512, 64, 64), image(512, 32, 32), image(512, 160, 160)
w, p = np.ones((512, 1, 3, 3), "f4"), np.ones((512, 512), "f4")
function, by_two = getattr(ds, name), dict(padding="same", stride=2)
args, kwargs, shape = {
    "separable_conv2d": ((x, w, p), dict(padding="same"), x.shape),
    "separable_conv_transpose2d": ((half, w, p), by_two, x.shape),
    "depthwise_conv2d_input_grad": ((x, w, 64), dict(padding="same", padding_mode="reflect"), x.shape),
    "depthwise_conv_transpose2d_input_grad": ((large, w, 32), dict(padding="same", stride=5), half.shape),
    "depthwise_conv2d_weight_grad": ((x, half, 15), by_two, (512, 1, 15, 15)),
    "depthwise_conv_transpose2d_weight_grad": ((half, x, 15), by_two, (512, 1, 15, 15)),
    "pointwise_conv2d_weight_grad": ((x, x), {}, (512, 512)),
}[name]
kwargs["data_format"] = data_format
out = np.empty(shape, "f4") if what == "scratch" else None

# read without buffers, which would be counted themselves
statm = os.open("/proc/self/statm", os.O_RDONLY)
def address_space():
    return int(os.pread(statm, 64, 0).split()[0]) * resource.getpagesize()

# what was freed before could hold a small scratch: fill it until the process has to grow for each block
filling = []
def fill_what_was_freed():
    grown = 0
    while grown < 4:
        before = address_space()
        filling.append(bytearray(12 << 10))
        grown = grown + 1 if address_space() > before else 0

limits = resource.getrlimit(resource.RLIMIT_AS)
for turn in range(3):
    fill_what_was_freed()
    # less than the scratch, which is new and so not among what was freed before
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + (16 << 10), limits[1]))
    try:
        function(*args, out=out, **kwargs)
    except MemoryError as error:
        message = str(error)
    else:
        message = "no error"
    resource.setrlimit(resource.RLIMIT_AS, limits)
    print(message)
result = function(*args, out=out, **kwargs)
args = [a.astype("f8") if isinstance(a, np.ndarray) else a for a in args]
print((result == function(*args, **kwargs)).all())
"""

# the operation, and whether it wants much scratch where channels come last
NO_MEMORY_CASES = {
    "separable_conv2d": True,
    "separable_conv_transpose2d": True,
    "depthwise_conv2d_input_grad": True,
    "depthwise_conv_transpose2d_input_grad": False,
    "depthwise_conv2d_weight_grad": False,
    "depthwise_conv_transpose2d_weight_grad": False,
    "pointwise_conv2d_weight_grad": True,
}


@pytest.mark.parametrize("what", ["scratch", "result"])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("name", NO_MEMORY_CASES)
def test_no_memory(python, name, data_format, what):
    if what == "scratch" and data_format == "channels_last" and not NO_MEMORY_CASES[name]:
        pytest.skip("the scratch may be had from what was freed before")
    # one arena: of another, which a thread of the BLAS may have made, much is reserved and can be had.
    # Nothing given back while the call runs, neither blocks of Python's own nor the end of the heap: in the
    # room that leaves, the scratch might be had.
    words = dict(MALLOC_MMAP_THRESHOLD_="8192", MALLOC_TOP_PAD_="0", MALLOC_ARENA_MAX="1")
    words |= dict(MALLOC_TRIM_THRESHOLD_=str(1 << 30), PYTHONMALLOC="malloc")
    done = python(NO_MEMORY, name, data_format, what, **words)
    *messages, last = done.stdout.splitlines() or [""]
    assert last == "True", (done.returncode, done.stderr)
    assert len(messages) == 3
    for message in messages:
        assert "scratch" in message if what == "scratch" else "allocate" in message, message


# Python's own allocations, one after the other; NumPy has a few for which it sets no MemoryError. The ufunc
# has been made before: where NumPy registers a loop and has no memory for it, it crashes. Calls of dense
# arrays try NumPy's way when theirs fails, and come to a result.
NTH_ALLOCATION = """
import sys
import _testcapi
import numpy as np, dsconv as ds

x, w, p = np.ones((2, 3, 9, 11), "f4"), np.ones((3, 1, 3, 3), "f4"), np.ones((4, 3), "f4")
g, m, o = np.ones((2, 3, 7, 9), "f4"), np.ones((2, 3, 11, 13), "f4"), np.ones((2, 4, 9, 11), "f4")
if sys.argv[2] == "strided":
    x, g, m, o = (np.stack([each, each], -1)[..., 0] for each in (x, g, m, o))
call = {
    "separable_conv2d": lambda: ds.separable_conv2d(x, w, p),
    "separable_conv_transpose2d": lambda: ds.separable_conv_transpose2d(x, w, p),
    "depthwise_conv_transpose2d": lambda: ds.depthwise_conv_transpose2d(x, w, output_size=(11, 13)),
    "depthwise_conv2d_input_grad": lambda: ds.depthwise_conv2d_input_grad(g, w, (9, 11)),
    "depthwise_conv2d_weight_grad": lambda: ds.depthwise_conv2d_weight_grad(x, g, 3),
    "depthwise_conv_transpose2d_input_grad": lambda: ds.depthwise_conv_transpose2d_input_grad(m, w, (9, 11)),
    "depthwise_conv_transpose2d_weight_grad": lambda: ds.depthwise_conv_transpose2d_weight_grad(x, m, 3),
    "pointwise_conv2d_input_grad": lambda: ds.pointwise_conv2d_input_grad(o, p),
    "pointwise_conv2d_weight_grad": lambda: ds.pointwise_conv2d_weight_grad(x, o),
}[sys.argv[1]]
wanted, failed, n = call(), 0, 0
while failed + 100 > n:
    n += 1
    error = None
    _testcapi.set_nomemory(n, n + 1)
    try:
        call()
    except (MemoryError, SystemError) as raised:
        error = raised
    finally:
        _testcapi.remove_mem_hooks()
    failed += error is not None
    assert (call() == wanted).all(), n
print(failed)
"""

NTH_FUNCTIONS = [
    "separable_conv2d",
    "separable_conv_transpose2d",
    "depthwise_conv_transpose2d",
    "depthwise_conv2d_input_grad",
    "depthwise_conv2d_weight_grad",
    "depthwise_conv_transpose2d_input_grad",
    "depthwise_conv_transpose2d_weight_grad",
    "pointwise_conv2d_input_grad",
    "pointwise_conv2d_weight_grad",
]


@pytest.mark.parametrize("arrays", ["dense", "strided"])
@pytest.mark.parametrize("name", NTH_FUNCTIONS)
def test_nth_allocation_fails(python, name, arrays):
    pytest.importorskip("_testcapi")
    done = python(NTH_ALLOCATION, name, arrays)
    assert done.returncode == 0, done.stderr
    assert arrays == "dense" or int(done.stdout) > 2


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
