"""A long run of random calls against the reference: `python -m tests.campaign --cases 20000 --seed 0`.

Integer values must come out exact, for any order of summation; with --float, values must lie in the error
bound, and threads must not change a bit. Half of the cases exceed two vectors, a block of channels and a
tile of pixels, and none is too small for threads. Operations and types are mixed; --ops and --dtypes choose
among them.
A failing case is run again by `--seed SEED --only INDEX`, with the same choice.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np

import dsconv as ds
from dsconv import _core
from dsconv.testing import assert_equivalent

from .operands import arrange, pick
from .strategies import DTYPES, MIXTURE, OPS, Case, random_case

OUT_MEMORY = ("plain", "negative", "transposed", "sliced", "unaligned", "swapped")


@dataclass
class Report:
    """What a run has found."""

    cases: int = 0
    big: int = 0
    failures: int = 0
    elements: int = 0
    worst: float = 0.0
    worst_index: int | None = None


def make_case(seed, index, exact, choices):
    """Return the case of that index and the generator that made it: no case depends on another."""
    rng = np.random.default_rng([seed, index])
    return random_case(rng, big=index % 2 == 0, integer=exact, **choices), rng


def call(case, rng, shape, dtype):
    """Make the call, now and then into an `out` of some arrangement of memory."""
    kwargs = dict(case.kwargs)
    if rng.random() < 0.2:
        kwargs["out"] = arrange(rng, np.full(shape, np.nan, dtype), pick(rng, OUT_MEMORY))
    result = getattr(ds, case.name)(*case.args, **kwargs)
    if "out" in kwargs and result is not kwargs["out"]:
        raise AssertionError("out was not returned")
    return result.astype(dtype, copy=False)


def check_exact(case, rng):
    """Raise an AssertionError unless the result is exact; return the number of elements and 0."""
    expected = case.expected()
    actual = call(case, rng, expected.shape, expected.dtype)
    if actual.shape != expected.shape:
        raise AssertionError(f"shape {actual.shape}, expected {expected.shape}")
    if not np.array_equal(actual, expected):
        wrong = np.argwhere(actual != expected)
        at = tuple(map(int, wrong[0]))
        raise AssertionError(
            f"{len(wrong)} of {expected.size} wrong, the first at {at}: {actual[at]}, expected {expected[at]}"
        )
    check_replay(case, expected)
    return expected.size, 0.0


def check_replay(case, expected):
    """Raise an AssertionError unless the call, replayed with packed weights, is exact, too."""
    args = [np.array(each, order="C") if isinstance(each, np.ndarray) else each for each in case.args]
    y, recording = _core.record(lambda args: getattr(ds, case.name)(*args, **case.kwargs), args)
    values = [*(each for each in args if isinstance(each, np.ndarray)), y]
    places = _core.bind_recording(recording, values)
    if places is None or not y.flags.c_contiguous:
        return
    if len(places) == 1:
        _core.pack_recording(recording, None)
    values[-1] = np.full_like(y, 77)
    _core.replay((recording,), values)
    if not np.array_equal(values[-1].astype(expected.dtype, copy=False), expected):
        raise AssertionError("another result when replayed")


def check_bound(case, rng):
    """Raise an AssertionError unless the result is in the bound, and has the same bits from one thread.

    Return how many elements it has, and the ratio.
    """
    plain = getattr(ds, case.name)(*case.args, **case.kwargs)
    with ds.num_threads(1):
        alone = getattr(ds, case.name)(*case.args, **case.kwargs)
    if alone.tobytes() != plain.tobytes():
        raise AssertionError(f"other bits from {_core.get_num_threads()} threads than from one")
    actual = call(case, rng, plain.shape, plain.dtype)
    return actual.size, assert_equivalent(actual, case.name, *case.args, **case.kwargs)


def run_case(seed, index, exact, report, choices):
    """Run one case and enter it in the report; return what went wrong, or None."""
    case, rng = make_case(seed, index, exact, choices)
    report.cases += 1
    report.big += case.big
    _core.set_num_threads(pick(rng, (1, 2, 3, 5)))
    try:
        elements, ratio = (check_exact if exact else check_bound)(case, rng)
    except Exception as error:
        report.failures += 1
        return describe(case, error)
    report.elements += elements
    if ratio > report.worst:
        report.worst, report.worst_index = ratio, index
    return None


def describe(case: Case, error):
    return f"{case}\n    {type(error).__name__}: {error}"


def run(seed, indices, exact, isa, progress=1000, most_failures=20, **choices):
    """Run the cases on one kernel set; return the report. `choices` go to `random_case`."""
    _core.set_isa(isa)
    report, start = Report(), time.perf_counter()
    for index in indices:
        wrong = run_case(seed, index, exact, report, choices)
        if wrong:
            kind = "" if exact else " --float"
            print(f"FAILED --seed {seed} --only {index}{kind} --isa {isa}\n    {wrong}", flush=True)
        if report.failures >= most_failures:
            print(f"stopped after {most_failures} failures")
            break
        if progress and report.cases % progress == 0:
            rate = report.cases / (time.perf_counter() - start)
            print(f"{isa}: {report.cases} cases, {report.failures} failures, {rate:.0f}/s", flush=True)
    return report


def closing_line(isa, report, exact, seconds):
    line = f"{isa}: {report.cases} cases ({report.big} big), {report.elements} elements, "
    line += f"{report.failures} failures, {seconds:.0f} s"
    return line if exact else f"{line}, worst ratio {report.worst:.3f} (case {report.worst_index})"


def parse(argv):
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run the case of this index and no other")
    parser.add_argument("--float", action="store_true", help="floats in the error bound, not exact integers")
    parser.add_argument("--ops", nargs="+", choices=OPS, default=OPS, metavar="OP", help=", ".join(OPS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=MIXTURE, metavar="DTYPE")
    parser.add_argument("--isa", default="all", help="a kernel set, or all that this machine runs")
    return parser.parse_args(argv)


def main(argv=None):
    options = parse(argv)
    indices = range(options.cases) if options.only is None else [options.only]
    isas = ds.available_isas() if options.isa == "all" else (options.isa,)
    before = ds.isa(), _core.get_num_threads(), _core.set_parallel_threshold(0)
    choices = dict(ops=tuple(options.ops), dtypes=tuple(options.dtypes))
    failures, lines = 0, []
    try:
        for isa in isas:
            start = time.perf_counter()
            report = run(options.seed, indices, not options.float, isa, **choices)
            lines.append(closing_line(isa, report, not options.float, time.perf_counter() - start))
            failures += report.failures
    finally:
        _core.set_isa(before[0])
        _core.set_num_threads(before[1])
        _core.set_parallel_threshold(before[2])
    print("\n".join(lines))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
