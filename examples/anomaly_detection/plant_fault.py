"""Plant a fault, to see what a failure looks like; run it again to take the fault back.

The windows that calibrate the int8 file come from another firmware, which gives m/s2 where the
network expects g. Every range is ten times too wide: nothing crashes, nothing looks broken, and the
network tells healthy motors from broken ones with a tenth of its resolution.
"""

from pathlib import Path

PATH = Path(__file__).parent / "conftest.py"
RIGHT = 'train=lambda: motor.make("train")[0],'
WRONG = 'train=lambda: motor.make("train")[0] * 9.81,'


def main():
    """Put one line of ``conftest.py`` in the place of the other."""
    text = PATH.read_text(encoding="utf-8")
    old, new = (RIGHT, WRONG) if RIGHT in text else (WRONG, RIGHT)
    if old not in text:
        raise SystemExit(f"{PATH.name} has neither line: {RIGHT}")
    PATH.write_text(text.replace(old, new), encoding="utf-8")
    print(f"conftest.py now says: {new}")


if __name__ == "__main__":
    main()
