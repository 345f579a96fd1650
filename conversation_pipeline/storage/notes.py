"""Small notes that outlive a run, in the staging area: which work an org was asked to do, and how to find it again."""

from __future__ import annotations

import json
from typing import Any

from conversation_pipeline.storage.staging import encode
from conversation_pipeline.storage.store import Store


class Notes:
    """
    JSON objects by name below one URL, each put in place as one act; for their owner only.

    A note holds ``started_at``, so that sweeping the staging area removes it when its time has come.

    Args:
        url: The staging area's.
        folder: Keeps notes of one kind together.
    """

    def __init__(self, url: str, folder: str) -> None:
        self._store = Store(url, private=True)
        self._folder = folder

    def write(self, name: str, note: dict[str, Any]) -> None:
        with self._store.draft(self._file(name)) as draft:
            draft.path.write_text(json.dumps(note))
            draft.sync()
            draft.publish()

    def read(self, name: str) -> dict[str, Any] | None:
        """The note; ``None`` where there is none, or one that cannot be read."""
        return self._read(self._file(name))

    def remove(self, name: str) -> None:
        """Remove a note; it may be gone already."""
        self._store.delete(self._file(name))

    def all(self) -> dict[str, dict[str, Any]]:
        """Every note by its file's name, which ``read`` and ``remove`` take too."""
        found = {name: self._read(name) for name in self._store.names(self._folder)}
        return {_plain(name): note for name, note in found.items() if note is not None}

    def _read(self, file: str) -> dict[str, Any] | None:
        try:
            with self._store.open(file) as opened:
                note = json.loads(opened.read())
        except (FileNotFoundError, ValueError):
            return None
        return note if isinstance(note, dict) else None

    def _file(self, name: str) -> str:
        return f"{self._folder}/{encode(name)}.json"


def _plain(file: str) -> str:
    return file.rpartition("/")[2].removesuffix(".json")
