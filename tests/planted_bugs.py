"""Bugs planted by hand, to show that the checks can fail: `python -m tests.planted_bugs [--only NAME]`.

Each is built in a copy of the tree. A slice of the exact campaign has to catch it; what only memory nobody
else uses can show, the C tests on guarded pages have to catch.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("csrc", "dsconv", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE")
IGNORED = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "build")
CASES, SEED = 4000, 0

# One case a line of output, up to the first failure; a crash or a hang ends the output.
CHILD = """
import sys
from pathlib import Path
import dsconv
from dsconv import _core
from tests import campaign

assert Path(dsconv.__file__).is_relative_to(Path.cwd()), dsconv.__file__
_core.set_parallel_threshold(0)
isa, cases, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
report = campaign.run(seed, range(cases), True, isa, progress=1, most_failures=1)
print("failures:", report.failures)
"""


@dataclass
class Bug:
    """A replacement in one file under csrc; the text to replace occurs there exactly once."""

    name: str
    file: str
    before: str
    after: str
    isa: str = "baseline"
    check: str = "campaign"


TILE, ROLLING = "kernels/depthwise_tile.h", "kernels/depthwise_rolling.h"
INTERLEAVED, SEPARABLE = "kernels/depthwise_interleaved.h", "kernels/separable.h"
PLANAR, MIXING = "kernels/depthwise_planar.h", "kernels/pointwise_tile.h"

BUGS = [
    # ---- geometry
    Bug(
        "same padding on the wrong side",
        "geometry.c",
        "padding == DSC_SAME_UPPER ? total / 2 : total - total / 2",
        "padding == DSC_SAME_LOWER ? total / 2 : total - total / 2",
    ),
    Bug(
        "causal padding one late", "geometry.c", "*low = reach - 1, *high = 0", "*low = reach - 2, *high = 1"
    ),
    Bug("reflect repeats the border", "geometry.c", "i : 2 * (n - 1) - i", "i : 2 * n - 1 - i"),
    Bug("symmetric period", "geometry.c", "modulo(i, 2 * n)", "modulo(i, 2 * n - 1)"),
    Bug("one output too many", "geometry.c", "(padded - reach) / g->", "(padded - reach + 1) / g->"),
    # ---- which taps exist
    Bug(
        "first tap rounded down",
        "kernels/walk.h",
        "(-(start + reach) + step - 1) / step",
        "-(start + reach) / step",
    ),
    Bug(
        "last tap one beyond",
        "kernels/walk.h",
        "start + (count - 1) * step < size",
        "start + (count - 1) * step <= size",
    ),
    Bug(
        "padding with the wrong sign",
        PLANAR,
        "position = row * e->stride[1] - e->low",
        "position = row * e->stride[1] + e->low",
    ),
    Bug("height beyond the last row", TILE, "source >= t->height", "source > t->height"),
    # ---- planar tiles
    Bug(
        "row and column taps swapped",
        PLANAR,
        ".tap_row = r->tap_step[1], .tap_column = r->tap_step[2]",
        ".tap_row = r->tap_step[2], .tap_column = r->tap_step[1]",
    ),
    Bug("upper row taps missed", TILE, "o <= r; ++o", "o < r; ++o"),
    Bug("phase not wrapped", TILE, "if (phase >= t->phases)", "if (phase > t->phases)"),
    Bug("bias of the plane before", TILE, "t->bias += t->bias_plane;", ""),
    Bug(
        "last pixel dropped",
        TILE,
        "v_store_masked(target, sum, v_mask(0, left))",
        "v_store_masked(target, sum, v_mask(0, left - 1))",
    ),
    Bug("rolling skips a border row", ROLLING, "if (r >= t->row_first", "if (r > t->row_first"),
    Bug(
        "rolling forgets the last odd tap",
        ROLLING,
        "if (c + 1 < t->column_last)",
        "if (c + 2 < t->column_last)",
    ),
    Bug("odd pixels instead of even", "kernels/strip.h", "v_even(v_load", "v_odd(v_load"),
    Bug(
        "phase begins early",
        "kernels/strip.h",
        "first > phase ? divide_up(first - phase, s->phases)",
        "first > phase ? (first - phase) / s->phases",
    ),
    # ---- channels last
    Bug(
        "last column not clipped",
        INTERLEAVED,
        "e->stride[2] + reach >= e->in[2]",
        "e->stride[2] + reach > e->in[2] + 1",
    ),
    Bug("taps packed transposed", INTERLEAVED, "j * step[1] + i * step[2]", "j * step[2] + i * step[1]"),
    Bug(
        "dilated rows too close",
        INTERLEAVED,
        "- e->low[1] + j * e->dilation[1]) * r->x_step[1]",
        "- e->low[1] + j) * r->x_step[1]",
    ),
    # ---- pointwise and separable
    Bug("second block of channels starts over", SEPARABLE, ".resume = first > 0", ".resume = false"),
    Bug(
        "activation forgotten",
        SEPARABLE,
        "first + plan->mixing_block >= mixed_channels(p)",
        "first + plan->mixing_block > mixed_channels(p)",
    ),
    Bug(
        "bias of the wrong row",
        MIXING,
        "t.row_bias += here * t.row_bias_step",
        "t.row_bias += t.row_bias_step",
    ),
    Bug("weights of the last rows", "kernels/transpose.h", "c = r < full ? squares : 0", "c = squares"),
    Bug("depth and band swapped", "kernels/walk.h", "c.depth = item % c.depths", "c.depth = item % c.bands"),
    # ---- one kernel set, the Python side, threads
    Bug(
        "one lane too many",
        "isa/avx2_mask.h",
        "< v_ispread((lane)high)",
        "<= v_ispread((lane)high)",
        isa="avx2",
    ),
    Bug("multiplier's stride", "loop.c", ".multiplier = strides[1]", ".multiplier = strides[0]"),
    Bug(
        "last item of a share",
        "parallel.c",
        "at_most(begin + j->piece, end)",
        "at_most(begin + j->piece, end - 1)",
    ),
    # ---- right results, wrong memory
    Bug(
        "masked load reads on",
        "isa/generic_mask.h",
        "if (m.low == 0 && m.high == LANES)",
        "if (m.low == 0)",
        check="guard pages",
    ),
    Bug(
        "strided copy reads on",
        "kernels/strip.h",
        "2 * (j + LANES) <= 2 * count - 1",
        "j + LANES <= count",
        check="guard pages",
    ),
]


def copy_tree(target):
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=IGNORED)
        elif source.exists():
            shutil.copy2(source, target / name)


def plant(tree, bug):
    path = tree / "csrc" / bug.file
    text = path.read_text(encoding="utf-8")
    found = text.count(bug.before)
    if found != 1:
        raise SystemExit(f"{bug.name}: {bug.before!r} occurs {found} times in csrc/{bug.file}, needs to once")
    path.write_text(text.replace(bug.before, bug.after), encoding="utf-8")


def run(tree, command, timeout, **environment):
    """Return the exit status (None: it took too long) and the output of a command."""
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b"").decode()
    return done.returncode, done.stdout


def build(tree, bug):
    """Compile the extension in place, with no more kernel sets than are needed."""
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    status, output = run(tree, command, 1200, DSCONV_KERNEL_SETS=f"baseline,{bug.isa}", DSCONV_BUILD_WIDE="0")
    if status != 0:
        raise SystemExit(f"{bug.name} does not compile:\n{output}")


def try_campaign(tree, bug, cases):
    """Return how the campaign caught it, or None."""
    build(tree, bug)
    status, output = run(tree, [sys.executable, "-c", CHILD, bug.isa, str(cases), str(SEED)], 300)
    needed = len(re.findall(rf"^{bug.isa}: \d+ cases, 0 failures", output, re.MULTILINE)) + 1
    if status is None or status < 0:
        return f"{'hangs' if status is None else 'crashes'} in case {needed}"
    if status != 0:
        raise SystemExit(f"{bug.name}: the campaign does not run:\n{output}")
    return f"wrong in case {needed}" if "failures: 1" in output else None


def try_guard_pages(tree, bug, cases):
    """Return how the C tests caught it, or None."""
    program = "build/fast/test_kernels"
    command = ["make", "-s", "-C", "tests/c", "MODE=fast", f"SETS={bug.isa}", program]
    status, output = run(tree, command, 1200)
    if status != 0:
        raise SystemExit(f"{bug.name} does not compile:\n{output}")
    status, output = run(tree, [tree / "tests/c" / program, str(cases)], 300)
    if status is None or status < 0:
        return "hangs" if status is None else "touches a guard page"
    found = re.search(r"WRONG: .* case (\d+)", output)
    return f"wrong in case {int(found[1]) + 1}" if found else None


def try_bug(bug, cases):
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        if bug.before != bug.after:
            plant(tree, bug)
        return (try_campaign if bug.check == "campaign" else try_guard_pages)(tree, bug, cases)


def parse(argv):
    parser = argparse.ArgumentParser(prog="python -m tests.planted_bugs", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", help="plant the bugs whose name contains this")
    parser.add_argument("--cases", type=int, default=CASES, help="most cases for one bug")
    parser.add_argument("--list", action="store_true", help="print the names and check the texts, no more")
    return parser.parse_args(argv)


def check_texts(bugs):
    for bug in bugs:
        found = (ROOT / "csrc" / bug.file).read_text(encoding="utf-8").count(bug.before)
        print(f"{bug.name}: {bug.file}{'' if found == 1 else f': {found} TIMES'}")
    return 0


def main(argv=None):
    options = parse(argv)
    bugs = [bug for bug in BUGS if not options.only or options.only in bug.name]
    if options.list:
        return check_texts(bugs)
    missed = []
    for bug in bugs:
        start = time.perf_counter()
        how = try_bug(bug, options.cases)
        missed += [] if how else [bug.name]
        seconds = time.perf_counter() - start
        print(f"{bug.name} ({bug.file}): {how or 'NOT caught'} [{bug.check}, {seconds:.0f} s]", flush=True)
    print(f"{len(bugs) - len(missed)} of {len(bugs)} caught")
    return 1 if missed or not bugs else 0


if __name__ == "__main__":
    sys.exit(main())
