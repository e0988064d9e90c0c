"""What tinyml-bench is to know of this repository."""

import motor

import tinyml_bench

tinyml_bench.register(
    "motor-autoencoder",
    model="autoencoder.keras",
    test=lambda: motor.make("test"),
    train=lambda: motor.make("train")[0],  # all are healthy, so there are no classes
    metrics=("anomaly_auc", "mse"),
    variants=("tf", "float32", "int8"),
)
