"""Networks in and out of files of other libraries.

`load_onnx` and `save_onnx` need the extra ``onnx``.
"""

from .onnx_interface import load_onnx, save_onnx

__all__ = ["load_onnx", "save_onnx"]
