"""
The traps of the roads, and the tests that fail without their guards.

Numbers and titles are those of the references: ``on-platform 7`` is of section 4 of the on-platform reference
("Incremental traps seen in public connectors"), ``entries 7`` of section 5 of that of the entry APIs ("Traps").
``pytest -m trap`` runs them all, ``pytest -m trap --collect-only`` lists them. Trap 31 of the platform is none but a
precedent: its tests show that the same shape is kept. ``data-cloud`` numbers the failures that its reference lists.
"""

from __future__ import annotations

from typing import NamedTuple


class Trap(NamedTuple):
    """
    Attributes:
        title: What goes wrong.
        tests: Files below this folder with the name of a test each, ``folder/test_file.py::test_name``.
    """

    title: str
    tests: tuple[str, ...]


_REFRESH = "pipeline/test_refresh.py::test_"
_BAD_INPUT = "pipeline/test_bad_input.py::test_"
_BULK_ROAD = "pipeline/test_bulk_road.py::test_"
_SELECTION = "extract/test_on_platform.py::test_"
_CSV = "extract/test_bulk.py::test_"
_QUERY = "salesforce/test_query.py::test_"
_JOBS = "salesforce/test_bulk.py::test_"
_ALLOCATION = "salesforce/test_allocation.py::test_"
_AUTH = "salesforce/test_auth.py::test_"
_SOQL = "salesforce/test_soql.py::test_"
_CATALOGUE = "schemas/test_catalogue.py::test_"

