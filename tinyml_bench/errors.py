"""Errors that a user can act on: each says what was expected, what came, and what to do next."""

from __future__ import annotations


class TinymlError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(TinymlError):
    """A name, an option or a setting is wrong; the message lists what is known."""


class DataMissingError(TinymlError):
    """A dataset or a weights file is in none of the places that were tried."""


class DataIncompleteError(DataMissingError):
    """Some of a dataset is there and some is not: no case to leave out, but one to put right."""


class DataCorruptError(TinymlError):
    """A dataset's content is not what its hash says."""


class CheckpointError(TinymlError):
    """A checkpoint is missing, unreadable, or of another network."""


class CheckpointMissingError(CheckpointError):
    """There is no such checkpoint: nobody has trained it yet."""


class ModelFileError(TinymlError):
    """A ``.tflite`` file is not one, is truncated, or cannot be run here."""


class WorkloadError(TinymlError):
    """Code of a user's, that builds a model or gives samples, failed; the message says where."""


class BaselineError(TinymlError):
    """A baseline file cannot be read or written; the message names file and line."""


class CacheError(TinymlError):
    """The cache folder cannot be written; the message names the folder and the reason."""
