"""
One store of quotas for all processes: whoever wants to send a request takes a lease first.

A service counts a request when it arrives, somewhere between the send and the answer. So a place is free
again one window after the *answer*, not after the send: for each request taken <= sent <= arrived <=
answered. Suppose limit + 1 requests arrived within one window, and look at the one whose place was granted
last: at that moment one of the others had been answered at least a window before, so it had arrived at least
a window earlier, which contradicts "within one window". That holds however long the network takes, for
sliding and fixed windows alike.
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
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from conversation_pipeline.salesforce.limits import Limit

log = logging.getLogger(__name__)

Result = TypeVar("Result")

LONGEST_LOOK = 0.25
"""Seconds between two looks of a waiting process at most: another one may have freed a place meanwhile."""

RESTART_REST = 90.0
"""
Seconds for which nothing is granted after a restart of the machine, or one window if that is shorter.

A power cut can take the last half minute of leases out of the file (it is not synced for each of them); those of
longer windows that are in the file stay held for a whole window from the restart.
"""

LATE_ARRIVAL = 2.0
"""Seconds after which a request that the client gave up can no longer reach the service."""


class QuotaStoreError(ValueError):
    """The quota store that is set cannot be used; the message says why and what to set instead."""


class QuotaTimeout(TimeoutError):
    """
    No alternative had a place before the patience ran out.

    `key` is the one that was in the way of the alternative that would fit soonest, `waited` the seconds
    spent, `retry_after` the seconds from now before which that key has no place as things stand.
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

    `key` says who is counted and for what, e.g. "00Dxx0000001gER/005xx000001Sv6A/conversation_data": programs
    that share an execution user use the same key, and a key always has the same window. With a `name` the
    limit counts distinct names: one that is already held costs no new place, and each touch holds it for a
    window more, unless more are held than the limit (which may have been larger before) now allows.
    """

    key: str
    limit: Limit
    name: str | None = None


@dataclass(frozen=True)
class Usage:
    """
    How full a key is now: places `held`, requests `in_flight`, seconds the key still rests (0 if it does
    not), and seconds until the first held place is free at the latest (None if none is held).
    """

    key: str
    held: int
    in_flight: int
    paused_seconds: float
    next_free_seconds: float | None


class Lease:
    """
    Permission to send one request; tell it how the request ended.

    `index` says which alternative was granted, `waited` how many seconds that took. Leaving the `with` block
    without a word means that the request was given up.
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

        Of several alternatives that fit, the one with the most room left is granted; if none fits, whichever
        is free first. `patience` is in seconds, None waits for ever. Raises QuotaTimeout when it runs out.
        """
        ...

    def pause(self, key: str, seconds: float) -> None:
        """Let every process rest on `key` for `seconds` from now; a longer pause that is already set stays."""
        ...

    def usage(self, key: str) -> Usage:
        """How full `key` is now."""
        ...

    def keys(self) -> list[str]:
        """Every key that has a place held or rests now, sorted."""
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


# A place is what a limit counts: one lease, or one name however often it is touched. A touch is one request
# that has no answer yet. The tally keeps the number of places, so that a look costs the same for 90 and for
# 11,000 of them.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS clock (id TEXT NOT NULL, restarted_at REAL, lost_at REAL)",
    "CREATE TABLE IF NOT EXISTS pause (key TEXT PRIMARY KEY, until REAL NOT NULL, seconds REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS tally (key TEXT PRIMARY KEY, held INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS place (key TEXT, slot TEXT, free_at REAL NOT NULL, settled REAL NOT NULL,"
    " seconds REAL NOT NULL, PRIMARY KEY (key, slot)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS place_free_at ON place (key, free_at)",
    "CREATE TABLE IF NOT EXISTS touch (key TEXT, until REAL, id TEXT, slot TEXT NOT NULL, pid INTEGER NOT NULL,"
    " PRIMARY KEY (key, until, id)) WITHOUT ROWID",
    "CREATE TRIGGER IF NOT EXISTS place_taken AFTER INSERT ON place BEGIN INSERT INTO tally VALUES (new.key, 1)"
    " ON CONFLICT (key) DO UPDATE SET held = held + 1; END",
    "CREATE TRIGGER IF NOT EXISTS place_freed AFTER DELETE ON place BEGIN"
    " UPDATE tally SET held = held - 1 WHERE key = old.key; END",
)

_ROOM = """
SELECT (SELECT held FROM tally WHERE key = ?1),
       (SELECT count(*) FROM touch WHERE key = ?1 AND until > ?2 AND pid <> 0),
       (SELECT min(free_at) FROM place WHERE key = ?1),
       (SELECT until FROM pause WHERE key = ?1)
