"""Train the network and write both ``.tflite`` files: ``python train.py``, under a minute.

Only this script needs TensorFlow (``python -m pip install "tinyml-bench[tf]"``). Where the files
come from somebody else, from a supplier or from PyTorch, there is no such script.
"""

from pathlib import Path

import front_end
import keras
import numpy as np
import sounds
import tensorflow as tf

HERE = Path(__file__).parent
EPOCHS, BATCH = 15, 64


def build():
    """Return the network: frames by bands to the five classes, about 6,000 parameters."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((front_end.FRAMES, front_end.BANDS, 1), name="features"),
            layers.Rescaling(1 / 64, -2.0, name="scale"),
            layers.Conv2D(24, (5, 4), strides=2, padding="same", use_bias=False, name="stem_conv"),
            layers.BatchNormalization(name="stem_norm"),
            layers.ReLU(name="stem_relu"),
            *_separable("block1", 32),
            *_separable("block2", 48),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(len(sounds.CLASSES), activation="softmax", name="classes"),
        ],
        name="keywords",
    )


def _separable(name, filters):
    layers = keras.layers
    return [
        layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise"),
        layers.BatchNormalization(name=f"{name}_depthwise_norm"),
        layers.ReLU(name=f"{name}_depthwise_relu"),
        layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise"),
        layers.BatchNormalization(name=f"{name}_pointwise_norm"),
        layers.ReLU(name=f"{name}_pointwise_relu"),
    ]


def train():
    """Return the trained network, at the epoch that is best on the validation sounds."""
    keras.utils.set_random_seed(0)
    (x, y), validation = (_examples(split) for split in ("train", "validation"))
    model = build()
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * -(-len(x) // BATCH))
    model.compile(
        keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    best = keras.callbacks.EarlyStopping(
        monitor="val_accuracy", mode="max", patience=EPOCHS, restore_best_weights=True
    )
    model.fit(
        x,
        y,
        validation_data=validation,
        batch_size=BATCH,
        epochs=EPOCHS,
        callbacks=[best],
        verbose=2,
    )
    return model


def convert(model, calibration=None):
    """Return the bytes of a ``.tflite`` file: float, or all int8 where `calibration` is given."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[np.newaxis]] for x in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def _examples(split):
    waves, labels = sounds.make(split)
    return front_end.features(waves).astype(np.float32), labels


def main():
    """Write the files."""
    model = train()
    calibration = _examples("train")[0][:200]
    (HERE / "keywords_float32.tflite").write_bytes(convert(model))
    (HERE / "keywords_int8.tflite").write_bytes(convert(model, calibration))


if __name__ == "__main__":
    main()
