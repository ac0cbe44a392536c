"""What tests of whole networks share."""

import doctest
import pickle

import numpy as np

from dsconv import models, nn, training


def lively(layer):
    """Scales, shifts and running statistics that are no longer 1 and 0."""
    rng = np.random.default_rng(7)
    for name, array in (layer.parameters | layer.buffers).items():
        if name.endswith("running_var") or (array.ndim == 1 and name.endswith("weight")):
            array[...] = rng.uniform(0.7, 1.3, array.shape)
        elif array.ndim == 1:
            array[...] = rng.normal(0, 0.3, array.shape)
    return layer


def leaves(layer):
    children = layer.children.values()
    return [each for child in children for each in leaves(child)] if children else [layer]


def drawing(layer):
    return {"rng": 0} if "rng" in layer.context_names else {}


def check_call(layer, x, result):
    """Shapes of result, gradients and running statistics, and the cost, of a call on a batch."""
    y, pullback = layer.vjp(x, **drawing(layer))
    assert y.shape == (len(x), *result) == layer.output_shape(x.shape)
    assert y.dtype == x.dtype
    assert np.isfinite(y).all() and y.std() > 0
    dx, grads = pullback(np.ones_like(y))
    assert dx.shape == x.shape and grads.keys() == layer.parameters.keys()
    assert all(grads[key].shape == array.shape for key, array in layer.parameters.items())
    assert pullback.buffers.keys() == layer.buffers.keys()
    assert layer.cost(x.shape).macs == len(x) * layer.cost((1, *x.shape[1:])).macs > 0
    assert layer.cost(x.shape).params == sum(array.size for array in layer.parameters.values())


def check_state(make, layer, x):
    """Loading one's own state, or another's, gives the same bits; so does a copy."""
    y, state = layer(x), layer.state_dict()
    other = make(rng=4).eval()
    assert (other(x) != y).any()
    assert other.load_state_dict(state)(x).tobytes() == y.tobytes()
    assert layer.load_state_dict(layer.state_dict())(x).tobytes() == y.tobytes()
    copy = pickle.loads(pickle.dumps(layer))
    assert copy(x).tobytes() == y.tobytes() and repr(copy) == repr(layer)
    for key, array in make(rng=3).state_dict().items():
        assert array.ndim == 1 or array.tobytes() == state[key].tobytes()


def check_fold(layer, x, norms=0):
    """It changes results by rounding only, leaves the layer as it was, and so many norms in the new one."""
    before = layer.state_dict()
    folded = layer.fold()
    expected = layer(x)
    np.testing.assert_allclose(folded(x), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
    assert all(before[key].tobytes() == array.tobytes() for key, array in layer.state_dict().items())
    assert len([each for each in leaves(folded) if isinstance(each, nn.BatchNorm)]) == norms
    assert folded.cost(x.shape).macs == layer.cost(x.shape).macs
    return folded


def check_learns(make, layer, x):
    """20 steps bring a block near another one of its kind, whose results it is shown."""
    target = lively(make(rng=5))(x, **drawing(layer))
    optimizer, losses = training.Adam(layer, 0.05), []
    for _ in range(20):
        y, pullback = layer.vjp(x, **drawing(layer))
        loss, gradient = training.mean_squared_error(y, target)
        losses.append(loss)
        optimizer.step(pullback(gradient)[1])
    assert losses[-1] < 0.6 * losses[0]


def check_documented(module):
    """The examples of a module run, and all of its names have the sections of a public docstring."""
    result = doctest.testmod(module)
    assert result.failed == 0 < result.attempted
    for name in module.__all__:
        documented = getattr(models, name).__doc__
        for section in "Parameters", "Raises", "References", "Examples":
            assert f"\n    {section}\n    {'-' * len(section)}\n" in documented, (name, section)
