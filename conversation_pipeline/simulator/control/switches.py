"""Everything that may be one way or another: name, meaning, what is assumed unless told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch; `choices` bounds a text, a number or a boolean is bounded by its type and `least`."""

    name: str
    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    least: float | None = None


SWITCHES = (
    Switch("payload_form", "string", "entryPayload as JSON text, as an object, or one or the other by entry",
           ("string", "object", "mixed")),
    Switch("page_tokens", True, "conversation-entries tells nextPageToken when there is more; off: it never does"),
    Switch("entry_page_size", 1000, "entries a page without recordLimit (25 as in the Connect road, or 1000)", least=1),
    Switch("entry_order", "newest_first", "order of conversation-entries; shuffled: a page's entries come in no order",
           ("newest_first", "oldest_first", "shuffled")),
    Switch("retry_after", True, "429 of conversation-entries carries Retry-After in seconds"),
    Switch("conversation_service", "on", "the org's toggle `Conversation Service API`; off looks like missing rights, "
           "or like a wrong address", ("on", "off", "off_as_404")),
    Switch("erased_conversation", "empty", "what the entry APIs say of a conversation that was erased: 200 without "
           "entries, or 404", ("empty", "absent")),
    Switch("erasure_seconds", 300, "from the DELETE of a person or conversation until it is Completed", least=0),
    Switch("redactions_per_day", 0, "how many texts of a day's conversations are redacted later, 1 to 30 hours after "
           "the last word", least=0),
    Switch("erasures_per_day", 0, "how many people who wrote on a day ask for erasure two days later", least=0),
    Switch("connect_page_size", 25, "entries of the Connect road without recordLimit", least=1),
    Switch("connect_bot_text", True, "the Connect road tells the bots' text as captured; off: as documented, it does "
           "not"),
    Switch("connect_rich_entries", "omitted", "messages without plain text in the Connect road: omitted, or there with "
           "an empty messageText", ("omitted", "blank")),
    Switch("connect_filter_after_limit", False, "the Connect road counts what it leaves out against recordLimit, so "
           "that a page can be short or empty while there is more"),
    Switch("connect_daily_status", "403", "the Connect road's status once the org's 24-hour allocation is used up",
           ("403", "429")),
    Switch("connect_retry_after", False, "503 of the Connect road carries Retry-After in seconds"),
    Switch("entry_delay_seconds", 0, "from an entry's time until the entry APIs return it", least=0),
    Switch("late_entry_share", 0, "how many entries come later than the others, 0 to 1", least=0),
    Switch("late_entry_seconds", 0, "how much later those come", least=0),
    Switch("voice_settle_minutes", 3, "minutes from the end of a call until its entries can be read", least=0),
    Switch("voice_association_minutes", 0, "minutes from then until they name the right call in relatedRecords",
           least=0),
    Switch("voice_before_association", "first_call", "until then they name the conversation's first call (a call that "
           "was not transferred: none), or none at all", ("first_call", "none")),
    Switch("voice_vanish_seconds", 0, "how long a call's entries cannot be read just before they name the right call",
           least=0),
    Switch("commit_delay_seconds", 0, "a row can be seen this long after its SystemModstamp (late commits)", least=0),
    Switch("replication_held_back_seconds", 0, "latestDateCovered of /deleted and /updated stays this far behind now",
           least=0),
    Switch("delete_log_seconds", 15 * 86_400, "how far back /deleted knows; before: INVALID_REPLICATION_DATE", least=0),
    Switch("query_page_rows", 2000, "most records of a query page, whatever Sforce-Query-Options asks", least=1),
    Switch("bulk_after_polls", 1, "polls that find a query job unfinished; 0 and 0 seconds: complete at once", least=0),
    Switch("bulk_after_seconds", 0, "seconds until a query job can be complete", least=0),
    Switch("bulk_page_rows", 50_000, "most rows of a page of /results, whatever maxRecords asks", least=1),
    Switch("bulk_list_rows", 1_000, "jobs a page of GET /jobs/query", least=1),
    Switch("bulk_row_order", "shuffled", "rows of a job without ORDER BY: mixed by the seed, or as they were created",
           ("shuffled", "created")),
    Switch("bulk_timeout_rows", 0, "a job that finds more rows than this fails with QUERY_TIMEOUT; 0: none does",
           least=0),
    Switch("bulk_unsupported_objects", "", "objects, by comma, whose query jobs are refused with INVALIDENTITY"),
    Switch("bulk_result_pages", "resultChunks", "/resultPages as observed, as documented, as the documentation's "
           "sample spells it, or not there", ("resultChunks", "resultPages", "resultpages", "absent")),
    Switch("bulk_result_pages_absent", "", "objects, by comma, whose jobs have no /resultPages"),
    Switch("bulk_int_with_point", False, "integers of the CSV as 3.0"),
    Switch("bulk_datetime_zone", "Z", "how date-times of the CSV end, after .000", ("Z", "+0000")),
    Switch("bulk_null_quoted", True, 'null in the CSV as ""; off: as nothing at all'),
    Switch("bulk_empty_header", True, "an empty result has a header row; off: an empty body"),
    Switch("data_cloud_lag_minutes", 60, "an entry is in Data Cloud at most so many minutes after its creation, each "
           "with a lag of its own; records all with this one", least=0),
    Switch("data_cloud_names", "ssot", "object and column names of today, or std__ as older pages spell them",
           ("ssot", "std")),
    Switch("data_cloud_entry_types", "off_core", "PARTICIPANT_CHANGED and MESSAGE, or ParticipantChanged and text",
           ("off_core", "documented")),
    Switch("data_cloud_payload", "json", "PayloadText is the payload's JSON, or the plain text where there is one",
           ("json", "text")),
    Switch("data_cloud_conversation_id", "conversation", "an entry's ConversationId: the Conversation's record id, or "
           "for messaging the session's", ("conversation", "session")),
    Switch("data_cloud_participant_links", False, "channel participants name their role and its app role row; off: as "
           "the published mapping, they do not"),
    Switch("data_cloud_local_times", False, "timestamps are the org's wall time (America/Denver) labelled UTC"),
    Switch("data_cloud_absent_objects", "", "objects, by comma (business or API names), that do not exist: the data "
           "stream is not deployed"),
    Switch("data_cloud_empty_objects", "", "objects, by comma (business names), whose rows a policy hides"),
    Switch("data_cloud_hidden_columns", "", "columns, by comma (API names), that a policy hides"),
    Switch("data_cloud_token_life_seconds", 7190, "life of a Data Cloud token, as its expires_in says", least=0),
    Switch("data_cloud_token_single_use", False, "a core token can be exchanged once, as one of the password grant; "
           "again answers a login page in HTML"),
    Switch("data_cloud_instance_url", "auto", "the tenant's instance_url: host alone, with scheme, or host alone over "
           "HTTPS only", ("auto", "host", "url")),
    Switch("data_cloud_call_ms", 0, "how long each call of the tenant host takes, and so counts as one at once",
           least=0),
    Switch("data_cloud_retry_after", True, "429 of the tenant host carries Retry-After"),
    Switch("data_cloud_after_polls", 1, "polls that find an asynchronous query running", least=0),
    Switch("data_cloud_after_seconds", 0, "seconds for which every query runs, adaptive ones too", least=0),
    Switch("data_cloud_result_seconds", 86_400, "how long results of v3 and query-sql are kept", least=0),
    Switch("data_cloud_chunk_rows", 20_000, "rows of a v3 chunk", least=1),
    Switch("data_cloud_page_bytes", 20_000_000, "most bytes of a v3 /rows page", least=1),
    Switch("data_cloud_connect_page_bytes", 2_000_000, "most bytes of the rows of a query-sql page", least=1),
    Switch("data_cloud_v2_page_bytes", 8_000_000, "most bytes of the rows of a v2 batch", least=1),
    Switch("data_cloud_withheld_rows", 0, "rows at the end of v3 and query-sql results that are counted and never come",
           least=0),
    Switch("data_cloud_empty_without_data", False, "empty results of v3 and query-sql lack data and returnedRows"),
    Switch("data_cloud_instants", "iso", "timestamps in JSON of v3 and query-sql: 2026-01-02T03:04:05.678Z, or "
           "2026-01-02 03:04:05.678+00", ("iso", "sql")),
    Switch("data_cloud_connect_status", "flat", "the status of a query-sql query flat, or wrapped in `status`",
           ("flat", "wrapped")),
    Switch("data_cloud_v2_done_missing", False, "v2 replies lack `done`; the last one has no nextBatchId then"),
    Switch("data_cloud_v2_leftover_batch_id", True, "the last v2 reply carries a nextBatchId that leads nowhere"),
    Switch("data_cloud_v2_batch_id", "query_chunk", "nextBatchId as <queryid>_<chunk>, or a UUID as until August 2026",
           ("query_chunk", "uuid")),
    Switch("export_layout", "csv", "transcript exports: one row an entry, wrapped JSON Lines, or a file a conversation",
           ("csv", "jsonl", "json_per_conversation")),
    Switch("export_encoding", "utf-8", "text of transcript exports; utf-8-sig is UTF-8 with its mark",
           ("utf-8", "utf-8-sig", "utf-16", "cp1252", "shift_jis")),
    Switch("export_delimiter", "COMMA", "columns of a CSV export", ("COMMA", "SEMICOLON", "TAB", "PIPE")),
    Switch("export_line_ending", "CRLF", "lines of a CSV export", ("CRLF", "LF")),
    Switch("export_part_bytes", 512 * 2**20, "a part of an export is closed after about so many bytes", least=1),
    Switch("export_seconds", 60, "seconds from the request of an export until it is complete", least=0),
    Switch("export_interval_seconds", 7 * 86_400, "seconds from a completed export until the next may be asked for",
           least=0),
    Switch("export_link_seconds", 48 * 3_600, "life of an export's links, then 404", least=0),
    Switch("export_users", "integrationuser@northpine.example", "user names, by comma, that may export transcripts"),
    Switch("export_corruption", "", "what is wrong with the first part of an export",
           ("", "half_zip", "wrong_crc", "mixed_encodings", "repeated_member", "other_member_of_the_name", "encrypted",
            "bomb", "path_traversal", "missing_part", "broken_row", "nested_zip", "gzip_members", "half_gzip")),
    Switch("gzip", True, "answers are compressed for who sends Accept-Encoding: gzip"),
    Switch("per_app_usage", False, "Sforce-Limit-Info carries the per-app-api-usage tail"),
    Switch("limits_permission", True, "the user may read /limits; off: 403 INSUFFICIENT_ACCESS"),
    Switch("jwt_session_errors", False, "expired tokens answer INVALID_AUTH_HEADER instead of INVALID_SESSION_ID"),
    Switch("token_life_seconds", 7200, "life of an access token, sliding with each use", least=0),
    Switch("network_delay_min_ms", 0, "shortest delay on the way to the org, and again on the way back", least=0),
    Switch("network_delay_max_ms", 0, "longest usual delay; each way is drawn evenly between the two", least=0),
    Switch("network_delay_rare_ms", 0, "the delay of the rare slow way", least=0),
    Switch("network_delay_rare_share", 0.01, "how often a way is a slow one, 0 to 1", least=0),
)  # fmt: skip


