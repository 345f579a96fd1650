"""
The SQL of the road, for the engines of every API: quoted names, quoted aliases, instants as ISO text, no ``*``.

Source: Data Cloud reference 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from conversation_pipeline.extract.data_cloud.objects import (
    APP_ROLE,
    CONVERSATION,
    ENTRY,
    KEY_QUALIFIER,
    PARTICIPANT,
    SESSION,
    Objects,
)
from conversation_pipeline.extract.windows import Window

CREATED_BEFORE = timedelta(hours=2)
CREATED_AFTER = timedelta(hours=12)
"""
How far the creation of an entry's row may lie from the entry's own time: windows are on creation. Entries of a call
are created when it has ended, which may be hours after they were said.
"""


def entries_sql(objects: Objects, window: Window, *, one_each: bool) -> str:
    """
    The entries of a window of their own time, each with its conversation's identifier and who sent it.

    Args:
        one_each: Take the newest row of each id, where ids are there more than once (of several key qualifiers).
    """
    query = _Query(objects)
    rows = _rows(objects, window, query.of_entry, one_each=one_each)
    selected = ",\n  ".join(f'{expression} AS "{alias}"' for alias, expression in query.selected.items())
    joins = "".join(f"\nLEFT JOIN {join}" for join in query.joins)
    return f"SELECT\n  {selected}\nFROM {rows} e{joins}"


def looks_sql(objects: Objects, windows: Sequence[tuple[str, Window]], newest_since: datetime) -> str:
    """Counts and latest changes of each window by its name; and the newest entry visible, by the name ``newest``."""
    branches = [_look(objects, name, _within(objects, window)) for name, window in windows]
    created = _column(objects, ENTRY, "CreatedDate")
    branches.append(_look(objects, "newest", f"e.{created} >= {_text(objects, newest_since)}"))
    return "\nUNION ALL\n".join(branches)


def _look(objects: Objects, name: str, condition: str) -> str:
    changed = _first(objects, "LastModifiedDate", "CreatedDate")
    entry = _quoted(objects.tables[ENTRY].name)
    created = _column(objects, ENTRY, "CreatedDate")
    return (
        f'SELECT \'{name}\' AS "day", COUNT(*) AS "entries", COUNT(DISTINCT e.{_column(objects, ENTRY, "Id")}) '  # noqa: S608
        f'AS "ids", MAX({changed}) AS "changed", MAX(e.{created}) AS "newest" FROM {entry} e WHERE {condition}'
    )


class _Query:
    """What is selected from the entries and what they are joined with, as far as it is there."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.joins: list[str] = []
        self.selected = {"id": self._any(("e", ENTRY, "Id"), ("e", ENTRY, "ExternalRecordId"))}
        self._conversation()
        self._participant()
        for alias, column in _AS_THEY_ARE.items():
            self._select(alias, ("e", ENTRY, column))

    @property
    def of_entry(self) -> list[str]:
        """API names of the entries' columns."""
        return list(self._objects.tables[ENTRY].columns.values())

    def _select(self, alias: str, *columns: tuple[str, str, str]) -> None:
        expression = self._any(*columns)
        if expression:
            self.selected[alias] = expression

    def _any(self, *columns: tuple[str, str, str]) -> str:
        """The first of these columns that has a value; nothing where none of them is there."""
        found = [
            f"{table}.{_quoted(name)}"
            for table, business, column in columns
            if (name := self._objects.column(business, column)) is not None
        ]
        return f"COALESCE({', '.join(found)})" if len(found) > 1 else "".join(found)

    def _conversation(self) -> None:
        """An entry's ConversationId is documented as the conversation's and described as the session's: both."""
        identifiers = []
        if self._join("c", CONVERSATION, ("e", ENTRY, "ConversationId")):
            identifiers.append(("c", CONVERSATION, "ExternalRecordId"))
        if self._join("s", SESSION, ("e", ENTRY, "ConversationId")):
            self._select("session_id", ("s", SESSION, "Id"))
            if self._join("sc", CONVERSATION, ("s", SESSION, "ConversationId")):
                identifiers.append(("sc", CONVERSATION, "ExternalRecordId"))
        self._select("conversation_identifier", *identifiers)

    def _participant(self) -> None:
        if not self._join("p", PARTICIPANT, ("e", ENTRY, "EngagementParticipantId")):
            return
        self._select("sender_display_name", ("p", PARTICIPANT, "ParticipantDisplayName"))
        roles = [("p", PARTICIPANT, "EngagementParticipantRole")]
        if self._join("a", APP_ROLE, ("p", PARTICIPANT, "EngagementParticipantAppRoleId")):
            roles.append(("a", APP_ROLE, "EngagementParticipantRole"))
            self._select("sender_app_type", ("a", APP_ROLE, "SoftwareApplication"))
            self._select("sender_subject", ("a", APP_ROLE, "SubjectName"))
        self._select("sender_role", *roles)

    def _join(self, alias: str, business: str, link: tuple[str, str, str]) -> bool:
        """By id and key qualifier, which is null or empty for most rows."""
        source, source_business, column = link
        ours, theirs = self._objects.column(source_business, column), self._objects.column(business, "Id")
        if ours is None or theirs is None or (source != "e" and not any(f" {source} ON" in it for it in self.joins)):
            return False
        condition = f"{alias}.{_quoted(theirs)} = {source}.{_quoted(ours)}"
        qualifiers = [self._objects.column(name, KEY_QUALIFIER) for name in (business, source_business)]
        if all(qualifiers):
            mine, other = (_quoted(str(name)) for name in qualifiers)
            condition += f" AND COALESCE({alias}.{mine}, '') = COALESCE({source}.{other}, '')"
        self.joins.append(f"{_quoted(self._objects.tables[business].name)} {alias} ON {condition}")
        return True


