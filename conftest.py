"""What every test of this repository may use; the suite's own fixtures come with the package."""

pytest_plugins = ["pytester"]
