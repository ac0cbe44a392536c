"""XNNPACK, through the LiteRT interpreter."""

from ai_edge_litert.interpreter import Interpreter

from ..arrays import Contender, Unsupported, channels_first, channels_last
from ._tflite import build_model

DISTRIBUTION = "ai-edge-litert"


def prepare(row, arrays, threads):
    reason = _unsupported(row)
    if reason:
        raise Unsupported(reason)
    interpreter = Interpreter(model_content=build_model(row, arrays), num_threads=threads)
    interpreter.allocate_tensors()
    if "DELEGATE" not in {op["op_name"] for op in interpreter._get_ops_details()}:
        raise Unsupported("the interpreter did not hand the model to XNNPACK")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], channels_last(arrays.x))
    output = interpreter.get_output_details()[0]["index"]

    def result():
        interpreter.invoke()
        return channels_first(interpreter.get_tensor(output))

    return [Contender("litert", interpreter.invoke, result)]


def _unsupported(row):
    if row.training:
        return "inference only"
    if row.dtype != "float32":
        return "float32 only"
    if row.rank != 2:
        return "2D only"
    if row.transposed:
        return "no grouped transposed convolution"
    return None