"""

_TAKE_PLACE = """
INSERT INTO place VALUES (?, ?, ?, 0, ?) ON CONFLICT DO UPDATE SET free_at = max(free_at, excluded.free_at)
"""

# Not an UPDATE alone: the row is gone if the file was made anew meanwhile, and this request still counts. A
# name that is being touched by another request as well stays held until that one can not arrive any more.
_SETTLE_PLACE = """
INSERT INTO place VALUES (?1, ?2, ?3, ?3, ?4) ON CONFLICT DO UPDATE SET
    settled = max(settled, ?3),
    free_at = max(settled, ?3, coalesce((SELECT max(until) + ?4 FROM touch WHERE key = ?1 AND slot = ?2), 0))
"""


@dataclass(frozen=True)
class _Room:
    """What the store knows of one key at one instant; times are on the store's clock."""

    held: int
    in_flight: int
    first_free: float
    paused_until: float


@dataclass(frozen=True)
class _Touch:
    """One claim of one granted request."""

    claim: Claim
    id: str
    until: float

    @property
    def slot(self) -> str:
        return self.id if self.claim.name is None else self.claim.name


@dataclass(frozen=True)
class _Grant:
    index: int
    touches: tuple[_Touch, ...]


@dataclass(frozen=True)
class _Refusal:
    """Why an alternative does not fit now: the claim that is in the way longest, and the soonest it may fit."""

    claim: Claim
    until: float


_CONNECTIONS: weakref.WeakSet[_Connection] = weakref.WeakSet()
_CONNECTIONS_LOCK = threading.Lock()


