"""What the networks for sound, video, sensors and tokens promise: blocks written out, streams, arguments."""

import numpy as np
import pytest

from dsconv import models, nn, reference

from .networks import leaves, lively

LAST = "channels_last"
RGB = {"rgb": (3, 3, 2)}


# ---- written out in plain NumPy ------------------------------------------------------------------
def norm(x, layer):
    scale, shift = layer.affine()
    shape = -1, *(1,) * (x.ndim - 2)
    return x * scale.reshape(shape) + shift.reshape(shape)


def sample(*shape):
    return np.random.default_rng(0).standard_normal((2, *shape))


def test_temporal_block_written_out():
    """Padded at the front only, relu after the sum."""
    block = lively(
        models.TemporalBlock(4, 4, kernel_size=3, dilation=2, causal=True, dtype=float, rng=0)
    ).eval()
    x, body = sample(4, 11), block.sum.body
    padded = np.pad(x, ((0, 0), (0, 0), (4, 0)))
    y = reference.depthwise_conv1d(padded, body.depthwise.conv.weight, dilation=2)
    y = np.maximum(norm(y, body.depthwise.norm), 0)
    y = norm(reference.pointwise_conv1d(y, body.pointwise.conv.weight), body.pointwise.norm)
    np.testing.assert_allclose(block(x), np.maximum(x + y, 0), rtol=1e-11, atol=1e-12)


def test_spatiotemporal_block_written_out():
    words = {"kernel_size": (3, 5, 1), "stride": (1, 2, 1), "dtype": float, "rng": 0}
    block = lively(models.SpatiotemporalBlock(3, 5, **words)).eval()
    x = sample(3, 4, 6, 5)
    geometry = {"stride": (1, 2, 1), "padding": (1, 2, 0)}
    y = reference.depthwise_conv3d(x, block.depthwise.conv.weight, **geometry)
    y = np.maximum(norm(y, block.depthwise.norm), 0)
    y = np.maximum(norm(reference.pointwise_conv3d(y, block.pointwise.conv.weight), block.pointwise.norm), 0)
    np.testing.assert_allclose(block(x), y, rtol=1e-11, atol=1e-12)


def test_fusion_written_out():
    """Each sensor under its own kernel size and number of filters; only the last stage mixes them."""
    sensors = {"rgb": (3, 3, 2), "depth": (1, (5, 7), 4)}
    block = lively(models.SensorFusion(sensors, 6, dtype=float, rng=0)).eval()
    x, filtered = sample(4, 8, 9), []
    for part, chain, padding in zip((x[:, :3], x[:, 3:]), block.sensors, (1, (2, 3)), strict=True):
        y = reference.depthwise_conv2d(part, chain.conv.weight, padding=padding)
        filtered.append(np.maximum(norm(y, chain.norm), 0))
    assert [each.shape[1] for each in filtered] == [6, 4]
    y = reference.pointwise_conv2d(np.concatenate(filtered, axis=1), block.fuse.conv.weight)
    np.testing.assert_allclose(block(x), np.maximum(norm(y, block.fuse.norm), 0), rtol=1e-11, atol=1e-12)
    # before the fusion nothing of one sensor is in the other
    changed = x.copy()
    changed[:, 3] += 1
    before, after = block.sensors(x), block.sensors(changed)
    assert before[:, :6].tobytes() == after[:, :6].tobytes() and (before[:, 6:] != after[:, 6:]).any()


def standardised(x, layer):
    """Each position over its channels."""
    centred = x - x.mean(axis=1, keepdims=True)
    y = centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + layer.eps)
    return y * layer.weight[:, np.newaxis, np.newaxis] + layer.bias[:, np.newaxis, np.newaxis]


def channels_mixed(x, block):
    body = block.channels.body
    y = reference.pointwise_conv2d(
        standardised(x, body.norm), body.expand.weight, body.expand.bias, activation="gelu"
    )
    return x + reference.pointwise_conv2d(y, body.project.weight, body.project.bias)


