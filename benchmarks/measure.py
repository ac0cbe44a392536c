"""One row: prepare the contenders, check that they agree, time them."""

from statistics import geometric_mean, median

from . import distribution, limits, ours, timing
from .arrays import Unsupported, disagreement, make_arrays

TIE = 0.97
RATIO_CAP = 10


def measure_row(row, modules, options, peak):
    """The record of a row: times in seconds by contender, notes, warnings and the limit."""
    record = {
        "name": row.name,
        "family": row.family,
        "function": row.function,
        "dtype": row.dtype,
        "separable": row.separable,
        "macs": row.macs,
        "bytes": row.bytes,
        "notes": {},
        "warnings": [],
        "times": {},
    }
    reason = ours.missing(row)
    if reason and not options.without_dsconv:
        record["skipped"] = reason
        return record
    arrays = make_arrays(row)
    contenders = _our_contenders(row, arrays, options, record) + _peers(row, arrays, modules, options, record)
    contenders = agreeing(row, contenders, record)
    timed = timing.interleaved(contenders, options.seconds, options.threads)
    record["times"] = {name: seconds for name, (seconds, _) in timed.items()}
    record["samples"] = {name: samples for name, (_, samples) in timed.items()}
    record["bandwidth"] = limits.copy_bandwidth(row.bytes, options.threads)
    record["limit"] = limits.row_limit(row, peak, record["bandwidth"])
    sizes = limits.cache_sizes(options.threads)
    record["bound"] = limits.row_bound(row, peak, record["bandwidth"], sizes)
    record.update(compare(record))
    return record


def _our_contenders(row, arrays, options, record):
    if options.without_dsconv:
        return []
    layouts = ours.LAYOUTS if options.layout == "both" else (options.layout,)
    found = []
    for layout in layouts:
        try:
            found.append(ours.prepare(row, arrays, options.threads, layout, options.allocate))
        except (Unsupported, NotImplementedError) as error:
            record["notes"][f"dsconv {layout}"] = str(error)
    return found


def _peers(row, arrays, modules, options, record):
    found = []
    for name, module in modules.items():
        try:
            found += module.prepare(row, arrays, options.threads)
        except Unsupported as error:
            record["notes"][name] = str(error)
        # A peer may fail in its own way on a row; the others still count.
        except Exception as error:
            record["notes"][name] = f"{type(error).__name__}: {error}"
            record["warnings"].append(f"{name} failed: {type(error).__name__}: {error}")
    return found


def agreeing(row, contenders, record):
    """The contenders whose results equal the first one's: dsconv, where it takes part."""
    agreeing, expected = [], None
    for contender in contenders:
        try:
            result = contender.result()
        except Exception as error:
            record["warnings"].append(f"{contender.name} failed: {type(error).__name__}: {error}")
            continue
        if expected is None:
            expected = result.copy()
        problem = disagreement(row, result, expected)
        if problem:
            message = f"{contender.name} differs from {agreeing[0].name}: {problem}; excluded"
            record["warnings"].append(message)
        else:
            agreeing.append(contender)
    return agreeing


def compare(record):
    """Best of each side, and the ratios."""
    mine = {name: t for name, t in record["times"].items() if name.startswith("dsconv")}
    theirs = {name: t for name, t in record["times"].items() if name not in mine}
    found = {}
    if theirs:
        found["best_peer"] = min(theirs, key=theirs.get)
        found["best_peer_time"] = theirs[found["best_peer"]]
    if mine:
        best = min(mine.values())
        found["best_time"] = best
        found["layout_spread"] = max(mine.values()) / best if len(mine) == 2 else None
        found["ratio"] = found["best_peer_time"] / best if theirs else None
        found["limit_fraction"] = record["limit"] / best if record["limit"] else None
    return found


def summarise(records):
    """The verdict over the rows that have a ratio, and the fractions of the limit."""
    rated = [r for r in records if r.get("ratio")]
    summary = {"rows": len(records), "compared": len(rated)}
    summary["skipped"] = sum("skipped" in r for r in records)
    if rated:
        ratios = [r["ratio"] for r in rated]
        lowest = min(rated, key=lambda r: r["ratio"])
        summary["won"] = sum(ratio >= TIE for ratio in ratios)
        summary["geometric_mean"] = geometric_mean(min(ratio, RATIO_CAP) for ratio in ratios)
        summary["median"] = median(ratios)
        summary["minimum"], summary["minimum_row"] = lowest["ratio"], lowest["name"]
        summary["distribution"] = distribution.summarise(rated)
        summary["lost"] = [r["name"] for r in rated if r["ratio"] < TIE]
    for key, separable in (("depthwise", False), ("pointwise", True)):
        parts = [r for r in records if r["separable"] is separable]
        fractions = [r["limit_fraction"] for r in parts if r.get("limit_fraction")]
        summary[f"{key}_limit_fraction"] = median(fractions) if fractions else None
    fractions = [r["limit_fraction"] for r in records if r.get("limit_fraction")]
    summary["limit_fraction"] = median(fractions) if fractions else None
    summary["spread"] = [r["name"] for r in records if (r.get("layout_spread") or 1) > 1.2]
    return summary
