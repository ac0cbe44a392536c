"""Sound, video, several sensors and tokens: shapes, finite differences, state, folding, layouts, examples."""

import importlib
from functools import partial

import numpy as np
import pytest

from dsconv import models
from dsconv.testing import check_gradients

from .networks import check_call, check_documented, check_fold, check_learns, check_state, lively

LAST = "channels_last"
FAMILIES = ["attention", "audio", "fusion", "hybrid", "mixer", "sensors", "temporal", "video"]

SERIES, MAP, FILM = (4, 13), (4, 7, 6), (4, 5, 6, 5)
CAMERAS = {"colour": (3, 3, 2), "depth": (1, (5, 2), 3)}
MOTION = {"first": (3, 5, 2), "second": (1, 2, 1)}

# blocks: maker, shape of a sample, shape of its result
BLOCKS = {
    "temporal": (partial(models.TemporalBlock, 4, 4, dilation=2), SERIES, SERIES),
    "temporal causal": (
        partial(models.TemporalBlock, 4, 6, kernel_size=4, causal=True, stride=2, depth_multiplier=2),
        SERIES,
        (6, 7),
    ),
    "temporal standard": (
        partial(models.TemporalBlock, 4, 4, kernel_size=3, separable=False, activation="silu"),
        SERIES,
        SERIES,
    ),
    "spatiotemporal": (
        partial(models.SpatiotemporalBlock, 4, 3, kernel_size=(3, 5, 1), stride=(1, 2, 2)),
        FILM,
        (3, 5, 3, 3),
    ),
    "spatiotemporal wide": (
        partial(models.SpatiotemporalBlock, 4, 3, depth_multiplier=2, dilation=(2, 1, 1), activation="relu6"),
        FILM,
        (3, 5, 6, 5),
    ),
    "spatiotemporal standard": (
        partial(models.SpatiotemporalBlock, 4, 3, stride=2, separable=False, padding="same"),
        FILM,
        (3, 3, 3, 3),
    ),
    "fusion": (partial(models.SensorFusion, CAMERAS, 5), MAP, (5, 7, 6)),
    "fusion in 1D": (partial(models.SensorFusion, MOTION, 5, rank=1, stride=2), SERIES, (5, 7)),
    "fusion in 3D": (
        partial(models.SensorFusion, {"one": (4, (1, 3, 3), 2)}, 2, rank=3, activation="hardswish"),
        FILM,
        (2, 5, 6, 5),
    ),
    "mixer": (partial(models.TokenMixer, 4, kernel_size=3, bn_eps=1e-3), MAP, MAP),
    "mixer in 1D": (partial(models.TokenMixer, 4, rank=1, expand=0.5, drop=0.5), SERIES, SERIES),
    "mixer in 3D": (partial(models.TokenMixer, 4, rank=3, kernel_size=(3, 1, 3)), FILM, FILM),
    "attention": (partial(models.AttentionBlock, 4, 2), MAP, MAP),
    "attention in 1D": (partial(models.AttentionBlock, 4, rank=1, drop=0.5), SERIES, SERIES),
    "hybrid": (partial(models.HybridBlock, 4, 2, kernel_size=3, activation="relu"), MAP, MAP),
    "hybrid uneven": (partial(models.HybridBlock, 4, attending=1, rank=1, expand=2), SERIES, SERIES),
    "patches": (partial(models.PatchEmbedding, 4, 6, 3), MAP, (6, 3, 2)),
    "patches overlap": (
        partial(models.PatchEmbedding, 4, 6, (2, 3), kernel_size=5, positions=(4, 2)),
        MAP,
        (6, 4, 2),
    ),
}  # fmt: skip

VIT = partial(models.hybrid_vit, width=0.03, depth=0.2, head_size=2, num_classes=3, kernel_size=3)

# small networks: the same
NETWORKS = {
    "keyword_spotter": (partial(models.keyword_spotter, width=0.1, num_classes=3), (1, 25, 10), (3,)),
    "keyword_spotter half": (
        partial(models.keyword_spotter, "m", width=0.02, depth=0.5, num_classes=3, padding="half"),
        (1, 21, 9),
        (3,),
    ),
    "keyword_spotter standard": (
        partial(models.keyword_spotter, "l", width=0.01, depth=0.3, num_classes=3, separable=False),
        (1, 20, 10),
        (3,),
    ),
    "temporal_spotter": (
        partial(models.temporal_spotter, bands=5, width=0.1, num_classes=3),
        (5, 31),
        (3, 16),
    ),
    "music_tagger": (
        partial(models.music_tagger, bands=5, width=0.05, depth=0.5, num_classes=6, kernel_size=4),
        (5, 90),
        (6,),
    ),
    "video_classifier": (
        partial(models.video_classifier, width=0.01, depth=0.1, num_classes=3, in_channels=2),
        (2, 5, 18, 17),
        (3,),
    ),
    "fusion_segmenter": (
        partial(models.fusion_segmenter, width=0.05, levels=1, bypass_skip=True),
        (4, 9, 7),
        (2, 9, 7),
    ),
    "fusion_classifier": (partial(models.fusion_classifier, width=0.1, depth=0.5), (6, 20), (4,)),
    "hybrid_vit": (partial(VIT, drop=0.3), (3, 34, 33), (3,)),
    "hybrid_vit with positions": (
        partial(VIT, ("attention", "hybrid"), positions=True, resolution=15),
        (3, 15, 15),
        (3,),
    ),
}  # fmt: skip

ALL = BLOCKS | NETWORKS


def made(name, **words):
    make, sample, _ = ALL[name]
    x = np.random.default_rng(1).standard_normal((3, *sample))
    return lively(make(rng=3, **words)), x


@pytest.mark.parametrize("name", ALL)
def test_shapes(name):
    layer, x = made(name)
    check_call(layer, x.astype(np.float32), ALL[name][2])


@pytest.mark.parametrize("name", BLOCKS)
def test_block_gradients(name):
    layer, x = made(name, dtype=float)
    check_gradients(layer, x, samples=6)
    check_gradients(layer.eval(), x, samples=3)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_gradients(name):
    """Every parameter array is moved at some element, and so is the input."""
    layer, x = made(name, dtype=float)
    check_gradients(layer, x, samples=1)


@pytest.mark.parametrize("name", ALL)
def test_state(name):
    layer, x = made(name)
    check_state(ALL[name][0], layer.eval(), x.astype(np.float32))


@pytest.mark.parametrize("name", ALL)
def test_fold(name):
    layer, x = made(name, dtype=float)
    check_fold(layer.eval(), x)


@pytest.mark.parametrize("name", ALL)
def test_layouts_agree(name):
    first, x = made(name, dtype=float)
    last = ALL[name][0](dtype=float, data_format=LAST)
    state = first.state_dict()
    for key in state:
        if "positions" in key:
            state[key] = np.moveaxis(state[key], 0, -1)
    last.load_state_dict(state)
    expected, got = first.eval()(x), last.eval()(np.moveaxis(x, 1, -1).copy())
    np.testing.assert_allclose(got, np.moveaxis(expected, 1, -1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_examples(family):
    check_documented(importlib.import_module(f"dsconv.models.{family}"))


@pytest.mark.parametrize("name", BLOCKS)
def test_twenty_steps(name):
    layer, x = made(name)
    check_learns(BLOCKS[name][0], layer, x.astype(np.float32))