def separable(x, layer):
    weights = layer.depthwise_weight, layer.pointwise_weight, None, layer.pointwise_bias
    return reference.separable_conv2d(x, *weights, padding=1)


def attended(x, layer):
    """Softmax of scaled products, with one head."""
    tokens = x.reshape(*x.shape[:2], -1).swapaxes(1, 2)
    queries, keys, values = np.split(tokens @ layer.in_weight.T + layer.in_bias, 3, axis=2)
    weights = np.exp(queries @ keys.swapaxes(1, 2) / np.sqrt(x.shape[1]))
    y = weights / weights.sum(axis=2, keepdims=True) @ values @ layer.out_weight.T + layer.out_bias
    return y.swapaxes(1, 2).reshape(x.shape)


def test_token_blocks_written_out():
    words = {"dtype": float, "rng": 0, "bn_eps": 1e-3}
    blocks = [
        models.TokenMixer(6, kernel_size=3, **words),
        models.AttentionBlock(6, **words),
        models.HybridBlock(6, kernel_size=3, attending=2, **words),
    ]
    mixer, attention, hybrid = map(lively, blocks)
    x = sample(6, 5, 4)
    y = x + separable(standardised(x, mixer.tokens.body.norm), mixer.tokens.body.mix)
    np.testing.assert_allclose(mixer(x), channels_mixed(y, mixer), rtol=1e-10, atol=1e-11)
    y = x + attended(standardised(x, attention.tokens.body.norm), attention.tokens.body.mix)
    np.testing.assert_allclose(attention(x), channels_mixed(y, attention), rtol=1e-10, atol=1e-11)
    normal, mix = standardised(x, hybrid.tokens.body.norm), hybrid.tokens.body.mix
    y = [separable(normal[:, :4], mix.groups.near), attended(normal[:, 4:], mix.groups.far)]
    y = x + reference.pointwise_conv2d(np.concatenate(y, axis=1), mix.fuse.weight, mix.fuse.bias)
    np.testing.assert_allclose(hybrid(x), channels_mixed(y, hybrid), rtol=1e-10, atol=1e-11)


# ---- streams -------------------------------------------------------------------------------------
@pytest.mark.parametrize("data_format", ["channels_first", LAST])
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 200])
def test_spotter_streams(size, folded, data_format):
    """The bits of one call, whatever the chunks."""
    net = lively(models.temporal_spotter(bands=6, width=0.3, depth=2, rng=0, data_format=data_format)).eval()
    net = net.fold() if folded else net
    axis = 2 if data_format == "channels_first" else 1
    x = np.random.default_rng(2).standard_normal((2, 6, 131) if axis == 2 else (2, 131, 6)).astype(np.float32)
    expected, stream = net(x), net.stream()
    assert expected.shape == ((2, 12, 66) if axis == 2 else (2, 66, 12))
    for _ in range(2):
        parts = [stream(part) for part in np.split(x, range(size, 131, size), axis=axis)]
        assert np.concatenate(parts, axis=axis).tobytes() == expected.tobytes()
        stream.reset()


def test_spotter_sees_no_future():
    net = lively(models.temporal_spotter(bands=3, width=0.2, dtype=float, rng=0)).eval()
    ((size, stride, start),) = net.receptive_field()
    assert (size, stride, start + size - 1) == (249, 2, 0)
    x = np.random.default_rng(0).standard_normal((1, 3, 300))
    y, pullback = net.vjp(x)
    dy = np.zeros_like(y)
    dy[..., 140] = 1
    reached = np.flatnonzero(np.abs(pullback(dy)[0]).sum(axis=(0, 1)))
    assert reached.min() == 2 * 140 + start and reached.max() <= 2 * 140
    changed = x.copy()
    changed[..., 281:] += 1
    assert net(changed)[..., :141].tobytes() == y[..., :141].tobytes()
    assert (net(changed)[..., 141:] != y[..., 141:]).any(axis=1).all()


