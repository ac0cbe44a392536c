"""The measured workloads as data."""

from .families import FAMILIES
from .row import depthwise, separable, transposed

FORWARD = (
    separable("separable 2D 112x112, 32->64, k3", 32, 64, (112, 112), 3),
    separable("separable 2D 56x56, 128->128, k3", 128, 128, (56, 56), 3),
    separable("separable 2D 28x28, 256->256, k3", 256, 256, (28, 28), 3),
    separable("separable 2D 14x14, 512->512, k3", 512, 512, (14, 14), 3),
    separable("separable 2D 7x7, 1024->1024, k3", 1024, 1024, (7, 7), 3),
    depthwise("depthwise 2D 112x112x32, k3", 32, (112, 112), 3),
    depthwise("depthwise 2D 112x112x96, k3, stride 2", 96, (112, 112), 3, stride=2),
    depthwise("depthwise 2D 14x14x512, k3", 512, (14, 14), 3),
    depthwise("depthwise 2D 28x28x240, k5", 240, (28, 28), 5),
    depthwise("depthwise 2D 56x56x96, k7", 96, (56, 56), 7),
    depthwise("depthwise 2D 56x56x64, k31", 64, (56, 56), 31),
    separable("atrous separable 2D 65x65, 256->256, k3, rate 6", 256, 256, (65, 65), 3, dilation=6),
    depthwise("atrous depthwise 2D 65x65x256, k3, rate 12", 256, (65, 65), 3, dilation=12),
    transposed("transposed separable 2D 32x32, 64->64, k4, stride 2", 64, (32, 32), 4, 2, 1, out_channels=64),
    transposed("transposed depthwise 2D 64x64x64, k4, stride 2", 64, (64, 64), 4, 2, 1),
    depthwise("depthwise 1D 40 bands x 98 frames, k9", 40, (98,), 9),
    separable("separable 1D 64 x 16000, 64->64, k9", 64, 64, (16000,), 9),
    depthwise("depthwise 1D 512 x 1000, k31", 512, (1000,), 31),
    depthwise("depthwise 3D 64 x 16x56x56, k3", 64, (16, 56, 56), 3),
    separable("separable 3D 32->64, 16x56x56, k3", 32, 64, (16, 56, 56), 3),
    transposed("transposed depthwise 3D 32 x 8x28x28, k4, stride 2", 32, (8, 28, 28), 4, 2, 1),
    separable("float64 separable 2D 28x28, 256->256, k3", 256, 256, (28, 28), 3, dtype="float64"),
    depthwise("float64 depthwise 2D 112x112x32, k3", 32, (112, 112), 3, dtype="float64"),
    depthwise("float64 depthwise 3D 32 x 16x56x56, k3", 32, (16, 56, 56), 3, dtype="float64"),
)

TASKS = {"forward": "forward", "input_grad": "input gradient", "weight_grad": "weight gradient"}


def _training(name, *arguments, **options):
    return tuple(
        depthwise(f"training {name}: {words}", *arguments, task=task, training=True, **options)
        for task, words in TASKS.items()
    )


TRAINING = (
    *_training("2D 8x128x56x56, k3", 128, (56, 56), 3, batch=8),
    *_training("2D 8x512x14x14, k5", 512, (14, 14), 5, batch=8),
    *_training("1D 8x256x1000, k15", 256, (1000,), 15, batch=8),
    *_training("3D 2x32x8x28x28, k3", 32, (8, 28, 28), 3, batch=2),
    *_training("float64 2D 4x64x28x28, k3", 64, (28, 28), 3, batch=4, dtype="float64"),
    *_training("2D 2x256x33x33, k3, rate 6", 256, (33, 33), 3, batch=2, dilation=6),
)

TINY = (depthwise("tiny depthwise 2D 8x8x8, k3", 8, (8, 8), 3),)

SUITES = {
    "forward": FORWARD,
    "training": TRAINING,
    "tiny": TINY,
    "families": FAMILIES,
    "all": FORWARD + TRAINING + TINY + FAMILIES,
}