class _Connection:
    """The one connection of a process, and which file it has open."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.db: sqlite3.Connection | None = None
        self.inode: int | None = None
        with _CONNECTIONS_LOCK:
            _CONNECTIONS.add(self)

    def close(self) -> None:
        if self.db is not None:
            self.db.close()
            self.db = None


def _before_fork() -> None:
    """
    Lets transactions end and closes the files: SQLite cannot live through a fork.

    A child would believe that it holds locks which only its parent has, even through a connection of its own.
    """
    _CONNECTIONS_LOCK.acquire()
    for connection in _CONNECTIONS:
        connection.lock.acquire()
        connection.close()


def _after_fork() -> None:
    for connection in _CONNECTIONS:
        connection.lock.release()
    _CONNECTIONS_LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class SqliteQuotaStore:
    """
    The quotas of one machine in one SQLite file.

    `longest_request` is the most seconds that may pass between taking a lease and the answer's headers: a
    process that dies leaves its place held for that and one window, the safe side. `busy_timeout` is how many
    seconds another process's transaction, usually well below a millisecond, is waited for. `clock`, `clock_id`
    and `sleep` replace the machine's own, `mounts` its table of file systems.

    The clock counts from the machine's start, whose id is kept in the file: after a restart nothing is granted
    for a window or RESTART_REST, whichever is shorter, and what was held is held for one more window. Where the
    start has no id (macOS) the wall clock is used. A file that was unreadable or removed is made anew, and
    nothing is granted for one window.

    A process has one connection, which its threads use in turn: they wait for each other without the sleeps
    of SQLite's busy handler. It is closed before a fork, and opened again by whoever uses it.

    Raises QuotaStoreError when the file cannot be used, e.g. on a network file system or a read-only disk.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        longest_request: float = 90.0,
        clock: Callable[[], float] | None = None,
        clock_id: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        busy_timeout: float = 30.0,
        mounts: str | os.PathLike[str] = "/proc/mounts",
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self._longest_request = longest_request
        self._busy_timeout = busy_timeout
        self._sleep = sleep
        boot = _boot_id()
        self._clock_id = clock_id or boot or "wall"
        self._clock = clock or (time.monotonic if boot else time.time)
        self._connection = _Connection()
        _refuse_network_file_system(self.path, Path(mounts))
        self._transact(lambda *_: None)

    def take(self, alternatives: Sequence[Sequence[Claim]], *, patience: float | None = None) -> Lease:
        """See QuotaStore.take."""
        if not alternatives:
            raise ValueError("take() needs at least one alternative: a sequence of claims")
        started = self._clock()
        while True:
            outcome, now = self._transact(lambda db, now: (self._look(db, now, alternatives), now))
            waited = max(0.0, now - started)
            if isinstance(outcome, _Grant):
                return Lease(index=outcome.index, waited=waited, settle=partial(self._settle, outcome.touches))
            if patience is not None and waited >= patience:
                raise self._timeout(outcome, now, waited)
            pause = min(max(outcome.until - now, 0.0), LONGEST_LOOK)
            if patience is not None:
                pause = min(pause, patience - waited)
            # The jitter keeps a crowd of waiters from looking at the same instant for ever.
            self._sleep(pause + _jitter(0.0005, 0.002))

    def pause(self, key: str, seconds: float) -> None:
        """See QuotaStore.pause."""
        rest = (
            "INSERT INTO pause VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET until = excluded.until, seconds = excluded.seconds WHERE excluded.until > until"
        )
        self._transact(lambda db, now: db.execute(rest, (key, now + seconds, seconds)))

    def usage(self, key: str) -> Usage:
        """See QuotaStore.usage."""

        def read(db: sqlite3.Connection, now: float) -> Usage:
            room = _room(db, key, now)
            return Usage(
                key=key,
                held=room.held,
                in_flight=room.in_flight,
                paused_seconds=max(0.0, room.paused_until - now),
                next_free_seconds=max(0.0, room.first_free - now) if room.held else None,
            )

        return self._transact(read)

    def keys(self) -> list[str]:
        """See QuotaStore.keys."""
        busy = "SELECT key FROM place WHERE free_at > ?1 UNION SELECT key FROM pause WHERE until > ?1 ORDER BY key"
        return self._transact(lambda db, now: [key for (key,) in db.execute(busy, (now,))])

    def close(self) -> None:
        """See QuotaStore.close."""
        with self._connection.lock:
            self._connection.close()

    # Granting and settling: each inside one transaction, `now` read after it began.

    def _look(self, db: sqlite3.Connection, now: float, alternatives: Sequence[Sequence[Claim]]) -> _Grant | _Refusal:
        clock_id, restarted_at, lost_at = db.execute("SELECT id, restarted_at, lost_at FROM clock").fetchone()
        if clock_id != self._clock_id:
            raise QuotaStoreError(
                f"The quota store {self.path} is in use on two machines, or in containers that do not share a clock."
                " Give each machine execution users and a file of its own."
            )
        rooms = {key: _room(db, key, now) for key in {claim.key for claims in alternatives for claim in claims}}

        def quiet_until(limit: Limit) -> float:
            after_restart = now if restarted_at is None else restarted_at + min(limit.seconds, RESTART_REST)
            after_loss = now if lost_at is None else lost_at + limit.seconds
            return max(now, after_restart, after_loss)

        refusals: list[_Refusal] = []
        fitting: list[tuple[float, int]] = []
        for index, claims in enumerate(alternatives):
            refusal = self._refusal(db, now, claims, rooms, quiet_until)
            if refusal is None:
                taken = sum(rooms[claim.key].held / claim.limit.count for claim in claims)
                fitting.append((taken, index))
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
        quiet_until: Callable[[Limit], float],
    ) -> _Refusal | None:
        new_places: dict[str, set[str]] = defaultdict(set)
        requests: Counter[str] = Counter()
        refusals: list[_Refusal] = []
        for number, claim in enumerate(claims):
            room, limit = rooms[claim.key], claim.limit
            until = max(room.paused_until, quiet_until(limit))

            requests[claim.key] += 1
            if limit.in_flight is not None and room.in_flight + requests[claim.key] > limit.in_flight:
                # An answer can come at any moment, so the next look is a near one.
                until = max(until, now + min(limit.seconds / 1_200, LONGEST_LOOK))
                _forget_dead_processes(db, claim.key)

            if claim.name is None:
                new_places[claim.key].add(f"unnamed {number}")
            elif not _is_held(db, claim.key, claim.name):
                new_places[claim.key].add(f"named {claim.name}")
            places = new_places[claim.key]
            # A limit may have become smaller: nothing is held any longer then until enough has been let go.
            over = room.held > limit.count
            if len(places) > limit.count or requests[claim.key] > (limit.in_flight or len(claims)):
                raise ValueError(f"{len(claims)} claims on {claim.key} at once never fit its limit ({limit})")
            if over or (places and room.held + len(places) > limit.count):
                until = max(until, room.first_free)

            if until > now:
                refusals.append(_Refusal(claim, until))
        return max(refusals, key=lambda refusal: refusal.until, default=None)

    def _grant(self, db: sqlite3.Connection, now: float, index: int, claims: Sequence[Claim]) -> _Grant:
        until = now + self._longest_request
        touches = tuple(_Touch(claim, secrets.token_hex(8), until) for claim in claims)
        for touch in touches:
            claim = touch.claim
            window = claim.limit.seconds
            db.execute(_TAKE_PLACE, (claim.key, touch.slot, until + window, window))
            db.execute(
                "INSERT INTO touch VALUES (?, ?, ?, ?, ?)",
                (claim.key, until, touch.id, touch.slot, os.getpid()),
            )
        return _Grant(index, touches)

    def _settle(self, touches: tuple[_Touch, ...], late: float) -> None:
        def settle(db: sqlite3.Connection, now: float) -> None:
            for touch in touches:
                key, window = touch.claim.key, touch.claim.limit.seconds
                db.execute("DELETE FROM touch WHERE key = ? AND until = ? AND id = ?", (key, touch.until, touch.id))
                db.execute(_SETTLE_PLACE, (key, touch.slot, now + window + late, window))

        self._transact(settle)

    def _timeout(self, refusal: _Refusal, now: float, waited: float) -> QuotaTimeout:
        usage, retry_after = self.usage(refusal.claim.key), max(0.0, refusal.until - now)
        return QuotaTimeout(
            f"No place under {usage.key} within {waited:.1f} s ({refusal.claim.limit}): {usage.held:,} held,"
            f" {usage.in_flight} in flight, resting for {usage.paused_seconds:.1f} s more. Ask again in"
            f" {retry_after:.1f} s or later, add execution users, or see which other program uses this one.",
            key=usage.key,
            waited=waited,
            retry_after=retry_after,
        )

    # The file.

    def _transact(self, work: Callable[[sqlite3.Connection, float], Result]) -> Result:
        connection = self._connection
        with connection.lock:
            try:
                try:
                    return self._transact_once(connection, work)
                except sqlite3.DatabaseError as error:
                    if not _is_unreadable(error):
                        raise
                    self._make_anew(connection, error)
                    return self._transact_once(connection, work)
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error

    def _transact_once(self, connection: _Connection, work: Callable[[sqlite3.Connection, float], Result]) -> Result:
        db = self._open_file(connection)
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db, self._clock())
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return result

    def _open_file(self, connection: _Connection) -> sqlite3.Connection:
        if connection.db is None:
            return self._connect(connection, lost=False)
        if _inode(self.path) == connection.inode:
            return connection.db
        log.warning("%s was removed or replaced; all places count as taken for one window", self.path)
        connection.close()
        return self._connect(connection, lost=True)

    def _connect(self, connection: _Connection, *, lost: bool) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives its companions (-wal, -shm) the mode of the file itself.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection.inode = _inode(self.path)
        db = sqlite3.connect(self.path, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False)
        try:
            self._switch_to_wal(db)
            # Safe against a killed process; a power cut restarts the machine, and then every place is taken
            # anyway.
            db.execute("PRAGMA synchronous = OFF")
            db.execute("BEGIN IMMEDIATE")
            self._prepare(db, lost=lost)
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        connection.db = db
        return db

    def _switch_to_wal(self, db: sqlite3.Connection) -> None:
        """Tried again and again: it fails at once when another process is inside, whatever the busy time-out."""
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_jitter(0.002, 0.02))

    def _prepare(self, db: sqlite3.Connection, *, lost: bool) -> None:
        for statement in _SCHEMA:
            db.execute(statement)
        now = self._clock()
        known = db.execute("SELECT id FROM clock").fetchone()
        if known is None:
            db.execute("INSERT INTO clock VALUES (?, NULL, ?)", (self._clock_id, now if lost else None))
        elif known[0] != self._clock_id:
            log.warning("the machine was restarted since %s was used; held places are held anew", self.path)
            # How long ago these were settled cannot be told: the two clocks have nothing in common.
            db.execute("UPDATE place SET free_at = ?1 + seconds, settled = ?1 + seconds", (now,))
            db.execute("UPDATE pause SET until = ? + seconds", (now,))
            db.execute("DELETE FROM touch")
            db.execute("UPDATE clock SET id = ?, restarted_at = ?, lost_at = NULL", (self._clock_id, now))
        elif lost:
            db.execute("UPDATE clock SET lost_at = ?", (now,))

    def _make_anew(self, connection: _Connection, error: sqlite3.DatabaseError) -> None:
        """Set the unreadable file aside and make one in which nothing is free for a window."""
        connection.close()
        if _inode(self.path) == connection.inode:
            aside = self.path.with_name(f"{self.path.name}.unreadable-{secrets.token_hex(4)}")
            log.warning(
                "%s cannot be read (%s): kept as %s and made anew, all places taken for one window",
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
            advice = f"another process has held it for {self._busy_timeout:g} s; find and end the one that hangs"
        elif "readonly" in reason or isinstance(error, PermissionError):
            advice = "make file and folder writable for the user that runs this, or set another path"
        elif "full" in reason or getattr(error, "errno", None) == errno.ENOSPC:
            advice = "make room on that disk"
        else:
            advice = "set a path to a file (it may not exist yet) in a folder on a local disk"
        return QuotaStoreError(f"The quota store {self.path} cannot be used ({reason}): {advice}.")


_SHARED = "nfs nfs3 nfs4 cifs smbfs smb2 smb3 afs 9p davfs ceph lustre glusterfs beegfs gpfs gfs2 ocfs2 orangefs"
_FUSE = "sshfs s3fs gcsfuse goofys rclone mount-s3 blobfuse blobfuse2 juicefs glusterfs ceph ceph-fuse davfs nfs"
NETWORK_FILE_SYSTEMS = frozenset(_SHARED.split()) | {f"fuse.{name}" for name in _FUSE.split()}
"""File systems, as /proc/mounts names them, whose locks and shared memory SQLite's WAL cannot rely on."""


def file_system(path: Path, mounts: str) -> str | None:
    """The type of the file system that `path` lies on, by the text of /proc/mounts; None if no line matches."""
    real = path.resolve()
    depth, found = 0, None
    for line in mounts.splitlines():
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        folder = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        # Of two lines with the same mount point the later one lies above.
        if point and real.is_relative_to(folder) and len(folder.parts) >= depth:
            depth, found = len(folder.parts), kind
    return found


def _refuse_network_file_system(path: Path, mounts: Path) -> None:
    try:
        table = mounts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    kind = file_system(path, table)
    if kind in NETWORK_FILE_SYSTEMS:
        raise QuotaStoreError(
            f"The quota store {path} lies on a network file system ({kind}), where SQLite cannot keep processes"
            " apart. Set a path on a local disk of the machine that runs the pipeline."
        )


def _room(db: sqlite3.Connection, key: str, now: float) -> _Room:
    found = db.execute(_ROOM, (key, now)).fetchone()
    if found[2] is not None and found[2] <= now:
        db.execute("DELETE FROM place WHERE key = ? AND free_at <= ?", (key, now))
        db.execute("DELETE FROM touch WHERE key = ? AND until <= ?", (key, now))
        found = db.execute(_ROOM, (key, now)).fetchone()
    held, in_flight, first_free, paused_until = found
    return _Room(held or 0, in_flight, first_free or now, paused_until or now)


def _is_held(db: sqlite3.Connection, key: str, name: str) -> bool:
    return db.execute("SELECT 1 FROM place WHERE key = ? AND slot = ?", (key, name)).fetchone() is not None


def _forget_dead_processes(db: sqlite3.Connection, key: str) -> None:
    """
    Requests of a process that is gone are not in flight any more; their places stay held all the same.

    A process of another container can look dead from here. Then a few more requests are in flight than should
    be, which breaks no limit.
    """
    if os.name != "posix":
        return
    for (pid,) in db.execute("SELECT DISTINCT pid FROM touch WHERE key = ? AND pid <> 0", (key,)).fetchall():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            db.execute("UPDATE touch SET pid = 0 WHERE key = ? AND pid = ?", (key, pid))
        except PermissionError:
            continue


def _jitter(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311  (spreads the looks of waiters, guards nothing)


def _is_unreadable(error: sqlite3.Error) -> bool:
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