_AS_THEY_ARE = {
    "conversation_id": "ConversationId",
    "entry_type": "ConversationEntryType",
    "visibility": "ConversationEntryVisibilityType",
    "payload_text": "PayloadText",
    "client_timestamp": "ClientDateTime",
    "transcripted_timestamp": "TranscriptedDateTime",
    "created_date": "CreatedDate",
    "modality": "Modality",
    "duration_seconds": "DurationSecondsCount",
    "parent_entry_id": "ParentEntryId",
    "source_id": "SourceId",
    "source_object": "SourceObject",
}


def _rows(objects: Objects, window: Window, columns: Iterable[str], *, one_each: bool) -> str:
    """The entries of the window as a derived table."""
    names = ", ".join(f"e.{_quoted(name)}" for name in columns)
    entry, condition = _quoted(objects.tables[ENTRY].name), _within(objects, window)
    if not one_each:
        return f"(SELECT {names} FROM {entry} e WHERE {condition})"  # noqa: S608
    changed = _first(objects, "LastModifiedDate", "CreatedDate")
    newest = f"PARTITION BY e.{_column(objects, ENTRY, 'Id')} ORDER BY {changed} DESC"
    ranked = f'SELECT {names}, ROW_NUMBER() OVER ({newest}) AS "newest" FROM {entry} e WHERE {condition}'  # noqa: S608
    return f'(SELECT * FROM ({ranked}) r WHERE r."newest" = 1)'  # noqa: S608


def _within(objects: Objects, window: Window) -> str:
    """By creation, which tables are laid out by, and by the entry's own time, which its day is of."""
    created, own = f"e.{_column(objects, ENTRY, 'CreatedDate')}", _first(objects, "TranscriptedDateTime", "CreatedDate")
    created_from, created_until = window.start - CREATED_BEFORE, window.end + CREATED_AFTER
    return (
        f"{created} >= {_text(objects, created_from)} AND {created} < {_text(objects, created_until)} "
        f"AND {own} >= {_text(objects, window.start)} AND {own} < {_text(objects, window.end)}"
    )


def _first(objects: Objects, *columns: str) -> str:
    """The first of the entries' columns that has a value."""
    found = [f"e.{_quoted(name)}" for column in columns if (name := objects.column(ENTRY, column))]
    return f"COALESCE({', '.join(found)})" if len(found) > 1 else found[0]


def _column(objects: Objects, table: str, column: str) -> str:
    return _quoted(objects.tables[table].columns[column])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(objects: Objects, instant: datetime) -> str:
    """ISO text compares with instants in every engine (Data Cloud reference 7, 12); in this org's own spelling."""
    return f"'{instant.astimezone(objects.zone).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z'"
