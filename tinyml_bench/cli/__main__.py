"""``python -m tinyml_bench.cli``."""

import sys

from tinyml_bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