def test_what_does_not_stream():
    with pytest.raises(ValueError, match="stream: Sequential.stem.sum.body.depthwise.conv .* cannot run"):
        models.music_tagger(width=0.1, bands=4).eval().stream()
    with pytest.raises(ValueError, match="call eval"):
        models.temporal_spotter(width=0.1).stream()


# ---- what the families promise -------------------------------------------------------------------
@pytest.mark.parametrize("variant, first, second", [("s", (25, 5), (25, 5)), ("m", (25, 10), (13, 5))])
def test_keyword_spotter_strides(variant, first, second):
    net = models.keyword_spotter(variant, width=0.1)
    shape = net.stem.output_shape((1, 1, 49, 10))
    assert shape[2:] == first
    assert net.stages[0][0].output_shape(shape)[2:] == net.stages.output_shape(shape)[2:] == second
    assert [len(models.keyword_spotter(each, width=0.1).stages[0]) for each in "sml"] == [4, 4, 5]


def test_fold_fuses_the_stages():
    """Depthwise and pointwise stages become one, but for the sensors' filters, which are apart."""
    kinds = [type(each).__name__ for each in leaves(models.keyword_spotter(width=0.1).fold())]
    assert kinds == ["Conv2d", *["SeparableConv2d"] * 4, "GlobalAveragePool", "Linear"]
    kinds = [type(each).__name__ for each in leaves(models.temporal_spotter(width=0.1).fold())]
    assert [each for each in kinds if each not in ("Activation", "Identity")] == [
        *["SeparableConv1d"] * 5,
        "PointwiseConv1d",
    ]
    kinds = [
        type(each).__name__ for each in leaves(models.SensorFusion(RGB | {"depth": (1, 5, 2)}, 4).fold())
    ]
    assert kinds == ["DepthwiseConv2d", "DepthwiseConv2d", "PointwiseConv2d"]


@pytest.mark.parametrize(
    "build",
    [models.keyword_spotter, models.temporal_spotter, models.music_tagger, models.video_classifier],
    ids=lambda build: build.__name__,
)
def test_standard_builds_are_the_twins(build):
    net, standard = build(width=0.1), build(width=0.1, separable=False)
    expected, got = (each.cost(net.input_shape) for each in (standard, nn.standard_twin(net)))
    assert (expected.macs, expected.params) == (got.macs, got.params)
    assert expected.macs > net.cost(net.input_shape).macs


def test_filters_of_each_band_are_apart():
    """Before the first pointwise layer a change in one band changes that band only."""
    stage = lively(models.temporal_spotter(bands=5, rng=0)).eval().stem.sum.body.depthwise
    x = sample(5, 40).astype(np.float32)
    changed = x.copy()
    changed[:, 2, 20] += 1
    assert np.flatnonzero((stage(x) != stage(changed)).any(axis=(0, 2))).tolist() == [2]


def test_separable_video_is_cheaper():
    """By 1/O + 1/27 for each block, as with 3x3x3 taps."""
    shape = 1, 64, 8, 14, 14
    ours, twin = (
        models.SpatiotemporalBlock(64, 128, separable=each).cost(shape).macs for each in (True, False)
    )
    assert ours / twin == pytest.approx(1 / 128 + 1 / 27, rel=1e-12)
    standard = models.video_classifier(separable=False, width=0.1)
    assert not any(isinstance(each, nn.DepthwiseConv3d) for each in leaves(standard))


def test_video_classifier_stages():
    """The maps of 16 frames of 112 x 112, with the strides that the authors published."""
    net = models.video_classifier()
    shape = net.stem.output_shape(net.input_shape)
    shapes = [shape]
    for stage in net.stages:
        shapes.append(shape := stage.output_shape(shape))
    expected = [(32, 16, 56, 56), (64, 8, 28, 28), (128, 4, 14, 14), (256, 2, 7, 7), (512, 1, 4, 4)]
    assert [each[1:] for each in shapes] == [*expected, (1024, 1, 4, 4)]
    assert [len(stage) for stage in net.stages] == [1, 2, 2, 6, 2]


