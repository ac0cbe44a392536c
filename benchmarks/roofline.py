"""The roofline: each row's rate over its arithmetic intensity, under what the machine allows."""

import itertools

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

LINES = {"L1/L2": "-", "caches": "-", "L3": "--", "DRAM": ":"}
# Name, marker, colour; what a row is decides the mark, its data type whether it is filled.
MARKS = (("depthwise", "o", "#08306b"), ("separable", "s", "#238b45"), ("transposed", "^", "#d94801"))
LABELLED = 3


def save(path, found, records):
    records = [r for r in records if r.get("best_time")]
    if not records:
        return False
    figure, axes = plt.subplots(figsize=(10, 7), constrained_layout=True)
    draw(axes, found, records)
    return finish(figure, path, found)


def finish(figure, path, found):
    """Give the picture its title and write it; True."""
    figure.suptitle(f"{found['cpu']}, {found['threads']} thread(s), {found['date'][:10]}")
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return True


def draw(axes, found, records):
    records = [r for r in records if r.get("best_time")]
    if not records:
        return
    _roofs(axes, found, records)
    for record in records:
        _, marker, colour = mark(record)
        filled = colour if record["dtype"] == "float32" else "white"
        axes.plot(*place(record), marker, color=colour, markerfacecolor=filled, markersize=6, zorder=3)
    _labels(axes, records)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic intensity, multiply-adds per byte of compulsory traffic")
    axes.set_ylabel("GMAC/s, the better layout of dsconv")
    axes.set_title("Roofline")
    axes.grid(alpha=0.25, which="both")
    _legend(axes, records)


def mark(record):
    if "transpose" in record["function"]:
        return MARKS[2]
    return MARKS[1] if record["separable"] else MARKS[0]


def place(record):
    """Multiply-adds per byte, and 1e9 multiply-adds per second."""
    return record["macs"] / record["bytes"], record["macs"] / record["best_time"] / 1e9


def _roofs(axes, found, records):
    intensities = [place(r)[0] for r in records]
    span = np.geomspace(min(intensities) / 2, max(intensities) * 2, 400)
    peak = found["fma_peak"] or np.inf
    double = found["fma_peak"] and any(r["dtype"] == "float64" for r in records)
    for level, rate in found["copy_bandwidths"].items():
        label = f"{level} copy, {rate / 1e9:.0f} GB/s"
        roof = np.minimum(span * rate, peak) / 1e9
        axes.plot(span, roof, LINES[level], color="black", label=label, zorder=2)
    if found["fma_peak"]:
        _name_roof(axes, f"FMA peak {peak / 1e9:.0f} GMAC/s", span[-1], peak / 1e9, "black")
    if double:
        start = peak / 2 / max(found["copy_bandwidths"].values())
        axes.plot([start, span[-1]], [peak / 2e9] * 2, color="#999999", zorder=1)
        _name_roof(axes, "float64", span[-1], peak / 2e9, "#777777")


def _name_roof(axes, text, x, y, colour):
    words = {"xytext": (0, 3), "textcoords": "offset points", "ha": "right", "fontsize": 8, "color": colour}
    axes.annotate(text, (x, y), **words)


def _labels(axes, records):
    """The rows farthest below their limit, and those nearest to it."""
    rated = sorted((r for r in records if r.get("limit_fraction")), key=lambda r: r["limit_fraction"])
    labelled = []
    for rows, side, shift in (rated, "left", (6, -9)), (rated[::-1], "right", (-6, 4)):
        apart = (r for r in rows if all(_legible(r, other) for other in labelled))
        for record in itertools.islice(apart, LABELLED):
            labelled.append(record)
            text = f"{record['name']} ({record['limit_fraction']:.2f})"
            words = {"fontsize": 6.5, "xytext": shift, "textcoords": "offset points", "ha": side}
            paper = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5}
            axes.annotate(text, place(record), bbox=paper, **words)


def _legible(record, other):
    """Whether labels of both would not meet."""
    return abs(np.log(place(record)[1] / place(other)[1])) > 0.12


def _legend(axes, records):
    kinds = {mark(r) for r in records}
    handles, _ = axes.get_legend_handles_labels()
    for name, marker, colour in (m for m in MARKS if m in kinds):
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", label=name))
    if any(r["dtype"] == "float64" for r in records):
        words = {"marker": "o", "markerfacecolor": "white", "linestyle": "", "label": "hollow: float64"}
        handles.append(Line2D([], [], color="black", **words))
    axes.legend(handles=handles, fontsize=8, loc="lower right")
