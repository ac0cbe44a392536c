"""Threads, kernel sets, forks, interrupts and the floating-point environment."""

import sys
import threading
import time

import numpy as np
import pytest

import dsconv as ds
from dsconv import _core

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and timer signals")


@pytest.fixture
def threads_restored():
    former = ds.get_num_threads()
    yield
    ds.set_num_threads(former)


# ---- threads -----------------------------------------------------------------------------------
def test_set_and_get(threads_restored):
    for n in (1, 3, np.int64(2), 256):
        ds.set_num_threads(n)
        assert ds.get_num_threads() == n
        assert type(ds.get_num_threads()) is int


@pytest.mark.parametrize("function", [ds.set_num_threads, ds.num_threads])
def test_wrong_number_of_threads(function, threads_restored):
    before = ds.get_num_threads()
    for value in (0, -1, -(2**31)):
        with pytest.raises(ValueError, match=f"^n: must be at least 1, got {value}"):
            function(value)
    for value in (1.0, "2", None, True, [2]):
        with pytest.raises(TypeError, match="^n: expected an integer, got"):
            function(value)
    with pytest.raises(ValueError, match="^n: must be at most 256, got 257"):
        function(257)
    with pytest.raises(ValueError, match="^n: must be at most 256, got 4294967297"):
        function(2**32 + 1)
    with pytest.raises(OverflowError):
        function(2**70)
    assert ds.get_num_threads() == before


def test_context_manager(threads_restored):
    ds.set_num_threads(3)
    with ds.num_threads(1):
        assert ds.get_num_threads() == 1
        with ds.num_threads(2):
            assert ds.get_num_threads() == 2
        assert ds.get_num_threads() == 1
    assert ds.get_num_threads() == 3
    with pytest.raises(KeyError), ds.num_threads(2):
        raise KeyError
    assert ds.get_num_threads() == 3
    again = ds.num_threads(2)
    with again, ds.num_threads(5), again:
        assert ds.get_num_threads() == 2
    assert ds.get_num_threads() == 3


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({"DSCONV_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"DSCONV_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
        ({"DSCONV_NUM_THREADS": "1"}, 1),
    ],
)
def test_environment(run_python, environment, expected):
    environment = {"DSCONV_NUM_THREADS": "", "OMP_NUM_THREADS": "", **environment}
    done = run_python("import dsconv as ds; print(ds.get_num_threads())", **environment)
    assert done.stdout.strip() == str(expected), done.stderr


@pytest.mark.parametrize("value", ["0", "-1", "many", "99999999999999999999", "1e3", " "])
def test_useless_environment(run_python, value):
    script = "import dsconv as ds; print(1 <= ds.get_num_threads() <= 256)"
    done = run_python(script, DSCONV_NUM_THREADS=value, OMP_NUM_THREADS="")
    # either it is refused in words, or passed over
    assert done.stdout.strip() == "True" or "DSCONV_NUM_THREADS" in done.stderr, done.stderr