ON_PLATFORM = {
    1: Trap("late commits", (_REFRESH + "the_sensor_sees_a_late_commit", _REFRESH + "a_refresh_equals_a_full_pull")),
    2: Trap("ties at a boundary", (_SELECTION + "records_at_the_edges_of_a_day_are_of_one_day",)),
    3: Trap(
        "inclusive or exclusive boundaries",
        (_SOQL + "a_window_is_half_open", _SELECTION + "records_at_the_edges_of_a_day_are_of_one_day"),
    ),
    4: Trap(
        "end bound in the future",
        (
            _REFRESH + "a_reading_is_dated_by_the_org_s_clock",
            "salesforce/test_connection.py::test_the_server_s_clock_is_told",
        ),
    ),
    5: Trap("silent default start date", (_BAD_INPUT + "every_asset_asks_for_the_start_date",)),
    6: Trap(
        "cursor that no condition may name", (_SELECTION + "the_cursor_is_the_surest_field_that_a_condition_may_name",)
    ),
    7: Trap(
        "LastModifiedDate misses automation",
        (
            "pipeline/test_sweep.py::test_the_last_days_are_read_as_a_whole_each_night",
            "pipeline/test_sweep.py::test_conversations_of_changed_sessions_are_read_again",
            "pipeline/test_sweep.py::test_the_night_asks_for_the_days_of_changed_sessions",
        ),
    ),
    8: Trap("formulas move no stamp", (_SELECTION + "a_formula_is_not_read",)),
    9: Trap("objects without a stamp", (_REFRESH + "an_object_without_a_stamp_is_pulled_as_a_whole",)),
    10: Trap(
        "hidden columns",
        (
            _SELECTION + "the_selection_is_what_is_wanted_and_visible",
            _BAD_INPUT + "a_field_that_is_hidden_is_null_and_named",
        ),
    ),
    11: Trap("columns added later", (_REFRESH + "a_column_that_appears_is_filled_by_the_next_reading",)),
    12: Trap(
        "columns removed or of another type",
        (
            _REFRESH + "a_hidden_column_keeps_what_was_read_before",
            _SELECTION + "a_column_of_another_type_is_not_read",
            "pipeline/test_drift.py::test_lost_columns_changed_types_and_new_values_are_told",
        ),
    ),
    13: Trap(
        "hard deletes",
        (
            _REFRESH + "rows_deleted_for_good_leave_with_the_next_refresh",
            _REFRESH + "a_delete_and_an_insert_do_not_hide_each_other",
            _REFRESH + "the_sensor_names_the_days_of_deleted_records",
        ),
    ),
    14: Trap(
        "URI too long",
        (
            _QUERY + "a_query_that_fits_into_no_uri_is_not_sent",
            _BULK_ROAD + "a_query_too_long_for_a_uri_goes_by_bulk",
            _BULK_ROAD + "a_query_that_neither_api_takes_says_what_to_do",
        ),
    ),
    15: Trap("base64 and compound columns", (_SELECTION + "a_column_that_is_no_one_value_is_not_read",)),
    16: Trap("polymorphic lookups", (_SELECTION + "lookups_are_kept_as_ids",)),
    17: Trap(
        "locator after re-authentication",
        (
            _QUERY + "a_token_that_ends_between_pages_loses_the_locator",
            _REFRESH + "a_locator_that_is_lost_starts_the_query_again",
        ),
    ),
    18: Trap(
        "only the first bulk page", (_JOBS + "a_job_from_creation_to_deletion", _JOBS + "pages_that_do_not_add_up")
    ),
    19: Trap(
        "newlines, quotes and NUL in CSV", (_CSV + "any_text_comes_back", _CSV + "byte_order_mark_and_nul_are_dropped")
    ),
    20: Trap("count of the header and rows", (_CSV + "a_spoilt_page_is_refused", _CSV + "no_rows")),
    21: Trap(
        "everything a text in bulk",
        (
            _CSV + "whole_numbers_with_and_without_a_point",
            _BULK_ROAD + "a_bulk_job_brings_the_rows_of_a_rest_query",
        ),
    ),
    22: Trap("zones", (_SELECTION + "instants_are_read_in_every_spelling", _SELECTION + "a_date_knows_no_zone")),
    23: Trap("ORDER BY and LIMIT in bulk", (_BULK_ROAD + "a_job_may_be_split_by_the_org",)),
    24: Trap(
        "windows too wide",
        (_CSV + "a_window_that_is_too_large_is_cut", _CSV + "an_hour_that_is_too_large_is_for_the_other_road"),
    ),
    25: Trap(
        "allocation used up",
        (
            _ALLOCATION + "a_request_that_would_eat_the_reserve_is_not_sent",
            _ALLOCATION + "a_run_stops_at_its_share",
            _ALLOCATION + "a_run_s_processes_share_its_share",
        ),
    ),
    26: Trap(
        "refresh tokens that rotate",
        (_AUTH + "client_credentials_open_the_org", _AUTH + "a_signed_assertion_opens_the_org"),
    ),
    27: Trap(
        "soft-deleted parents",
        (_REFRESH + "a_soft_deleted_row_stays_and_says_so", _SELECTION + "what_is_asked_for_is_what_the_org_holds"),
    ),
    28: Trap("columns that depend on who asks", (_CATALOGUE + "no_column_depends_on_who_asks",)),
    29: Trap("sharing hides records", ("pipeline/test_drift.py::test_records_that_are_not_shared_are_found_out",)),
    30: Trap(
        "ConversationEntry without permission",
        (
            _CATALOGUE + "entries_are_no_dataset_of_the_platform",
            _BAD_INPUT + "an_object_that_the_org_lacks_is_an_empty_dataset",
        ),
    ),
    31: Trap(
        "precedent: windows of conversations, sessions by conversation identifier",
        (_SOQL + "a_window_is_half_open", _SELECTION + "a_parent_s_column_is_read"),
    ),
}


_ENTRY_ROADS = "pipeline/test_entry_roads.py::test_"
_LIVE = "pipeline/test_live.py::test_"
_REDACTION = "pipeline/test_redaction.py::test_"
_ERASURES = "pipeline/test_erasures.py::test_"
_SPINE = "pipeline/test_spine.py::test_"
_ENTRIES = "extract/test_entries.py::test_"
_WORK_LIST = "extract/test_work_list.py::test_"
_DATA = "salesforce/test_conversation_data.py::test_"
_CONNECT = "salesforce/test_connect.py::test_"
_USERS = "salesforce/test_entry_api.py::test_"