def test_near_and_far():
    """A convolution reaches its kernel, attention everything, and cost follows."""
    mixer, attention = models.TokenMixer(4, kernel_size=5), models.AttentionBlock(4)
    assert mixer.receptive_field() == ((5, 1, -2),) * 2
    assert attention.receptive_field()[0][0] == models.HybridBlock(4).receptive_field()[0][0] == float("inf")
    small, large = (1, 4, 8, 8), (1, 4, 32, 32)
    growth = [block.tokens.cost(large).macs / block.tokens.cost(small).macs for block in (mixer, attention)]
    assert growth[0] == 16 and growth[1] > 100


@pytest.mark.parametrize("patch", [2, 3])
def test_patches_are_apart(patch):
    """A token sees its own patch, all of it, and nothing else."""
    layer = models.PatchEmbedding(1, 3, patch, dtype=float, rng=0)
    y, pullback = layer.vjp(sample(1, 4 * patch, 3 * patch))
    assert y.shape == (2, 3, 4, 3)
    dy = np.zeros_like(y)
    dy[0, 0, 1, 2] = 1
    _, _, rows, columns = np.nonzero(pullback(dy)[0])
    assert set(rows) == set(range(patch, 2 * patch)) and set(columns) == set(range(2 * patch, 3 * patch))
    assert len(rows) == patch**2


def test_attention_has_no_order():
    """Permuted tokens give permuted results; not so with a convolution, or with trained positions."""
    words = {"rank": 1, "data_format": LAST, "dtype": float, "rng": 0}
    x, order = np.random.default_rng(0).standard_normal((1, 9, 4)), np.random.default_rng(1).permutation(9)
    block = lively(models.AttentionBlock(4, **words))
    np.testing.assert_allclose(block(x[:, order]), block(x)[:, order], rtol=1e-12, atol=1e-13)
    for other in (
        models.TokenMixer(4, **words),
        nn.Sequential(models.PatchEmbedding(4, 4, 1, positions=9, **words), block),
    ):
        assert np.abs(other(x[:, order]) - other(x)[:, order]).max() > 1e-3


def test_masked_tokens_are_not_seen():
    block = lively(models.AttentionBlock(4, 2, rank=1, data_format=LAST, rng=0))
    x = np.random.default_rng(0).standard_normal((2, 6, 4)).astype(np.float32)
    mask = np.ones((2, 6), bool)
    mask[:, 4:] = False
    changed = x.copy()
    changed[:, 4:] += 1
    assert block(x, mask=mask)[:, :4].tobytes() == block(changed, mask=mask)[:, :4].tobytes()
    assert (block(x)[:, :4] != block(changed)[:, :4]).any()


