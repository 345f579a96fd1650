"""
One store of quotas for all processes: whoever wants to send a request takes a lease first.

A service counts a request when it arrives, somewhere between the send and the answer. So a place is free again one
window after the *answer*, not after the send: for each request taken <= sent <= arrived <= answered. Suppose
limit + 1 requests arrived within one window, and look at the one whose place was granted last: at that moment one of
the others had been answered at least a window before, so it had arrived at least a window earlier, which contradicts
"within one window". That holds however long the network takes, and for sliding and fixed windows alike.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import re
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from conversation_pipeline.salesforce.limits import Limit

log = logging.getLogger(__name__)

Result = TypeVar("Result")

LONGEST_LOOK = 0.25
"""Seconds between two looks of a waiting process at most: another process may have freed a place or lifted a pause."""

LATE_ARRIVAL = 2.0
"""Seconds after which a request that the client gave up can no longer reach the service."""

BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process's transaction, which takes well below a millisecond unless that process hangs."""


class QuotaStoreError(ValueError):
    """The quota store that is set cannot be used; the message says why and what to set instead."""


class QuotaTimeout(TimeoutError):
    """
    No alternative had a place before the patience ran out.

    `key` is the key that would have been free soonest, `waited` the seconds spent, `retry_after` the seconds until
    that key may have a place (a lower bound).
    """

    def __init__(self, message: str, *, key: str, waited: float, retry_after: float) -> None:
        super().__init__(message)
        self.key = key
        self.waited = waited
        self.retry_after = retry_after


@dataclass(frozen=True)
class Claim:
    """
    One place under `key`, as `limit` counts it.

    `key` names who is counted and by what, e.g. "00Dxx0000001gER/005xx000001Sv6A/conversation_data": programs that
    share an execution user must use the same key, and one key always has one limit. With a `name` the limit counts
    distinct names: a name that is already held costs no new place, and stays held a window longer with each touch.
    """

    key: str
    limit: Limit
    name: str | None = None


@dataclass(frozen=True)
class Usage:
    """
    How full a key is now: places `held`, requests `in_flight`, seconds the key still rests (0 if it does not), and
    seconds until the first held place is free at the latest (None if none is held).
    """

    key: str
    held: int
    in_flight: int
    paused_seconds: float
    next_free_seconds: float | None


class Lease:
    """
    Permission to send one request; tell it how the request ended.

    `index` says which alternative was granted, `waited` how many seconds that took. Leaving the `with` block without
    a word means that the request was given up.
    """

    def __init__(self, *, index: int, waited: float, settle: Callable[[float], None]) -> None:
        self.index = index
        self.waited = waited
        self._settle = settle
        self._settled = False

    def answered(self) -> None:
        """The answer's headers are in, so the service has counted: the places are free one window from now."""
        self._settle_once(0.0)

    def gave_up(self) -> None:
        """No answer came; the request may still arrive, so the places are free one window and 2 s from now."""
        self._settle_once(LATE_ARRIVAL)

    def _settle_once(self, late: float) -> None:
        if not self._settled:
            self._settled = True
            self._settle(late)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gave_up()


class QuotaStore(Protocol):
    """What every backend does; processes that open the same store share its quotas."""

    def take(self, alternatives: Sequence[Sequence[Claim]], *, patience: float | None = None) -> Lease:
        """
        Wait until all claims of one alternative can be granted together, and grant them.

        Of several alternatives that fit, the one with the most room left is granted; if none fits, whichever is free
        first. `patience` is in seconds, None waits for ever. Raises QuotaTimeout when it runs out.
        """
        ...

    def pause(self, key: str, seconds: float) -> None:
        """Let every process rest on `key` for `seconds` from now; a longer pause that is already set stays."""
        ...

    def usage(self, key: str) -> Usage:
        """How full `key` is now."""
        ...

    def close(self) -> None:
        """Close what this process has open; leases that are out stay held, and can still be answered."""
        ...


