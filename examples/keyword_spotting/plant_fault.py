"""Plant a fault, to see what a failure looks like; run it again to take the fault back.

The tool that writes the int8 file stores one layer's weights as uint8, 128 too high, and the file
still says int8: the highest bit of each weight is inverted. The file has the same size, loads, and
runs without a word.
"""

from pathlib import Path

import numpy as np
import tflite

PATH = Path(__file__).parent / "keywords_int8.tflite"
LAYER = "block2_pointwise"


def main():
    """Invert the highest bit of the weights of one layer."""
    content = bytearray(PATH.read_bytes())
    weights = find_weights(tflite.Model.GetRootAsModel(content, 0))
    weights ^= 0x80
    PATH.write_bytes(content)
    print(f"{PATH.name}: {weights.size} weights of {LAYER} are others now")


def find_weights(model):
    """Return the bytes of the layer's weights in the file itself, ``(n,) uint8``."""
    graph = model.Subgraphs(0)
    for tensor in map(graph.Tensors, range(graph.TensorsLength())):
        buffer = model.Buffers(tensor.Buffer())
        if LAYER in tensor.Name().decode() and tensor.ShapeLength() == 4 and buffer.DataLength():
            return np.asarray(buffer.DataAsNumpy())
    raise SystemExit(f"{PATH.name} has no weights of {LAYER}")


if __name__ == "__main__":
    main()