ENTRIES = {
    1: Trap(
        "paging by parameters that do not exist",
        (
            _CONNECT + "what_is_asked_for",
            _CONNECT + "a_short_page_is_no_end",
            _DATA + "more_than_a_thousand_entries_are_read_without_tokens",
        ),
    ),
    2: Trap(
        "the start of long conversations missing",
        (_CONNECT + "what_is_asked_for", _DATA + "a_conversation_is_read_to_its_end"),
    ),
    3: Trap(
        "seconds in the place of milliseconds",
        (_CONNECT + "what_is_asked_for", _DATA + "the_window_s_end_does_not_belong_to_it"),
    ),
    4: Trap(
        "HTML entities in Connect's texts",
        (
            _CONNECT + "text_comes_as_it_was_written",
            _ENTRIES + "entities_in_connect_s_texts_are_counted",
        ),
    ),
    5: Trap(
        "payload a text or an object",
        (
            _DATA + "either_spelling_of_a_payload_is_taken",
            _ENTRIES + "a_payload_becomes_columns",
            _ENTRY_ROADS + "the_lake_equals_the_truth",
        ),
    ),
    6: Trap(
        "three spellings of one type",
        (_ENTRIES + "types_and_roles_have_one_spelling", _ENTRIES + "a_text_of_connect_is_a_message"),
    ),
    7: Trap(
        "a conversation that goes on in later sessions",
        (
            _ENTRY_ROADS + "a_conversation_that_goes_on_later_is_read_again",
            _WORK_LIST + "a_changed_conversation_is_asked_again",
        ),
    ),
    8: Trap(
        "reading history keeps customers out",
        (
            _DATA + "every_request_takes_a_lease",
            _USERS + "both_apis_spend_one_budget",
            _USERS + "the_budget_changes_while_a_reading_waits",
        ),
    ),
    9: Trap(
        "bots' entries name no record",
        (_ENTRY_ROADS + "entries_are_of_the_session_or_call_that_they_were_said_in",),
    ),
    10: Trap(
        "ids of 15 characters",
        (
            _ENTRIES + "the_wrapper_becomes_columns",
            _ENTRY_ROADS + "entries_are_of_the_session_or_call_that_they_were_said_in",
        ),
    ),
    11: Trap("sessionEndedByRole", (_ENTRIES + "who_ended_a_session_is_not_taken_from_its_entries",)),
    12: Trap("seconds and milliseconds in payloads", (_ENTRIES + "a_payload_becomes_columns",)),
    13: Trap(
        "order by the devices' clocks",
        (
            _SPINE + "turns_come_in_the_server_s_order",
            _CONNECT + "a_page_begins_at_the_last_instant_of_the_one_before",
        ),
    ),
    14: Trap(
        "redaction under the same identifier and time",
        (
            _REDACTION + "a_redaction_is_found_at_the_ages_that_are_set",
            _REDACTION + "a_redaction_is_found_with_any_change_to_the_conversation",
            _WORK_LIST + "a_settled_conversation_is_read_again_at_the_ages_that_are_set",
        ),
    ),
    15: Trap(
        "session ids of the user interface",
        (_AUTH + "client_credentials_open_the_org", _AUTH + "a_signed_assertion_opens_the_org"),
    ),
    16: Trap(
        "one road in place of another",
        (
            _ENTRY_ROADS + "a_road_that_fails_is_not_replaced_by_another",
            _ENTRY_ROADS + "two_roads_tell_one_truth",
        ),
    ),
    17: Trap(
        "entries filtered by the window of discovery",
        (
            _ENTRY_ROADS + "what_is_uploaded_into_a_day_long_past_arrives_with_the_record_s_change",
            _WORK_LIST + "a_settled_day_is_read_as_a_whole",
        ),
    ),
    18: Trap(
        "templates: names and parameters, not what was seen",
        (_ENTRIES + "text_follows_the_rules", _ENTRIES + "a_payload_becomes_columns"),
    ),
    19: Trap("files behind references", (_ENTRY_ROADS + "files_are_kept_as_references",)),
    20: Trap("counts that differ by road", (_ENTRY_ROADS + "two_roads_tell_one_truth",)),
    21: Trap(
        "types that nobody has published yet",
        (_ENTRIES + "unknown_types_are_kept_and_counted", _BAD_INPUT + "an_unknown_entry_type_is_kept_and_named"),
    ),
    22: Trap(
        "required members that are missing",
        (
            _ENTRIES + "whatever_stands_in_an_entry_it_is_one_row",
            _ENTRIES + "whatever_stands_in_a_payload_it_is_one_row",
            _ENTRIES + "an_entry_without_a_message_has_no_message_columns",
        ),
    ),
    23: Trap(
        "a switch or a permission that looks like 401 or 404",
        (
            _USERS + "a_user_who_finds_nothing_that_another_one_reads_is_set_aside",
            _USERS + "a_user_that_is_not_let_in_is_set_aside_and_the_others_go_on",
            _BAD_INPUT + "execution_users_without_the_permission",
            _BAD_INPUT + "a_road_that_knows_no_conversation_is_a_failure",
        ),
    ),
    24: Trap(
        "erasure that the API does not tell of",
        (_ERASURES + "no_file_holds_a_word_of_theirs", _ERASURES + "the_sensor_asks_while_a_deletion_waits"),
    ),
    25: Trap(
        "Conversation empty or partly migrated",
        (_ENTRY_ROADS + "conversation_records_that_are_missing_hide_no_conversation",),
    ),
    26: Trap(
        "voice entries tied to another call later",
        (
            _ENTRY_ROADS + "a_call_s_entries_are_of_that_call_in_the_end",
            _WORK_LIST + "a_call_is_read_again_a_day_after_it_settled",
            _WORK_LIST + "a_call_that_has_not_settled_is_postponed",
        ),
    ),
    27: Trap("headers of other APIs", (_CONNECT + "no_header_of_another_api_is_sent",)),
}

