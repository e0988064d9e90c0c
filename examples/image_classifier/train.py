"""Train the network and write ``shapes.keras``: ``python train.py``, half a minute on two cores."""

from pathlib import Path

import keras
import shapes

PATH = Path(__file__).parent / "shapes.keras"


def build():
    """Return the network: raw pixels to the eight classes, 8,324 parameters."""
    return keras.Sequential(
        [
            keras.Input((shapes.SIDE, shapes.SIDE, 1)),
            # Preprocessing is part of the network, so that no deployed format is fed differently.
            keras.layers.Rescaling(1 / 255, name="scale"),
            *_stage("stage1", 12),
            *_stage("stage2", 24),
            *_stage("stage3", 24),
            keras.layers.GlobalAveragePooling2D(name="average"),
            keras.layers.Dense(len(shapes.CLASSES), activation="softmax", name="classes"),
        ],
        name="shapes",
    )


def _stage(name, filters):
    return [
        keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv"),
        keras.layers.BatchNormalization(name=f"{name}_norm"),
        keras.layers.ReLU(name=f"{name}_relu"),
        keras.layers.MaxPooling2D(name=f"{name}_pool"),
    ]


def main():
    """Train for 12 epochs and keep the epoch that is best on the validation images."""
    keras.utils.set_random_seed(0)
    model = build()
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, 12 * 94)
    model.compile(
        keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    best = keras.callbacks.ModelCheckpoint(
        PATH, monitor="val_accuracy", mode="max", save_best_only=True
    )
    model.fit(
        *shapes.make("train"),
        validation_data=shapes.make("validation"),
        batch_size=64,
        epochs=12,
        callbacks=[best],
        verbose=2,
    )
    # Without the optimizer's slots, which nothing needs that only runs the network.
    model = keras.models.load_model(PATH, compile=False)
    model.save(PATH)


if __name__ == "__main__":
    main()
