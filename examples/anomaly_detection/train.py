"""Train the autoencoder and write ``autoencoder.keras``: ``python train.py``, half a minute."""

from pathlib import Path

import keras
import motor

PATH = Path(__file__).parent / "autoencoder.keras"
EPOCHS, BATCH = 40, 64


def build():
    """Return the network: a window to the window that it should be, 9,048 parameters."""
    dense = keras.layers.Dense
    return keras.Sequential(
        [
            keras.Input((motor.WINDOW,), name="window"),
            dense(48, activation="relu", name="encode1"),
            dense(24, activation="relu", name="encode2"),
            # Four tones, each with a strength and a phase: eight numbers are what a window holds.
            dense(8, name="bottleneck"),
            dense(24, activation="relu", name="decode1"),
            dense(48, activation="relu", name="decode2"),
            dense(motor.WINDOW, name="output"),
        ],
        name="autoencoder",
    )


def main():
    """Train on healthy windows alone; keep the epoch that restores other healthy ones best."""
    keras.utils.set_random_seed(0)
    windows, _ = motor.make("train")
    others, defect = motor.make("validation")
    healthy = others[defect == 0]
    model = build()
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * -(-len(windows) // BATCH))
    model.compile(keras.optimizers.Adam(schedule), "mse")
    best = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=EPOCHS, restore_best_weights=True
    )
    model.fit(
        windows,
        windows,
        validation_data=(healthy, healthy),
        batch_size=BATCH,
        epochs=EPOCHS,
        callbacks=[best],
        verbose=2,
    )
    # A new copy, without the optimizer's slots, which nothing needs that only runs the network.
    bare = build()
    bare.set_weights(model.get_weights())
    bare.save(PATH)


if __name__ == "__main__":
    main()
