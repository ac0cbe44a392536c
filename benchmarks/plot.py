"""The picture of a run: a group of bars for each row, and the roofline."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

# Dark for dsconv, so that it stands out; a peer keeps its colour from picture to picture.
COLOURS = {
    "dsconv channels_first": "#08306b",
    "dsconv channels_last": "#3787c0",
    "torch channels_first": "#d94801",
    "torch channels_last": "#fdae6b",
    "torch2d channels_first": "#7f2704",
    "torch2d channels_last": "#fdd0a2",
    "onnxruntime": "#6baa5b",
    "openvino": "#8c6bb1",
    "litert": "#c9a227",
}


def save(path, found, records):
    records = [r for r in records if r["times"]]
    if not records:
        return False
    height = 4 + 0.55 * len(records)
    figure, (bars, roof) = plt.subplots(
        1, 2, figsize=(19, max(height, 7)), width_ratios=(1.3, 1), constrained_layout=True
    )
    _bars(bars, records)
    _roofline(roof, found, records)
    figure.suptitle(f"{found['cpu']}, {found['threads']} thread(s), {found['date'][:10]}")
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return True


def _bars(axes, records):
    names = [name for name in COLOURS if any(name in r["times"] for r in records)]
    thick = 0.84 / len(names)
    # Each row's own bars only, centred: an absent peer leaves no gap.
    present = [[name for name in names if name in r["times"]] for r in records]
    for name in names:
        rows = [i for i, found in enumerate(present) if name in found]
        times = [records[i]["times"][name] * 1e6 for i in rows]
        heights = [i + (present[i].index(name) + 0.5 - len(present[i]) / 2) * thick for i in rows]
        axes.barh(heights, times, thick, color=COLOURS[name], label=name)
    limits = [(i, r["limit"] * 1e6) for i, r in enumerate(records) if r.get("limit")]
    for label, (i, limit) in zip(["limit"] + [None] * len(limits), limits, strict=False):
        axes.plot([limit, limit], [i - 0.45, i + 0.45], color="black", linewidth=1.6, label=label)
    axes.set_xscale("log")
    axes.set_xlim(left=1)
    axes.set_yticks(range(len(records)), [r["name"] for r in records], fontsize=8)
    axes.set_ylim(len(records) - 0.4, -0.6)
    axes.set_xlabel("microseconds (shorter is faster)")
    axes.set_title("Time per call")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)


def _roofline(axes, found, records):
    intensities = np.array([r["macs"] / r["bytes"] for r in records])
    span = np.geomspace(intensities.min() / 2, intensities.max() * 2, 200)
    fastest = max(r["bandwidth"] for r in records)
    for bandwidth, words, line in ((fastest, "cache", "-"), (found["dram_bandwidth"], "DRAM", "--")):
        slope = span * bandwidth / 1e9
        for half, kind in ((1, "float32"), (2, "float64")):
            if half == 2 and not (found["fma_peak"] and any(r["dtype"] == kind for r in records)):
                continue
            roof = np.minimum(slope, found["fma_peak"] / half / 1e9) if found["fma_peak"] else slope
            label = f"{kind}, {words} {bandwidth / 1e9:.0f} GB/s"
            axes.plot(span, roof, line, color="black" if half == 1 else "#999999", label=label)
    _points(axes, records, "best_time", "dsconv (better layout)", "o", "#08306b")
    _points(axes, records, "best_peer_time", "best peer", "x", "#d94801")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic intensity, multiply-adds per byte of compulsory traffic")
    axes.set_ylabel("GMAC/s")
    axes.set_title("Roofline")
    axes.set_box_aspect(0.9)
    axes.set_anchor("N")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="lower right")


def _points(axes, records, key, label, marker, colour):
    points = [(r["macs"] / r["bytes"], r["macs"] / r[key] / 1e9, r["dtype"]) for r in records if r.get(key)]
    if not points:
        return
    x, y, dtypes = zip(*points, strict=True)
    axes.scatter(x, y, marker=marker, color=colour, label=label, zorder=3)
    for a, b, dtype in points:
        if dtype == "float64":
            axes.annotate("f64", (a, b), fontsize=6, xytext=(4, 3), textcoords="offset points")
