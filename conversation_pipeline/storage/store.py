"""
Files below one URL, put in place as one act: a rename on a disk, one PUT on an object store.

A reader sees the old file or the new one, never half of one and never none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs

from conversation_pipeline.storage.errors import StorageError

DRAFT_SUFFIX = ".tmp"
"""Ends the name of every unfinished file, so that no glob for ``*.parquet`` or ``*.zst`` ever meets one."""

STALE_AFTER = timedelta(days=1)
"""A draft untouched for so long was left by a process that was killed; a live writer's is never this old."""


@dataclass(frozen=True)
class Draft:
    """
    A file that nobody sees until it is published.

    Attributes:
        path: Where to write it, on a local disk; for a local store in the folder of its final place.
    """

    path: Path
    _store: Store
    _name: str

    @property
    def scratch(self) -> Path:
        """
        A folder beside the draft for whoever needs room on the disk; not made yet, removed with the draft.
        """
        return self.path.with_name(f"{self.path.name}{DRAFT_SUFFIX}")

    def sync(self) -> None:
        """
        Have the disk keep what was written, so that a power cut after ``publish`` cannot empty the file.
        """
        sync(self.path)

    def publish(self) -> None:
        """Put the file in its place as one act, over what was there."""
        self._store._publish(self.path, self._name)


class Store:
    """
    Files by name below one URL.

    Args:
        url: A local path, or a URL that ``pyarrow.fs`` knows: ``file://``, ``s3://``, ``gs://``, ``abfs://``;
            and ``az://container/path``, whose storage account is read from ``AZURE_STORAGE_ACCOUNT``.
        private: Files and folders are for their owner only (modes 0600 and 0700).
    """

    def __init__(self, url: str, *, private: bool = False) -> None:
        self._scheme, self._fs, self._root = _resolve(url)
        self._private = private

    @property
    def local(self) -> bool:
        return isinstance(self._fs, pafs.LocalFileSystem)

    @property
    def filesystem(self) -> pafs.FileSystem:
        return self._fs

    def path(self, name: str) -> str:
        """The file's path as ``filesystem`` takes it."""
        return f"{self._root}/{name}" if name else self._root

    def uri(self, name: str) -> str:
        """
        The file's address for people and readers: a plain path on a disk, else a URL. Never with credentials.
        """
        return self.path(name) if self.local else f"{self._scheme}://{self.path(name)}"

    def info(self, name: str) -> pafs.FileInfo | None:
        """Size and time of a file, or ``None`` where there is none."""
        info = self._fs.get_file_info(self.path(name))
        return info if info.type == pafs.FileType.File else None

    def open(self, name: str) -> pa.NativeFile:
        """The file for reading, at random places. Raises ``FileNotFoundError``."""
        return self._fs.open_input_file(self.path(name))

    def names(self, folder: str) -> list[str]:
        """
        Names of all finished files in a folder and those below it, sorted; none where there is no folder.
        """
        return sorted(self.written(folder))

    def written(self, folder: str) -> dict[str, datetime]:
        """When each of these files was written, by the clock of the disk or store (UTC). Opens no file."""
        selector = pafs.FileSelector(self.path(folder), recursive=True, allow_not_found=True)
        files = [info for info in self._fs.get_file_info(selector) if info.type == pafs.FileType.File]
        times = {info.path.removeprefix(f"{self._root}/"): info.mtime for info in files}
        return {name: time for name, time in times.items() if "/." not in name}

    def lock(self, name: str) -> Path:
        """The file by which processes of this machine wait for each other; hidden, beside what it is about."""
        if self.local:
            self._make_folder(Path(self._root))
            return Path(self._root) / f".{name}.lock"
        folder = Path(tempfile.gettempdir()) / "conversation-pipeline-locks"
        folder.mkdir(exist_ok=True)
        return folder / hashlib.sha256(self.uri(name).encode()).hexdigest()[:32]

    def delete(self, name: str) -> None:
        """Remove a file; it may be gone already."""
        try:
            self._fs.delete_file(self.path(name))
        except FileNotFoundError:
            return

    @contextmanager
    def draft(self, name: str) -> Iterator[Draft]:
        """A new draft of the file ``name``; gone at the end of the block unless it was published."""
        if self.local:
            final = Path(self.path(name))
            self._make_folder(final.parent)
            path = final.parent / f".{uuid4().hex}{DRAFT_SUFFIX}"
            draft = Draft(path, self, name)
            try:
                if self._private:
                    path.touch(mode=0o600)
                yield draft
            finally:
                _remove(draft.path)
                _remove(draft.scratch)
        else:
            with tempfile.TemporaryDirectory(prefix="conversation-pipeline-") as folder:
                yield Draft(Path(folder) / "draft", self, name)

    def sweep(self, folder: str, now: datetime, age: timedelta = STALE_AFTER) -> int:
        """Remove drafts in a folder and below it that nobody has written to for ``age``; returns how many."""
        if not self.local:
            return 0
        drafts = Path(self.path(folder)).rglob(f".*{DRAFT_SUFFIX}")
        stale = [draft for draft in drafts if _modified(draft) < now - age]
        for draft in stale:
            _remove(draft)
        return len(stale)

    def _publish(self, draft: Path, name: str) -> None:
        if self.local:
            final = Path(self.path(name))
            draft.replace(final)
            sync(final.parent)
        else:
            self._upload(draft, name)

    def _upload(self, draft: Path, name: str) -> None:
        """
        One write, so that the store sees one PUT or one completed multipart upload.

        Some stores answer 200 and put the error in the body (storage-and-performance 3.3), hence the second
        look.
        """
        # Arrow would compress a ``.zst`` once more, by its name.
        with (
            pa.memory_map(str(draft)) as source,
            self._fs.open_output_stream(self.path(name), compression=None) as target,
        ):
            size = source.size()
            target.write(source.read_buffer())
        info = self.info(name)
        if info is None or info.size != size:
            raise StorageError(f"{self.uri(name)} is not the {size} bytes that were sent; run it again")

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            new.mkdir(mode=0o700 if self._private else 0o777, exist_ok=True)
            sync(new.parent)


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a draft or its folder of scratch files; either may be gone already."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _modified(path: Path) -> datetime:
    """When a file was last written to; just now, if it has gone meanwhile."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.now(UTC)


def _resolve(url: str) -> tuple[str, pafs.FileSystem, str]:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "file", pafs.LocalFileSystem(), str(Path(url).expanduser().absolute())
    if scheme == "az":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT")
        if not account:
            raise StorageError("an az:// URL needs the setting AZURE_STORAGE_ACCOUNT: the name of the storage account")
        url = f"abfs://{account}@{rest}"
    try:
        filesystem, root = pafs.FileSystem.from_uri(url)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Arrow's own words would repeat the URL, and a URL may hold a key.
        raise StorageError(
            f"a storage URL that begins with {scheme}:// cannot be opened; "
            "give a local path, s3://bucket/path, gs://bucket/path or az://container/path"
        ) from None
    return scheme, filesystem, root.rstrip("/")
