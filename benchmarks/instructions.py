"""Guards against slower kernels by counting instructions, which a busy machine does not change.

    python -m benchmarks.instructions             # compare with instructions.json
    python -m benchmarks.instructions --update    # make today's figures the ones to compare with

Counts, with valgrind, the instructions of one call of each problem in tests/c/instructions.c, for the kernel
set avx2, and divides them by its multiply-adds. Fails where a figure grows by more than 5 %. Needs make, a C
compiler and valgrind, but not the package. Figures belong to a compiler: with another one, or without
valgrind, nothing is compared.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

GROWTH = 1.05
HERE = Path(__file__).parent
BASELINE = HERE / "instructions.json"
SOURCES = HERE.parent / "tests" / "c"
PROGRAM = SOURCES / "build" / "count" / "instructions"
# The compiler of make's default, unless the environment names another.
CC = os.environ.get("CC", "cc")


class NotHere(Exception):
    """Why nothing can be counted on this machine."""


def compiler():
    if not shutil.which(CC):
        raise NotHere(f"no C compiler {CC!r}")
    line = subprocess.check_output([CC, "--version"], text=True).splitlines()[0]
    # gcc begins with the name it was called by.
    return line.removeprefix(Path(CC).name).strip()


def require_valgrind():
    if not shutil.which("valgrind"):
        raise NotHere("valgrind is not installed")


def build(*options):
    """Compile the program; its problems as (multiply-adds, name)."""
    jobs = f"-j{os.cpu_count() or 1}"
    subprocess.run(["make", *options, jobs, "-s", "-C", SOURCES, f"CC={CC}", "instructions"], check=True)
    listed = subprocess.run([PROGRAM], capture_output=True, text=True)
    if listed.returncode == 2:
        raise NotHere(listed.stderr.strip())
    listed.check_returncode()
    pairs = (line.split(" ", 1) for line in listed.stdout.splitlines())
    return [(float(macs), name) for macs, name in pairs]


def count(name):
    """Instructions of one warm call."""
    options = ["--tool=callgrind", "--toggle-collect=measured_call", "--callgrind-out-file=/dev/null"]
    run = subprocess.run(["valgrind", *options, PROGRAM, name], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not found or found[1] == "0":
        sys.exit(f"{name}: valgrind counted nothing\n{run.stderr}")
    return int(found[1])


def measure(problems):
    """Instructions a multiply-add, by name."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        counts = pool.map(count, [name for _, name in problems])
        return {name: round(n / macs, 4) for (macs, name), n in zip(problems, counts, strict=True)}


def compare(figures, baseline):
    """Lines of the table, and what is wrong."""
    lines, wrong = [f"{'instructions a multiply-add':<42}{'baseline':>9}{'now':>9}{'change':>9}"], []
    for name, now in figures.items():
        before = baseline.get(name)
        change = f"{100 * (now / before - 1):+.1f} %" if before else "-"
        lines.append(f"{name:<42}{before or '-':>9}{now:>9}{change:>9}")
        if before is None:
            wrong.append(f"{name}: not in the baseline")
        elif now > GROWTH * before:
            wrong.append(f"{name}: {before} before, {now} now, {change}")
    gone = sorted(baseline.keys() - figures.keys())
    return lines, wrong + [f"{name}: in the baseline, but not among the problems" for name in gone]


def check():
    """Compare this machine's figures with the baseline; the exit status."""
    found = json.loads(BASELINE.read_text())
    require_valgrind()
    if compiler() != found["compiler"]:
        raise NotHere(f"the compiler is {compiler()!r}, the baseline's {found['compiler']!r}")
    lines, wrong = compare(measure(build()), found["instructions_per_multiply_add"])
    print("\n".join(lines))
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    if wrong:
        print("If this is meant: python -m benchmarks.instructions --update")
    return 1 if wrong else 0


def update():
    require_valgrind()
    # What was built before may be another compiler's.
    figures = measure(build("--always-make"))
    version = subprocess.check_output(["valgrind", "--version"], text=True).strip()
    found = {"compiler": compiler(), "valgrind": version, "kernel_set": "avx2"}
    BASELINE.write_text(json.dumps(found | {"instructions_per_multiply_add": figures}, indent=1) + "\n")
    print(f"{len(figures)} figures written to {BASELINE}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="write the baseline, compare with nothing")
    options = parser.parse_args()
    try:
        return update() if options.update else check()
    except NotHere as reason:
        print(f"skipped: {reason}")
        return 1 if options.update else 0


if __name__ == "__main__":
    sys.exit(main())
