"""How the ratios of many rows are distributed: quantiles, counts, a histogram in text."""

import bisect
from statistics import median

# Suites with enough rows for it.
SUITES = ("families", "all")
QUANTILES = {"min": 0, "10 %": 0.1, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "90 %": 0.9, "max": 1}
# Upper ends of the bins; the last has none. The one below 0.97 ends where a tie begins.
EDGES = (0.5, 0.7, 0.85, 0.97, 1.15, 1.5, 2, 3, 5, 10, float("inf"))
LABELS = (
    f"< {EDGES[0]:g}",
    *(f"{a:g} - {b:g}" for a, b in zip(EDGES[:-2], EDGES[1:-1], strict=True)),
    f"> {EDGES[-2]:g}",
)
BAR = 40


def quantile(values, share):
    """Linear between the sorted values; `share` from 0 to 1."""
    values = sorted(values)
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def counts(ratios):
    """Ratios in each bin; a ratio at an edge belongs to the bin above."""
    found = [0] * len(EDGES)
    for ratio in ratios:
        found[bisect.bisect_right(EDGES, ratio)] += 1
    return found


def summarise(rated):
    """Of records that have a ratio: quantiles, the histogram, and median and minimum of each family."""
    ratios = [r["ratio"] for r in rated]
    families = {}
    for r in rated:
        families.setdefault(r.get("family") or "the list", []).append(r["ratio"])
    return {
        "quantiles": {name: quantile(ratios, share) for name, share in QUANTILES.items()},
        "histogram": dict(zip(LABELS, counts(ratios), strict=True)),
        "families": {name: [len(v), min(v), median(v)] for name, v in families.items()},
    }


def lines(found):
    """What `summarise` found, for people."""
    yield "best peer / dsconv: " + ", ".join(f"{k} {v:.2f}" for k, v in found["quantiles"].items())
    scale = BAR / max(1, *found["histogram"].values())
    for label, count in found["histogram"].items():
        yield f"  {label:>11} {count:3d} {'#' * max(count > 0, round(count * scale))}"
    yield f"  {'family':<20} {'rows':>4} {'min':>6} {'median':>6}"
    for name, (rows, least, middle) in found["families"].items():
        yield f"  {name:<20} {rows:4d} {least:6.2f} {middle:6.2f}"
