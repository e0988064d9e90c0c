"""What tinyml-bench is to know of this repository."""

import tinyml_bench

tinyml_bench.register(
    "keywords-cnn",
    model={"float32": "keywords_float32.tflite", "int8": "keywords_int8.tflite"},
    test="test.npz",
    class_names=("rising", "falling", "trill", "beeps", "noise"),
)
