"""What can go wrong in storage. Each message says which dataset, partition or file, and what to do next."""

from __future__ import annotations


class StorageError(Exception):
    """A file of ours could not be read or written as promised."""


class PublishError(StorageError):
    """A partition was not published; the one that was there before, if any, still is."""


class Overtaken(PublishError):
    """The rows were made of a file that another run has replaced meanwhile."""


class StagingError(StorageError):
    """A staged record cannot be used."""


class WarehouseError(StorageError):
    """The warehouse was not replaced; the one that was there before, if any, still is."""