_CLOUD = "salesforce/test_data_cloud.py::test_"
_CLOUD_PAGES = "extract/test_data_cloud.py::test_"
_CLOUD_ROAD = "pipeline/test_data_cloud.py::test_"
_REFUSED = _CLOUD + "a_refusal_is_an_error_of_its_kind"

DATA_CLOUD = {
    1: Trap(
        "HTML in place of a token",
        (
            _CLOUD + "a_login_page_in_place_of_a_token_costs_a_new_core_token",
            _CLOUD + "login_pages_for_ever_end_with_a_sentence",
        ),
    ),
    2: Trap("a core token that the exchange refuses", (_CLOUD + "a_core_token_that_is_refused_is_replaced_once",)),
    3: Trap("a client that the exchange refuses", (_CLOUD + "a_refused_exchange_names_scopes_and_data_space",)),
    4: Trap("an exchange that is throttled or down", (_CLOUD + "a_busy_exchange_is_tried_again",)),
    5: Trap(
        "a token that expires in mid-query",
        (
            _CLOUD + "a_token_that_expires_in_mid_result_costs_an_exchange",
            _CLOUD + "a_refused_token_is_renewed_once",
            _CLOUD + "a_token_is_renewed_shortly_before_its_end",
        ),
    ),
    6: Trap(
        "a query that expires, or a batch that was had before",
        (
            _CLOUD + "an_expired_query_is_lost",
            _CLOUD + "a_batch_that_waited_too_long_is_lost",
            _CLOUD + "a_batch_that_was_had_before_is_lost",
            _CLOUD + "a_batch_that_broke_off_is_not_asked_for_again",
            _CLOUD_ROAD + "a_result_that_is_lost_is_asked_for_anew",
        ),
    ),
    7: Trap("an offset past the end", (_CLOUD + "rows_from_beyond_the_last_are_the_end",)),
    8: Trap(
        "more than 15 calls at once, and 429",
        (
            _CLOUD + "no_more_than_fifteen_calls_are_under_way",
            _CLOUD + "a_chunk_that_is_refused_in_passing_is_asked_for_again",
            _REFUSED,
        ),
    ),
    9: Trap(
        "short pages",
        (
            _CLOUD + "every_api_tells_the_same_rows",
            _CLOUD + "an_empty_page_before_the_end_is_an_error",
            _CLOUD + "withheld_rows_are_missed",
            _CLOUD_ROAD + "withheld_rows_leave_the_old_partition",
        ),
    ),
    10: Trap("`done` is missing", (_CLOUD + "a_last_batch_without_done_is_the_last",)),
    11: Trap(
        "a left-over nextBatchId, or one that goes round",
        (_CLOUD + "a_left_over_batch_id_is_not_followed", _CLOUD + "batches_that_go_round_are_noticed"),
    ),
    12: Trap("an empty result without data", (_CLOUD + "an_empty_result_has_no_pages",)),
    13: Trap(
        "a table that is not there is no empty table",
        (
            _CLOUD + "an_object_that_is_not_there_is_named",
            _CLOUD_ROAD + "a_stream_that_is_not_deployed_is_no_empty_day",
            _CLOUD_ROAD + "a_road_that_is_not_there_is_told_by_the_tick",
        ),
    ),
    14: Trap(
        "policies that hide rows or columns",
        (
            _CLOUD_ROAD + "a_policy_that_hides_rows_empties_nothing",
            _CLOUD_ROAD + "a_hidden_column_stays_null_and_is_named",
        ),
    ),
    15: Trap(
        "wall time labelled UTC",
        (_CLOUD_ROAD + "wall_time_labelled_utc_is_refused", _CLOUD_ROAD + "wall_time_is_read_by_its_zone"),
    ),
    16: Trap(
        "500, in JSON or as `no healthy upstream`",
        (_CLOUD + "a_passing_fault_is_tried_again", _CLOUD + "an_upstream_that_stays_unhealthy_is_told", _REFUSED),
    ),
    17: Trap("errors in JSON, in JSON within JSON, in HTML", (_REFUSED,)),
    18: Trap(
        "pages and chunks that are cut, or lie about their rows",
        (
            _CLOUD + "a_chunk_that_is_cut_is_asked_for_again",
            _CLOUD + "a_chunk_with_less_rows_than_counted_is_no_result",
            _CLOUD + "a_batch_with_less_rows_than_it_says_is_no_batch",
            _CLOUD_PAGES + "pages_that_do_not_add_up_are_asked_for_again",
            _CLOUD_PAGES + "a_stream_that_is_cut_is_no_chunk",
        ),
    ),
    19: Trap(
        "late entries and changes",
        (
            _CLOUD_ROAD + "a_day_is_asked_for_an_hour_after_its_end",
            _CLOUD_ROAD + "a_day_is_read_again_when_its_count_moves",
            _CLOUD_ROAD + "a_redaction_is_found_by_the_change_it_leaves",
            _CLOUD_ROAD + "a_day_is_looked_at_again_until_it_stands_still",
        ),
    ),
    20: Trap(
        "numbers as text, columns of v2 in no order, both spellings of nothing",
        (
            _CLOUD_PAGES + "numbers_may_come_as_text",
            _CLOUD_PAGES + "columns_of_v2_are_sorted_by_their_place",
            _CLOUD_PAGES + "joins_go_by_key_qualifier_as_well",
        ),
    ),
}
"""Failures of the Data Cloud reference, sections 3.2, 4, 5 and 7; the numbers are ours."""

TRAPS = {
    f"{table} {number}": trap
    for table, traps in (("on-platform", ON_PLATFORM), ("entries", ENTRIES), ("data-cloud", DATA_CLOUD))
    for number, trap in traps.items()
}
"""By table and number: ``on-platform 7``, ``entries 12``, ``data-cloud 3``."""


def traps_of(file: str, test: str) -> list[str]:
    """The traps that a test guards: ``file`` is its path below this folder, ``test`` its name without parameters."""
    return [name for name, trap in TRAPS.items() if f"{file}::{test}" in trap.tests]
