"""The printed table, the verdict and the JSON file."""

import json
import platform
from datetime import UTC, datetime
from importlib import metadata

from . import distribution, limits, ours

COLUMNS = (
    ("row", 58),
    ("first us", 9),
    ("last us", 9),
    ("best peer", 21),
    ("peer us", 9),
    ("ratio", 6),
    ("spread", 6),
    ("limit us", 9),
    ("of limit", 8),
    ("bound", 5),
)


def environment(modules, options, peak):
    """What the numbers depend on."""
    return setting(modules) | {
        "suite": options.suite,
        "threads": options.threads,
        "fma_peak": peak,
        "cache_sizes": limits.cache_sizes(options.threads),
        "copy_bandwidths": limits.copy_bandwidths(options.threads),
    }


def setting(modules):
    """Date, machine and versions."""
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "kernel_set": ours.kernel_set(),
        "versions": {"numpy": version("numpy"), "dsconv": ours.version()},
    }
    for name, module in modules.items():
        found["versions"][name] = version(module.DISTRIBUTION)
    return found


def version(distribution):
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def cpu_model():
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def print_environment(found):
    peak = found["fma_peak"]
    print(f"{found['cpu']}, {found['threads']} thread(s), {found['date']}")
    print(", ".join(f"{name} {value or 'absent'}" for name, value in found["versions"].items()))
    print(
        f"kernel set {found['kernel_set'] or '-'}; FMA peak "
        + (f"{peak / 1e9:.1f} GMAC/s" if peak else "-")
        + "; copies, GB/s: "
        + ", ".join(f"{level} {rate / 1e9:.1f}" for level, rate in found["copy_bandwidths"].items())
    )


def _line(cells):
    first, *others = [f"{cell}"[:width] for cell, (_, width) in zip(cells, COLUMNS, strict=True)]
    widths = [width for _, width in COLUMNS]
    return "  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))])


def print_heading():
    heading = _line([name for name, _ in COLUMNS])
    print(heading)
    print("-" * len(heading))


def _micros(seconds):
    if seconds is None:
        return "-"
    return f"{seconds * 1e6:.1f}" if seconds < 1e-4 else f"{seconds * 1e6:.0f}"


def _number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def print_record(record, details):
    if "skipped" in record:
        print(f"{record['name']:<58}  skipped: {record['skipped']}", flush=True)
        return
    times = record["times"]
    cells = [
        record["name"],
        _micros(times.get("dsconv channels_first")),
        _micros(times.get("dsconv channels_last")),
        record.get("best_peer", "-"),
        _micros(record.get("best_peer_time")),
        _number(record.get("ratio")),
        _number(record.get("layout_spread")),
        _micros(record.get("limit")),
        _number(record.get("limit_fraction")),
        record.get("bound") or "-",
    ]
    print(_line(cells), flush=True)
    for warning in record["warnings"]:
        print(f"  WARNING: {warning}", flush=True)
    if details:
        parts = [f"{name} {_micros(t)}" for name, t in times.items()]
        parts += [f"{name} - ({reason})" for name, reason in record["notes"].items()]
        print("    " + "; ".join(parts), flush=True)


def print_verdict(summary, found):
    print()
    if summary["skipped"]:
        print(f"skipped: {summary['skipped']} of {summary['rows']} rows")
    if not summary["compared"]:
        print("verdict: no row was compared with a peer")
        return
    print(
        f"verdict: won {summary['won']} of {summary['compared']} (0.97 is a tie); best peer / dsconv: "
        f"geometric mean {summary['geometric_mean']:.2f} (each capped at 10), "
        f"median {summary['median']:.2f}, minimum {summary['minimum']:.2f} ({summary['minimum_row']})"
    )
    print(
        f"fraction of the limit: median {_number(summary['limit_fraction'])}, "
        f"depthwise rows {_number(summary['depthwise_limit_fraction'])}, "
        f"separable rows {_number(summary['pointwise_limit_fraction'])}"
    )
    if found.get("suite") in distribution.SUITES:
        print("\n".join(distribution.lines(summary["distribution"])))
    for title, key in (("lost", "lost"), ("layouts more than 1.2 apart", "spread")):
        if summary[key]:
            print(f"{title}: " + "; ".join(summary[key]))


def read_json(path):
    """Environment and records of an earlier run."""
    with open(path) as file:
        run = json.load(file)
    found = run["environment"]
    # Earlier versions measured the memory alone; the fastest copy of a row stands for the caches.
    if "copy_bandwidths" not in found:
        rates = [r["bandwidth"] for r in run["rows"] if "bandwidth" in r]
        found["copy_bandwidths"] = {"caches": max(rates)} if rates else {}
        found["copy_bandwidths"]["DRAM"] = found["dram_bandwidth"]
    return found, run["rows"]


def write_json(path, found, records, summary):
    with open(path, "w") as file:
        json.dump({"environment": found, "rows": records, "summary": summary}, file, indent=1)
        file.write("\n")