class Switches:
    """The switches' current positions."""

    def __init__(self) -> None:
        self._by_name = {switch.name: switch for switch in SWITCHES}
        self._values: dict[str, Any] = {switch.name: switch.default for switch in SWITCHES}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def set(self, values: Mapping[str, Any]) -> None:
        """
        Move switches; all or none.

        Raises:
          ValueError: an unknown switch, or a value that it cannot take.
        """
        for name, value in values.items():
            self._check(name, value)
        self._values.update(values)

    def described(self) -> dict[str, dict[str, Any]]:
        """Name to meaning, default, current value and choices."""
        return {
            switch.name: {"meaning": switch.meaning, "default": switch.default, "current": self[switch.name]}
            | ({"choices": list(switch.choices)} if switch.choices else {})
            for switch in SWITCHES
        }

    def _check(self, name: str, value: Any) -> None:
        switch = self._by_name.get(name)
        if switch is None:
            raise ValueError(f"no switch {name!r}; GET /simulator/switches lists them")
        if switch.choices and value not in switch.choices:
            raise ValueError(f"{name} is one of {', '.join(switch.choices)}")
        if isinstance(switch.default, str) and not isinstance(value, str):
            raise ValueError(f"{name} is a text")
        if isinstance(switch.default, bool) and not isinstance(value, bool):
            raise ValueError(f"{name} is true or false")
        if switch.least is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or value < switch.least
        ):
            raise ValueError(f"{name} is a number not below {switch.least:g}")
