"""What tinyml-bench is to know of this repository."""

import shapes

import tinyml_bench

tinyml_bench.register(
    "shapes-cnn",
    model="shapes.keras",
    test=lambda: shapes.make("test"),
    train=lambda: shapes.make("train"),
    class_names=shapes.CLASSES,
    variants=("tf", "float32", "optimize_for_size", "int8"),
)
