"""dsconv beside itself: other data types, the other layout, a second thread.

    python -m benchmarks.variants --json variants.json

Each row of the forward list, and some that no cache holds, in every type and both layouts, on one thread, and
in float32 on two. Prints ratios of times, the fastest of many turns: a type's to float32's (complex128's to
float64's), the slower layout's to the faster one's, one thread's to two threads'.
"""

import argparse
import json
from dataclasses import replace
from statistics import median

import numpy as np

from . import limits, ours
from .arrays import Arrays, Contender, make_arrays
from .report import setting
from .row import depthwise
from .shapes import FORWARD
from .timing import interleaved

# name: the type that its times are divided by, and what the ratio should not exceed (in cache; beyond)
TYPES = {
    "float64": ("float32", 2.0, 2.0),
    "float16": ("float32", None, 1.0),
    "bfloat16": ("float32", None, 1.0),
    "complex64": ("float32", 4.5, 4.5),
    "complex128": ("float64", 4.5, 4.5),
}
LARGE = (
    depthwise("depthwise 2D 1024x1024x32, k3", 32, (1024, 1024), 3),
    depthwise("depthwise 2D 1024x1024x32, k3, stride 2", 32, (1024, 1024), 3, stride=2),
    depthwise("depthwise 2D 1024x1024x32, k5", 32, (1024, 1024), 5),
)
ROWS = tuple(row for row in FORWARD if row.dtype == "float32") + LARGE
PARALLEL_SECONDS = 200e-6  # rows of less are not asked to gain by a second thread


def typed(row, arrays, name):
    """The same operands in another type, a real part for both parts of complex ones."""
    if name == "bfloat16":
        import ml_dtypes

        dtype = np.dtype(ml_dtypes.bfloat16)
    else:
        dtype = np.dtype(name)

    def cast(array):
        return None if array is None else (array * (1 + 0.5j if dtype.kind == "c" else 1)).astype(dtype)

    return replace(row, dtype=dtype), Arrays(
        cast(arrays.x), cast(arrays.depthwise), cast(arrays.pointwise), None
    )


def contenders(row, layout):
    """One thread in every type; two threads in float32."""
    arrays = make_arrays(row)
    found = []
    for name in ("float32", *TYPES):
        of_type, operands = typed(row, arrays, name)
        found.append((name, ours.prepare(of_type, operands, 1, layout)))
    found.append(("two threads", found[0][1]))  # on the same arrays: where they lie decides much
    return [Contender(name, _on(2 if name == "two threads" else 1, c.call), None) for name, c in found]


def _on(threads, call):
    def run():
        ours.dsconv.set_num_threads(threads)
        call()

    return run


def measure(row, seconds):
    """Times by layout and by type, and what one more core could give."""
    times = {
        layout: {name: best for name, (best, _) in interleaved(contenders(row, layout), seconds, 1).items()}
        for layout in ours.LAYOUTS
    }
    return {"name": row.name, "bytes": row.bytes, "times": times, **ratios(times)}


def ratios(times):
    ratio = {
        layout: {name: of[name] / of[base] for name, (base, _, _) in TYPES.items()}
        for layout, of in times.items()
    }
    single = [of["float32"] for of in times.values()]
    gains = {layout: of["float32"] / of["two threads"] for layout, of in times.items()}
    return {"types": ratio, "layouts": max(single) / min(single), "threads": gains}


def print_rows(rows):
    heads = [*TYPES, "2 threads"]
    print(f"{'row':52s} {'layout':6s} {'us':>8s} " + " ".join(f"{head:>10s}" for head in heads) + "  layouts")
    for row in rows:
        for layout in ours.LAYOUTS:
            values = [row["types"][layout][name] for name in TYPES] + [row["threads"][layout]]
            words = " ".join(f"{value:10.2f}" for value in values)
            time = row["times"][layout]["float32"] * 1e6
            spread = f"  {row['layouts']:.2f}" if layout == ours.LAYOUTS[0] else ""
            print(f"{row['name'][:52]:52s} {layout[9:]:6s} {time:8.0f} {words}{spread}")


def verdict(rows, beyond, cores):
    """One line for each promise: how many rows keep it, and the median."""
    for name, (base, within, outside) in TYPES.items():
        pairs = [
            (row["types"][layout][name], outside if row["bytes"] > beyond else within)
            for row in rows
            for layout in ours.LAYOUTS
        ]
        asked = [(value, most) for value, most in pairs if most is not None]
        kept = sum(value <= 1.05 * most for value, most in asked)
        middle = median(value for value, _ in pairs)
        print(f"{name}: median {middle:.2f} times {base}; {kept} of {len(asked)} within reach")
    layouts = [row["layouts"] for row in rows]
    print(
        f"layouts: median {median(layouts):.2f}; {sum(x <= 1.2 for x in layouts)} of {len(rows)} within 1.2"
    )
    gains = [
        row["threads"][layout]
        for row in rows
        for layout in ours.LAYOUTS
        if row["times"][layout]["float32"] > PARALLEL_SECONDS
    ]
    machine = ", ".join(f"{gain:.2f} in {what}" for what, gain in cores.items())
    kept = sum(gain >= 0.9 * min(cores.values()) for gain in gains)
    found = f"median {median(gains):.2f}, least {min(gains):.2f}, " if gains else ""
    print(f"second thread, rows above 200 us: {found}{kept} of {len(gains)} reach 0.9 of the machine's least")
    print(f"the machine's gain by a second core: {machine}")


def core_gains():
    """What a second core adds to multiply-adds and to copies."""
    one, two = limits.copy_bandwidths(1), limits.copy_bandwidths(2)
    gains = {f"copies {level}": two[level] / one[level] for level in one if level in two}
    return {"multiply-adds": limits.fma_peak(2) / limits.fma_peak(1), **gains}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.variants", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row and layout")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", help="write the times there")
    given = parser.parse_args(arguments)
    cores = core_gains()
    rows = [measure(row, given.seconds) for row in ROWS if given.only in row.name]
    print_rows(rows)
    verdict(rows, sum(limits.cache_sizes(1).values()), cores)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"environment": setting({}), "cores": cores, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
