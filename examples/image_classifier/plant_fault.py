"""Plant a fault, to see what a failure looks like; run it again to take the fault back.

Somebody scales the images to [0, 1] before they calibrate the int8 file, as many tutorials do. But
this network scales its pixels itself: the converter sees nothing but black, and takes the range of
every activation from that.
"""

from pathlib import Path

PATH = Path(__file__).parent / "conftest.py"
RIGHT = 'train=lambda: shapes.make("train"),'
WRONG = 'train=lambda: (shapes.make("train")[0] / 255, shapes.make("train")[1]),'


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