def open_quota_store(url: str) -> QuotaStore:
    """
    The quota store that `url` names: `sqlite:///relative`, `sqlite:////absolute` or a plain path.

    Raises QuotaStoreError for a backend that does not exist or a path that cannot be shared safely.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return SqliteQuotaStore(url)
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return SqliteQuotaStore(rest[1:])
    raise QuotaStoreError(
        f"There is no quota store for {scheme}:// addresses of this form. Use sqlite:///path/to/quotas.db or a plain"
        " path on a local disk: SQLite is the only backend now, and serves all processes of one machine."
    )


_SCHEMA = """
CREATE TABLE IF NOT EXISTS clock (id TEXT NOT NULL, rebuilt_at REAL);
CREATE TABLE IF NOT EXISTS pause (key TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (
    key TEXT NOT NULL, slot TEXT NOT NULL, id TEXT NOT NULL, free_at REAL NOT NULL,
    in_flight_until REAL NOT NULL, pid INTEGER NOT NULL, PRIMARY KEY (key, slot, id)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class _Room:
    """What the store knows of one key at one instant; times are on the store's clock."""

    held: int
    in_flight: int
    first_free: float | None
    paused_until: float


@dataclass(frozen=True)
class _Row:
    """A claim that was granted: one row of the table, for each touch of a name one of its own."""

    claim: Claim
    id: str

    @property
    def slot(self) -> str:
        return self.id if self.claim.name is None else self.claim.name


@dataclass(frozen=True)
class _Refusal:
    """Why an alternative does not fit now: the claim that is in the way longest, and until when at least."""

    claim: Claim
    until: float


@dataclass(frozen=True)
class _Grant:
    index: int
    rows: tuple[_Row, ...]


class _Connection:
    """The one connection of a process, and which file it really has open."""

    def __init__(self, path: Path) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.path = path
        self.db: sqlite3.Connection | None = None
        self.inode: int | None = None


class SqliteQuotaStore:
    """
    The quotas of one machine in one SQLite file.

    `longest_request` is the most seconds that may pass between taking a lease and the answer's headers: a process that
    dies leaves its place held for that and one window, the safe side. `clock`, `clock_id` and `sleep` replace the
    machine's. The clock counts from the machine's start, and the id of that start is kept in the file: after a restart
    all places are taken for one window.

    A process has one connection, used by its threads in turn: threads that wait for each other in Python do so without
    the sleeps of SQLite's busy handler. A forked process opens its own.

    Raises QuotaStoreError when the file cannot be used: a network file system, a folder that cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        longest_request: float = 90.0,
        clock: Callable[[], float] | None = None,
        clock_id: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        mounts: str | os.PathLike[str] = "/proc/mounts",
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self._longest_request = longest_request
        self._sleep = sleep
        boot = _boot_id()
        self._clock_id = clock_id or boot or "wall"
        # Where the start of the machine has no name the wall clock is the only one that survives a restart.
        self._clock = clock or (time.monotonic if boot else time.time)
        self._refuse_network_file_system(Path(mounts))
        self._connection = _Connection(self.path)
        self._transact(lambda db, now: None)

    def take(self, alternatives: Sequence[Sequence[Claim]], *, patience: float | None = None) -> Lease:
        """See QuotaStore.take."""
        if not alternatives:
            raise ValueError("take() needs at least one alternative: a sequence of claims, which may be empty")
        started = self._clock()
        while True:
            seen = self._transact(lambda db, now: (self._look(db, now, alternatives), now))
            outcome, now = seen
            waited = max(0.0, now - started)
            if isinstance(outcome, _Grant):
                rows = outcome.rows
                return Lease(index=outcome.index, waited=waited, settle=lambda late: self._settle(rows, late))
            if patience is not None and waited >= patience:
                raise self._timeout(outcome, now, waited)
            pause = min(max(outcome.until - now, 0.0), LONGEST_LOOK)
            if patience is not None:
                pause = min(pause, patience - waited)
            # The jitter keeps a crowd of waiters from looking at the same instant for ever.
            self._sleep(pause + random.uniform(0.0005, 0.002))

    def pause(self, key: str, seconds: float) -> None:
        """See QuotaStore.pause."""
        self._transact(
            lambda db, now: db.execute(
                "INSERT INTO pause VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)",
                (key, now + seconds),
            )
        )

    def usage(self, key: str) -> Usage:
        """See QuotaStore.usage."""

        def read(db: sqlite3.Connection, now: float) -> Usage:
            room = _room(db, key, now)
            return Usage(
                key=key,
                held=room.held,
                in_flight=room.in_flight,
                paused_seconds=max(0.0, room.paused_until - now),
                next_free_seconds=None if room.first_free is None else room.first_free - now,
            )

        return self._transact(read)

    def keys(self) -> list[str]:
        """Every key that has a place held or rests now, sorted."""
        return self._transact(
            lambda db, now: [
                key
                for (key,) in db.execute(
                    "SELECT key FROM lease WHERE free_at > ?1 UNION SELECT key FROM pause WHERE until > ?1 ORDER BY key",
                    (now,),
                )
            ]
        )

    def close(self) -> None:
        """See QuotaStore.close."""
        connection = self._connection
        if connection.pid != os.getpid():
            return
        with connection.lock:
            _disconnect(connection)

    # Granting and settling: each runs inside one transaction, `now` was read after the transaction began.

    def _look(
        self, db: sqlite3.Connection, now: float, alternatives: Sequence[Sequence[Claim]]
    ) -> _Grant | _Refusal:
        rooms = {claim.key: _room(db, claim.key, now) for claims in alternatives for claim in claims}
        (rebuilt_at,) = db.execute("SELECT rebuilt_at FROM clock").fetchone()
        refusals: list[_Refusal] = []
        fitting: list[tuple[float, int]] = []
        for index, claims in enumerate(alternatives):
            refusal = self._refusal(db, now, claims, rooms, rebuilt_at)
            if refusal is None:
                fitting.append((-_room_left(claims, rooms), index))
            else:
                refusals.append(refusal)
        if not fitting:
            return min(refusals, key=lambda refusal: refusal.until)
        _, index = min(fitting)
        return self._grant(db, now, index, alternatives[index])

    def _refusal(
        self,
        db: sqlite3.Connection,
        now: float,
        claims: Sequence[Claim],
        rooms: dict[str, _Room],
        rebuilt_at: float | None,
    ) -> _Refusal | None:
        refusals: list[_Refusal] = []
        wanted: Counter[str] = Counter()
        sent: Counter[str] = Counter()
        named: set[tuple[str, str]] = set()
        for claim in claims:
            room, limit = rooms[claim.key], claim.limit
            sent[claim.key] += 1
            if claim.name is None:
                wanted[claim.key] += 1
            elif (claim.key, claim.name) not in named:
                named.add((claim.key, claim.name))
                wanted[claim.key] += not _is_held(db, claim.key, claim.name, now)
            until = room.paused_until
            if rebuilt_at is not None:
                until = max(until, rebuilt_at + limit.seconds)
            if limit.in_flight is not None and room.in_flight + sent[claim.key] > limit.in_flight:
                # An answer can come at any moment, and sooner than a wait of the usual length.
                until = max(until, now + min(limit.seconds / 1_200, LONGEST_LOOK))
            if wanted[claim.key] and room.held + wanted[claim.key] > limit.count:
                until = max(until, room.first_free if room.first_free is not None else now + LONGEST_LOOK)
            if until > now:
                refusals.append(_Refusal(claim, until))
        return max(refusals, key=lambda refusal: refusal.until, default=None)

    def _grant(self, db: sqlite3.Connection, now: float, index: int, claims: Sequence[Claim]) -> _Grant:
        rows = tuple(_Row(claim, secrets.token_hex(8)) for claim in claims)
        for row in rows:
            key = row.claim.key
            in_flight_until = now + self._longest_request
            free_at = in_flight_until + LATE_ARRIVAL + row.claim.limit.seconds
            db.execute("DELETE FROM lease WHERE key = ? AND free_at <= ?", (key, now))
            db.execute(
                "INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?)",
                (key, row.slot, row.id, free_at, in_flight_until, os.getpid()),
            )
        return _Grant(index, rows)

    def _settle(self, rows: tuple[_Row, ...], late: float) -> None:
        def settle(db: sqlite3.Connection, now: float) -> None:
            for row in rows:
                free_at = now + row.claim.limit.seconds + late
                # Not an UPDATE: the row is gone if the file was rebuilt meanwhile, and this request still counts.
                db.execute(
                    "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, 0, ?)",
                    (row.claim.key, row.slot, row.id, free_at, os.getpid()),
                )
                if row.claim.name is not None:
                    db.execute(
                        "DELETE FROM lease WHERE key = ? AND slot = ? AND id <> ? AND in_flight_until = 0 AND free_at <= ?",
                        (row.claim.key, row.slot, row.id, free_at),
                    )

        self._transact(settle)

    def _timeout(self, refusal: _Refusal, now: float, waited: float) -> QuotaTimeout:
        usage, retry_after = self.usage(refusal.claim.key), max(0.0, refusal.until - now)
        return QuotaTimeout(
            f"No place under {usage.key} within {waited:.1f} s ({refusal.claim.limit}): {usage.held:,} held,"
            f" {usage.in_flight} in flight, resting for {usage.paused_seconds:.1f} s more. Wait at least"
            f" {retry_after:.1f} s and ask again, add execution users, or see which other program uses this one.",
            key=usage.key,
            waited=waited,
            retry_after=retry_after,
        )

    # The file.

    def _transact(self, work: Callable[[sqlite3.Connection, float], Result]) -> Result:
        connection = self._connection
        if connection.pid != os.getpid():
            # A connection must not be carried over a fork, not even to close it: the parent's locks would go with it.
            _INHERITED.append(connection)
            connection = self._connection = _Connection(self.path)
        with connection.lock:
            try:
                try:
                    return self._transact_once(connection, work)
                except sqlite3.DatabaseError as error:
                    if not _is_corrupt(error):
                        raise
                    self._set_aside(connection, error)
                    return self._transact_once(connection, work)
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error

    def _transact_once(
        self, connection: _Connection, work: Callable[[sqlite3.Connection, float], Result]
    ) -> Result:
        db = self._current(connection)
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db, self._clock())
            db.execute("COMMIT")
            return result
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _current(self, connection: _Connection) -> sqlite3.Connection:
        lost = False
        if connection.db is not None:
            if _inode(self.path) == connection.inode:
                return connection.db
            log.warning("The quota file %s was removed or replaced; all places count as taken for one window.", self.path)
            _disconnect(connection)
            lost = True
        return self._connect(connection, lost)

    def _connect(self, connection: _Connection, lost: bool) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives its companions (-wal, -shm) the mode of the file itself.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        inode = _inode(self.path)
        db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _switch_to_wal(db)
            # Safe against a killed process; after a power cut the machine's restart makes every place taken anyway.
            db.execute("PRAGMA synchronous = OFF")
            db.execute("BEGIN IMMEDIATE")
            self._prepare(db, lost)
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        connection.db, connection.inode = db, inode
        return db

    def _prepare(self, db: sqlite3.Connection, lost: bool) -> None:
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        now = self._clock()
        known = db.execute("SELECT id FROM clock").fetchone()
        if known is None:
            db.execute("INSERT INTO clock VALUES (?, ?)", (self._clock_id, now if lost else None))
        elif known[0] != self._clock_id:
            log.warning("The machine was restarted since %s was used; all places count as taken for one window.", self.path)
            db.execute("DELETE FROM lease")
            db.execute("DELETE FROM pause")
            db.execute("UPDATE clock SET id = ?, rebuilt_at = ?", (self._clock_id, now))
        elif lost:
            db.execute("UPDATE clock SET rebuilt_at = ?", (now,))

    def _set_aside(self, connection: _Connection, error: sqlite3.DatabaseError) -> None:
        """Rename the unreadable file, so that the next look makes a new one in which nothing is free for a window."""
        _disconnect(connection)
        aside = self.path.with_name(f"{self.path.name}.unreadable-{secrets.token_hex(4)}")
        log.warning(
            "The quota file %s cannot be read (%s); it is kept as %s and made anew, all places taken for one window.",
            self.path,
            error,
            aside.name,
        )
        for companion in ("-wal", "-shm"):
            self.path.with_name(self.path.name + companion).unlink(missing_ok=True)
        self.path.replace(aside)
        self._connect(connection, lost=True)

    def _unusable(self, error: sqlite3.Error | OSError) -> QuotaStoreError:
        reason = str(error)
        if "locked" in reason:
            advice = f"another process has held it for {BUSY_TIMEOUT:g} s; end the process that hangs"
        elif "readonly" in reason or getattr(error, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "file and folder must be writable for the user that runs this; mend the rights or set another path"
        elif "disk is full" in reason or getattr(error, "errno", None) == errno.ENOSPC:
            advice = "make room on that disk"
        else:
            advice = "set a path to a file (it may not exist yet) in a folder on a local disk"
        return QuotaStoreError(f"The quota store {self.path} cannot be used ({reason}): {advice}.")

    def _refuse_network_file_system(self, mounts: Path) -> None:
        try:
            table = mounts.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        kind = file_system(self.path, table)
        if kind in NETWORK_FILE_SYSTEMS:
            raise QuotaStoreError(
                f"The quota store {self.path} lies on a network file system ({kind}), where SQLite cannot keep"
                " processes apart. Set a path on a local disk of the machine that runs the pipeline."
            )


NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs3 nfs4 cifs smbfs smb3 smb2 afs 9p ceph lustre glusterfs beegfs gpfs gfs2 ocfs2 orangefs pvfs2 davfs"
    " fuse.sshfs fuse.s3fs fuse.gcsfuse fuse.goofys fuse.rclone fuse.glusterfs fuse.ceph fuse.blobfuse"
    " fuse.blobfuse2 fuse.mount-s3 fuse.juicefs fuse.davfs fuse.cifs fuse.nfs".split()
)
"""File systems, as /proc/mounts names them, that several machines may mount at once."""


def file_system(path: Path, mounts: str) -> str | None:
    """The type of the file system that `path` lies on, by the text of /proc/mounts; None if no line matches."""
    real = path.resolve()
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        folder = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        # A later line with the same mount point lies above the earlier one.
        if point and real.is_relative_to(folder) and (found is None or len(folder.parts) >= found[0]):
            found = len(folder.parts), kind
    return None if found is None else found[1]


_INHERITED: list[_Connection] = []
"""Connections of a parent process: kept, so that nobody closes them here."""


def _room(db: sqlite3.Connection, key: str, now: float) -> _Room:
    held, in_flight, first_free, paused_until = db.execute(
        "SELECT count(DISTINCT slot), total(in_flight_until > ?2), min(free_at),"
        " (SELECT until FROM pause WHERE key = ?1) FROM lease WHERE key = ?1 AND free_at > ?2",
        (key, now),
    ).fetchone()
    return _Room(held, int(in_flight), first_free, paused_until or now)


def _room_left(claims: Sequence[Claim], rooms: dict[str, _Room]) -> float:
    return sum(1 - rooms[claim.key].held / claim.limit.count for claim in claims)


def _is_held(db: sqlite3.Connection, key: str, name: str, now: float) -> bool:
    row = db.execute("SELECT 1 FROM lease WHERE key = ? AND slot = ? AND free_at > ? LIMIT 1", (key, name, now))
    return row.fetchone() is not None


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """The switch fails at once when another process is inside, whatever the busy time-out: so it is tried again."""
    for _ in range(400):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            refused = error
            time.sleep(random.uniform(0.002, 0.02))
    raise refused


def _disconnect(connection: _Connection) -> None:
    if connection.db is not None:
        connection.db.close()
        connection.db = None


def _is_corrupt(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _boot_id() -> str | None:
    """Names this start of the machine on Linux, where time.monotonic() is one clock for all its processes."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except OSError:
        return None
