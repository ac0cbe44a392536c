"""The picture of a run: bars for each row and the roofline, or the ratios of a suite of families."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from . import distribution, roofline  # noqa: E402

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
    if found.get("suite") in distribution.SUITES:
        return _save_ratios(path, found, records)
    height = 4 + 0.55 * len(records)
    figure, (bars, roof) = plt.subplots(
        1, 2, figsize=(19, max(height, 7)), width_ratios=(1.3, 1), constrained_layout=True
    )
    _bars(bars, records)
    roofline.draw(roof, found, records)
    roof.set_box_aspect(0.9)
    roof.set_anchor("N")
    return roofline.finish(figure, path, found)


def _save_ratios(path, found, records):
    """Every row's ratio in order, and how many rows have which."""
    rated = sorted((r for r in records if r.get("ratio")), key=lambda r: r["ratio"])
    if not rated:
        return False
    figure, (dots, bars) = plt.subplots(
        1, 2, figsize=(16, 2 + 0.19 * len(rated)), width_ratios=(1.4, 1), constrained_layout=True
    )
    _ratios(dots, rated)
    edges = distribution.EDGES
    counts = distribution.counts([r["ratio"] for r in rated])
    bars.bar(range(len(counts)), counts, 0.9, color=["#d94801" if e <= 1 else "#08306b" for e in edges])
    bars.set_xticks(range(len(counts)), distribution.LABELS, rotation=45, ha="right")
    bars.set_ylabel("rows")
    bars.set_xlabel("best peer / dsconv")
    bars.set_title("How many rows have which ratio")
    bars.set_box_aspect(0.6)
    bars.set_anchor("N")
    return roofline.finish(figure, path, found)


def _ratios(axes, rated):
    families = dict.fromkeys(r.get("family") or "the list" for r in rated)
    colours = dict(zip(sorted(families), plt.get_cmap("tab20").colors, strict=False))
    for family, colour in colours.items():
        rows = [i for i, r in enumerate(rated) if (r.get("family") or "the list") == family]
        axes.scatter([rated[i]["ratio"] for i in rows], rows, color=colour, label=family, zorder=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rated)), [r["name"] for r in rated], fontsize=7)
    axes.set_ylim(-1, len(rated))
    axes.set_xlabel("best peer / dsconv (right of 1: dsconv is faster)")
    axes.set_title("Every row")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")


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
