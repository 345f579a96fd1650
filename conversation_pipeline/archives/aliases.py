"""Which column means what, by the spellings that Salesforce itself uses elsewhere (bulk-export 4.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

ALIASES: dict[str, tuple[str, ...]] = {
    name: tuple(spellings.split())
    for name, spellings in {
        "entry_identifier": "identifier id entryid entryidentifier conversationentryid messageid messageidentifier "
        "externalrecordid",
        # The documentation of the off-core schema itself spells it conversation_identifer.
        "conversation_identifier": "conversationidentifier conversationidentifer conversationuuid",
        "conversation": "conversationid conversationrecordid",
        "entry_type": "entrytype conversationentrytype type eventtype",
        "payload": "entrypayload payload payloadtext rawpayload",
        "text": "messagetext message text content transcript entry",
        "body": "body",
        "sender": "sender actor",
        "sender_app_type": "senderapptype apptype participantapptype actorapptype",
        "sender_role": "senderrole role actortype sendertype participantrole",
        "sender_subject": "sendersubject subject actorid senderid participantid participantsubject",
        "sender_display_name": "senderdisplayname displayname actorname sendername participantdisplayname",
        "client_timestamp": "clienttimestamp clientsenttimestamp clientdatetime entrytime entrytimemillisecs "
        "startdatetime",
        "transcripted_timestamp": "transcriptedtimestamp transcripteddatetime serverreceivedtimestamp servertimestamp "
        "createddate createdat",
        "client_duration_ms": "clientduration durationms",
        "client_duration_seconds": "durationsecondscount",
        "related_records": "relatedrecords relatedrecordids recordids sourceid",
        "modality": "modality",
        "visibility": "visibility visibilitytype visibilitystrategy conversationentryvisibilitytype",
        "messaging_session_id": "messagingsessionid sessionid",
        "voice_call_id": "voicecallid",
    }.items()
}
"""What the reader knows, each with its spellings by preference; in each row the first that has a value counts."""

_BY_SPELLING = {spelling: name for name, spellings in ALIASES.items() for spelling in spellings}
_AFFIXES = re.compile(r"^(?:ssot__|std__)|__c$")
_PUNCTUATION = re.compile(r"[_ .\-]")

_CONTENT = {"entry_type", "payload", "text", "body"}
_CONVERSATION = {"conversation_identifier", "conversation"}


def spelling(column: str) -> str:
    """A column's name without what tells no meaning: case, punctuation, Data Cloud's prefixes and suffix."""
    return _PUNCTUATION.sub("", _AFFIXES.sub("", column.strip().lower()))


def meanings(columns: Sequence[str]) -> dict[str, list[int]]:
    """For each thing that the columns tell, the places of the columns that tell it, by preference."""
    spelled = [spelling(column) for column in columns]
    return {
        name: places
        for name, spellings in ALIASES.items()
        if (places := [place for known in spellings for place, one in enumerate(spelled) if one == known])
    }


def unknown(columns: Sequence[str]) -> list[int]:
    """The places of the columns that mean nothing to the reader."""
    return [place for place, column in enumerate(columns) if spelling(column) not in _BY_SPELLING]


def tells_entries(columns: Sequence[str]) -> bool:
    """Whether rows with these columns are entries: they belong to a conversation and say something."""
    told = set(meanings(columns))
    return bool(told & _CONTENT) and bool(told & _CONVERSATION)