def layer(dtype=np.float32, size=33, batch=3):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((batch, 12, size, size)).astype(dtype)
    return x, rng.standard_normal((12, 2, 3, 3)).astype(dtype), rng.standard_normal((20, 24)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_threads(always_parallel, dtype):
    x, depthwise, pointwise = layer(dtype)
    with ds.num_threads(1):
        expected = ds.separable_conv2d(x, depthwise, pointwise, padding=1)
        planes = ds.depthwise_conv2d(x, depthwise, stride=2, padding=1)
    for n in (2, 3, 5, 8, 16):
        with ds.num_threads(n):
            np.testing.assert_array_equal(
                ds.separable_conv2d(x, depthwise, pointwise, padding=1).view("u1"), expected.view("u1")
            )
            np.testing.assert_array_equal(
                ds.depthwise_conv2d(x, depthwise, stride=2, padding=1).view("u1"), planes.view("u1")
            )


def test_many_python_threads(always_parallel):
    arguments = layer(size=17, batch=1)
    expected = ds.separable_conv2d(*arguments, padding=1)
    wrong = []

    def work():
        for _ in range(50):
            if not np.array_equal(ds.separable_conv2d(*arguments, padding=1), expected):
                wrong.append(1)

    run_threads(work, 8)
    assert not wrong


def run_threads(work, count):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


NO_ROOM = """
import resource
import numpy as np, dsconv as ds
from dsconv import _core

x, w, p = np.ones((4, 16, 40, 40), "f4"), np.ones((16, 1, 3, 3), "f4"), np.ones((16, 16), "f4")
_core.set_parallel_threshold(0)
ds.set_num_threads(64)
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), limits[1]))
try:
    assert (ds.separable_conv2d(x, w, p) == 144).all()
except MemoryError:
    pass
resource.setrlimit(resource.RLIMIT_AS, limits)
assert (ds.separable_conv2d(x, w, p) == 144).all()
print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_room_for_threads(run_python):
    done = run_python(NO_ROOM)
    assert done.stdout.strip() == "done", (done.returncode, done.stderr)


# ---- kernel sets -------------------------------------------------------------------------------
def test_isa():
    available = ds.available_isas()
    assert isinstance(available, tuple)
    assert ds.isa() in available
    assert "baseline" in available
    assert len(set(available)) == len(available)


@pytest.mark.parametrize("name", ds.available_isas())
def test_isa_from_the_environment(run_python, name):
    script = """
import numpy as np, dsconv as ds
x, w, p = np.ones((3, 40, 40), "f4"), np.ones((3, 1, 3, 3), "f4"), np.ones((17, 3), "f4")
assert (ds.separable_conv2d(x, w, p) == 27).all()
assert (ds.separable_conv2d(x, w, p, dtype="f8") == 27).all()
print(ds.isa())
"""
    done = run_python(script, DSCONV_ISA=name)
    assert done.stdout.strip() == name, done.stderr


@pytest.mark.parametrize("name", ["nonsense", "AVX9000", " "])
def test_unknown_isa_is_refused_or_reported(run_python, name):
    done = run_python("import dsconv as ds; print(ds.isa())", DSCONV_ISA=name)
    assert done.returncode in (0, 1)
    assert done.returncode == 0 or "DSCONV_ISA" in done.stderr
    assert name.strip() == "" or "DSCONV_ISA" in done.stderr, "a wrong DSCONV_ISA went unnoticed"


def test_every_kernel_set_agrees():
    rng = np.random.default_rng(4)
    x = rng.integers(-4, 5, (2, 5, 19, 37)).astype("f4")
    depthwise, pointwise = rng.integers(-4, 5, (5, 2, 3, 3)), rng.integers(-4, 5, (9, 10))
    arguments = x, depthwise.astype("f4"), pointwise.astype("f4")
    expected = ds.reference.separable_conv2d(*arguments, padding="same", stride=2)
    former = ds.isa()
    try:
        for name in ds.available_isas():
            _core.set_isa(name)
            assert ds.isa() == name
            np.testing.assert_array_equal(ds.separable_conv2d(*arguments, padding="same", stride=2), expected)
        with pytest.raises(ValueError):
            _core.set_isa("nonsense")
        assert ds.isa() == name
    finally:
        _core.set_isa(former)


# ---- what this build is ------------------------------------------------------------------------
def test_show_config(capsys):
    assert ds.show_config() is None
    text = capsys.readouterr().out
    config = ds.show_config(mode="dicts")
    assert capsys.readouterr().out == ""
    assert config["versions"]["dsconv"] == ds.__version__
    assert config["versions"]["numpy"] == np.__version__
    assert config["runtime"]["kernel set active"] == ds.isa()
    assert config["runtime"]["threads"] == ds.get_num_threads()
    assert config["build"]["compiler"]
    assert config["machine"]["processor"]
    for section, entries in config.items():
        assert f"{section}:" in text
        for name in entries:
            assert f"  {name}: " in text
    with pytest.raises(ValueError, match="^mode: "):
        ds.show_config(mode="json")


# ---- fork --------------------------------------------------------------------------------------
FORK = """
import os, sys
import numpy as np, dsconv as ds
from dsconv import _core

_core.set_parallel_threshold(0)
ds.set_num_threads(4)
x, w, p = np.ones((4, 16, 40, 40), "f4"), np.ones((16, 1, 3, 3), "f4"), np.ones((16, 16), "f4")
before = ds.separable_conv2d(x, w, p)
for turn in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        same = np.array_equal(ds.separable_conv2d(x, w, p), before)
        ds.gufunc("depthwise_conv2d", padding=turn)
        if turn == 0 and os.fork() == 0:
            os._exit(0 if np.array_equal(ds.separable_conv2d(x, w, p), before) else 1)
        if turn == 0:
            same = same and os.wait()[1] == 0
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0, turn
    assert np.array_equal(ds.separable_conv2d(x, w, p), before)
print("done")
"""


@posix
def test_fork_after_a_parallel_call(run_python):
    done = run_python(FORK, 20)
    assert done.stdout.strip() == "done", done.stderr


FORK_WITH_LOCK = """
import os, threading
import numpy as np, dsconv as ds
from dsconv import gufuncs

held, done = threading.Event(), threading.Event()

def hold():
    with gufuncs._lock:
        held.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    ds.gufunc("depthwise_conv1d", padding=123)
    os._exit(0)
status = os.waitpid(child, 0)[1]
done.set()
thread.join()
ds.gufunc("depthwise_conv1d", padding=123)
print(status)
"""


@posix
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_while_the_cache_is_locked(run_python):
    assert run_python(FORK_WITH_LOCK, timeout=20).stdout.strip() == "0"


# ---- interrupts --------------------------------------------------------------------------------
INTERRUPT = """
import signal, sys, threading, time
import numpy as np, dsconv as ds

def wide(*shape):
    return np.broadcast_to(np.float32(1), shape)

calls = {
    "depthwise": lambda: ds.depthwise_conv1d(wide(1, 2**40), wide(1, 1, 2**39), stride=2**39),
    "items": lambda: ds.depthwise_conv1d(wide(64, 2**28), wide(64, 1, 2**27), stride=2**27),
    "rows": lambda: ds.depthwise_conv2d(wide(64, 2000, 2000), wide(64, 1, 63, 63), stride=3),
    "pointwise": lambda: ds.pointwise_conv2d(wide(20000, 64, 64), wide(20000, 20000)),
    "separable": lambda: ds.separable_conv2d(wide(4000, 64, 64), wide(4000, 8, 9, 9), wide(4000, 32000)),
    "last": lambda: ds.separable_conv2d(
        wide(64, 64, 4000), wide(4000, 8, 9, 9), wide(4000, 32000), data_format="channels_last"
    ),
}
call = calls[sys.argv[1]]
ds.set_num_threads(int(sys.argv[2]))
x, w = np.ones((3, 9, 9), "f4"), np.ones((3, 1, 3, 3), "f4")
sent = []

def send():
    time.sleep(0.4)
    sent.append(time.monotonic())
    signal.raise_signal(signal.SIGINT)

threading.Thread(target=send, daemon=True).start()
try:
    call()
except KeyboardInterrupt:
    print(f"{time.monotonic() - sent[0]:.3f}")
assert (ds.depthwise_conv2d(x, w) == 9).all()
"""


@posix
@pytest.mark.parametrize("call", ["depthwise", "items", "rows", "pointwise", "separable", "last"])
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt(run_python, call, threads):
    # more than one attempt, for a machine that does other things too
    for _ in range(3):
        done = run_python(INTERRUPT, call, threads, timeout=15)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip(), "the call ended before it could be interrupted"
        if float(done.stdout) < 0.25:
            return
    raise AssertionError(f"it took {done.stdout.strip()} s")


@pytest.mark.parametrize("name", ["depthwise_conv2d", "separable_conv2d"])
def test_gil_is_released(name):
    # few output elements for much work: NumPy itself would keep the lock
    x = np.broadcast_to(np.float32(1), (20, 700, 700))
    weights = [np.broadcast_to(np.float32(1), (20, 1, 699, 699))]
    weights += [np.ones((2, 20), np.float32)] if name == "separable_conv2d" else []
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    with ds.num_threads(1):
        began = time.perf_counter()
        getattr(ds, name)(x, *weights)
        ended = time.perf_counter()
    stop.set()
    ticker.join()
    during = [each for each in ticks if began + 0.005 < each < ended - 0.005]
    assert ended - began > 0.02, "too short a call to tell"
    assert len(during) >= 3


# ---- floating point ----------------------------------------------------------------------------
def test_error_state_does_not_depend_on_threads(always_parallel):
    x = np.ones((4, 8, 32, 32), np.float32)
    x[-1, -1, -1, -1] = 3e38
    depthwise, pointwise = np.full((8, 1, 1, 1), 2, np.float32), np.ones((8, 8), np.float32)
    for n in (1, 2, 3, 8):
        with ds.num_threads(n):
            with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
                ds.separable_conv2d(x, depthwise, pointwise)
            with np.errstate(over="ignore"):
                assert np.isinf(ds.separable_conv2d(x, depthwise, pointwise)).any()
            with np.errstate(over="warn"), pytest.warns(RuntimeWarning, match="overflow"):
                ds.depthwise_conv2d(x, depthwise)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_harmless_values_raise_no_flags(always_parallel, data_format):
    # lanes beyond the end of a row or of the channels must not compute on what they find there
    for size in range(1, 20):
        for channels in (1, 3, 7, 8, 9):
            shape = (channels, size, size) if data_format == "channels_first" else (size, size, channels)
            arguments = (
                np.full(shape, 1e-3, np.float32),
                np.full((channels, 1, 3, 3), 1e-3, np.float32),
                np.full((5, channels), 1e-3, np.float32),
            )
            with np.errstate(all="raise"):
                for activation in (None, "relu6", "hardswish"):
                    ds.separable_conv2d(*arguments, padding=1, activation=activation, data_format=data_format)


def test_subnormals_survive(always_parallel):
    tiny = np.finfo(np.float32).smallest_subnormal
    x = np.full((2, 4, 20, 20), tiny, np.float32)
    weight = np.ones((4, 1, 3, 3), np.float32)
    with np.errstate(under="ignore"):
        np.testing.assert_array_equal(ds.depthwise_conv2d(x, weight), np.float32(9 * tiny))
        after = np.float32(1e-38) * np.float32(0.1)
    assert after != 0


FLUSH = """
import numpy as np
tiny = np.full(8, np.finfo("f4").smallest_subnormal)
import dsconv as ds
assert (tiny * np.float32(1) != 0).all()
ds.separable_conv2d(np.ones((3, 30, 30), "f4"), np.ones((3, 1, 3, 3), "f4"), np.ones((4, 3), "f4"))
assert (tiny * np.float32(1) != 0).all()
print("done")
"""


def test_import_leaves_the_floating_point_environment_alone(run_python):
    done = run_python(FLUSH)
    assert done.stdout.strip() == "done", done.stderr