def test_hybrid_vit_stages():
    net = models.hybrid_vit(width=0.1, head_size=4, depth=0.5, drop=0.4, num_classes=5)
    kinds = [[type(each).__name__ for each in stage.blocks] for stage in net.stages]
    assert kinds == [["TokenMixer"] * 2, ["TokenMixer"] * 2, ["HybridBlock"] * 5, ["AttentionBlock"] * 2]
    shape, sizes = net.input_shape, []
    for stage in net.stages:
        shape = stage.output_shape(shape)
        sizes.append(shape[2:])
    assert sizes == [(56, 56), (28, 28), (14, 14), (7, 7)]
    drops = [each.probability for each in leaves(net) if isinstance(each, nn.StochasticDepth)]
    assert sorted(drops) == drops and drops[-1] == pytest.approx(0.4 * 10 / 11)
    attention = [each for each in leaves(net) if isinstance(each, nn.SelfAttention)]
    assert {each.channels // each.heads for each in attention} == {2, 4}
    with pytest.raises(ValueError, match="PositionEmbedding was made for samples of shape"):
        models.hybrid_vit(("attention",), width=0.1, positions=True, resolution=16).output_shape(
            (1, 3, 32, 32)
        )


BUILDERS = [models.keyword_spotter, models.temporal_spotter, models.music_tagger, models.video_classifier]
BUILDERS += [models.fusion_segmenter, models.fusion_classifier, models.hybrid_vit]


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_compound_scaling_of_any_builder(build):
    depth, width, resolution = models.compound_scaling(2)
    small, large = build(), build(depth=depth, width=width, resolution=resolution)
    axis = 2 if build is models.keyword_spotter else -1
    assert large.input_shape[axis] == round(1.15**2 * small.input_shape[axis])
    assert len(large.parameters) > len(small.parameters)
    assert large.cost(large.input_shape).macs > 2 * small.cost(small.input_shape).macs
    assert small.output_shape(small.input_shape) is not None


# ---- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: models.keyword_spotter("xl"), "variant: expected one of s, m, l, got 'xl'"),
        (lambda: models.keyword_spotter(bands=0), "bands: must be at least 1, got 0"),
        (lambda: models.keyword_spotter(resolution=49.0), "resolution: an int is a size in pixels"),
        (lambda: models.temporal_spotter(width=0), "width: must be a finite number greater than 0"),
        (lambda: models.temporal_spotter(padding="causal"), "padding: expected one of half, same"),
        (lambda: models.music_tagger(num_classes=0), "num_classes: must be at least 1, got 0"),
        (lambda: models.TemporalBlock(4, 4, kernel_size=0), "kernel_size: must be at least 1, got 0"),
        (lambda: models.video_classifier(frames=0), "frames: must be at least 1, got 0"),
        (lambda: models.SpatiotemporalBlock(4, 4, kernel_size=(3, 3)), "kernel_size: .* 3 integers"),
        (lambda: models.SensorFusion({}, 4), "sensors: at least one is needed, got none"),
        (lambda: models.SensorFusion({"rgb": (3, 3)}, 4), r"sensors\['rgb'\]: expected \(channels, kernel"),
        (lambda: models.SensorFusion({"rgb": (0, 3, 1)}, 4), r"sensors\['rgb'\]\[0\]: must be at least 1"),
        (lambda: models.SensorFusion({"sizes": (3, 3, 1)}, 4), "sensors: 'sizes' cannot be a name"),
        (lambda: models.SensorFusion(RGB, 4, rank=4), "rank: expected 1, 2 or 3, got 4"),
        (lambda: models.SensorFusion(RGB, 4).output_shape((1, 4, 8, 8)), "Split needs 3 = 3 channels"),
        (lambda: models.AttentionBlock(4, 3), "heads: must divide channels = 4, got 3"),
        (lambda: models.TokenMixer(4, expand=0), "expand: must be a finite number greater than 0"),
        (lambda: models.TokenMixer(4, drop=1), "probability: must be finite and at least 0 and less than 1"),
        (lambda: models.HybridBlock(4, attending=4), "attending: must be less than channels = 4, got 4"),
        (lambda: models.PatchEmbedding(3, 4, 0), "patch: must be at least 1, got 0"),
        (lambda: models.hybrid_vit(("attention", "magic")), "mixers: expected 1 to 4 of convolution"),
        (lambda: models.hybrid_vit("attention"), "mixers: expected 1 to 4 of .*, got 'attention'"),
        (lambda: models.hybrid_vit(head_size=7), "head_size: must be even, got 7"),
    ],
)
def test_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: models.SensorFusion([(3, 3, 1)], 4),
            "sensors: expected a dict of names to sensors, got list",
        ),
        (lambda: models.SensorFusion({3: (3, 3, 1)}, 4), "sensors: expected names as keys, got 3"),
        (lambda: models.keyword_spotter(width="wide"), "width: expected a number, got str"),
        (lambda: models.hybrid_vit(colour="red"), "colour: unexpected keyword argument"),
    ],
)
def test_bad_types(call, message):
    with pytest.raises(TypeError, match=message):
        call()
