"""Making, reading and running ``.tflite`` files."""
