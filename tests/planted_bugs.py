"""Bugs planted by hand, to show that the checks can fail: `python -m tests.planted_bugs [--only NAME]`.

Each is built in a copy of the tree. A slice of the exact campaign has to catch it, of the operations and
types that the bug names; the C tests have to catch what integers do not show, or only guarded memory,
and a test that the bug names what neither of them calls.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .planted_bug_table import BUGS

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
choices = dict(ops=sys.argv[4].split(), dtypes=sys.argv[5].split())
report = campaign.run(seed, range(cases), True, isa, progress=1, most_failures=1, **choices)
print("failures:", report.failures)
"""


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
    setup = tree / "setup.py"
    needed = f"KERNEL_SETS = {{name: KERNEL_SETS[name] for name in {sorted({'baseline', bug.isa})}}}\n"
    setup.write_text(
        setup.read_text(encoding="utf-8").replace("REALS = {", f"{needed}REALS = {{", 1), encoding="utf-8"
    )
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    status, output = run(tree, command, 1200, DSCONV_BUILD_WIDE="0")
    if status != 0:
        raise SystemExit(f"{bug.name} does not compile:\n{output}")


def try_campaign(tree, bug, cases):
    """Return how the campaign caught it, or None."""
    build(tree, bug)
    arguments = [bug.isa, str(cases), str(SEED), " ".join(bug.ops), " ".join(bug.dtypes)]
    status, output = run(tree, [sys.executable, "-c", CHILD, *arguments], 300)
    needed = len(re.findall(rf"^{bug.isa}: \d+ cases, 0 failures", output, re.MULTILINE)) + 1
    if status is None or status < 0:
        return f"{'hangs' if status is None else 'crashes'} in case {needed}"
    if status != 0:
        raise SystemExit(f"{bug.name}: the campaign does not run:\n{output}")
    return f"wrong in case {needed}" if "failures: 1" in output else None


def try_c_tests(tree, bug, cases):
    """Return how the C tests caught it, or None."""
    programs = ["build/fast/test_elements", "build/fast/test_kernels"]
    sets = " ".join(sorted({"baseline", bug.isa}))
    status, output = run(tree, ["make", "-s", "-C", "tests/c", "MODE=fast", f"SETS={sets}", *programs], 1200)
    if status != 0:
        raise SystemExit(f"{bug.name} does not compile:\n{output}")
    for program in programs:
        status, output = run(tree, [tree / "tests/c" / program, str(cases)], 300)
        if status is None or status < 0:
            return "hangs" if status is None else "touches a guard page"
        found = re.search(r"WRONG.*", output)
        if found:
            return found[0][:80]
    return None


def try_test(tree, bug):
    """Return how the test that the bug names caught it, or None."""
    build(tree, bug)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", bug.check]
    status, output = run(tree, command, 300)
    if status not in (0, 1, None):
        raise SystemExit(f"{bug.name}: {bug.check} does not run:\n{output}")
    found = re.search(r"^FAILED \S+", output, re.MULTILINE)
    return "hangs" if status is None else found and found[0][:80]


def try_bug(bug, cases):
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        if bug.before != bug.after:
            plant(tree, bug)
        if bug.check.startswith("tests/"):
            return try_test(tree, bug)
        return (try_campaign if bug.check == "campaign" else try_c_tests)(tree, bug, cases)


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
