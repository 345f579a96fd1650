"""
The traps of the on-platform road, and the tests that fail without their guards.

Numbers and titles are those of the on-platform reference, section 4 ("Incremental traps seen in public connectors").
``pytest -m trap`` runs them all, ``pytest -m trap --collect-only`` lists them. Trap 31 is no trap but a precedent: its
tests show that the same shape is kept.
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

TRAPS = {
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


def trap_numbers(file: str, test: str) -> list[int]:
    """The traps that a test guards: ``file`` is its path below this folder, ``test`` its name without parameters."""
    return [number for number, trap in TRAPS.items() if f"{file}::{test}" in trap.tests]
