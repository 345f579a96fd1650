"""The Conversation Transcript Export tool (section 7 of the bulk-export reference: all of it is assumed)."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile

import pytest

EXPORTS = "/sim/transcript-exports"
DAY = 86_400


@pytest.fixture
def tool(lasting):
    """The org, whose exports are complete at once."""
    lasting.control("switches", export_seconds=0)
    return lasting


def ask(org):
    """A new export as the org tells it."""
    answer = org.post(EXPORTS, {})
    assert answer.status_code == 202, answer.text
    return answer.json()


def parts(org, **switches):
    """The parts of a new export, by name."""
    org.control("switches", **switches)
    return {one["name"]: org.get(one["url"]).content for one in ask(org)["files"]}


def members(content):
    """A part's members, by name, without the manifest."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}


def manifest(content):
    """A part's manifest."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read("manifest.json"))


def first(org, **switches):
    """The first part of a new export."""
    return next(iter(parts(org, **switches).values()))


def table(content, encoding="utf-8", delimiter=","):
    """The rows of a CSV member."""
    return list(csv.DictReader(io.StringIO(content.decode(encoding), newline=""), delimiter=delimiter))


def truth(org, export):
    """The entries that an export has to hold, by identifier."""
    told = org.http.get(f"/simulator/truth/exports/{export['id']}").json()["entries"]
    return {row["entry_identifier"]: row for row in told}


def test_an_export_is_queued_processed_and_completed(lasting):
    """
    It takes its time, and has no files before that.
    """
    lasting.control("switches", export_seconds=3600)
    export = ask(lasting)
    states = [export["state"]]
    for _ in range(2):
        lasting.control("clock", advance_seconds=1800)
        states.append(lasting.get(f"{EXPORTS}/{export['id']}").json()["state"])

    assert (states, export["files"]) == (["Queued", "Processing", "Completed"], [])


def test_a_second_export_within_seven_days_is_refused(tool):
    """
    The tool is there again seven days after the last export was complete, not a second before.
    """
    ask(tool)
    tool.control("clock", advance_seconds=7 * DAY - 1)
    early = tool.post(EXPORTS, {})
    tool.control("clock", advance_seconds=1)

    assert (early.status_code, early.json()[0]["errorCode"]) == (400, "EXPORT_NOT_AVAILABLE_YET")
    assert tool.post(EXPORTS, {}).status_code == 202


def test_the_setup_page_offers_the_parts_as_links(tool):
    """
    The page's button asks for an export; the page then links its parts.
    """
    tool.post("/setup/conversationTranscriptExport", {})
    page = tool.get("/setup/conversationTranscriptExport").text

    assert 'class="actionLink"' in page


def test_the_setup_page_says_that_it_is_too_early(tool):
    """
    The button of the page answers 400 within the seven days.
    """
    ask(tool)

    assert tool.post("/setup/conversationTranscriptExport", {}).status_code == 400


def test_links_die_after_48_hours(tool):
    """
    Then the files are gone.
    """
    export = ask(tool)
    url = export["files"][0]["url"]
    tool.control("clock", advance_seconds=48 * 3600 - 1)
    alive = tool.get(url).status_code
    tool.control("clock", advance_seconds=1)

    assert (alive, tool.get(url).status_code) == (200, 404)


def test_a_new_export_removes_the_files_of_the_former_one(tool):
    """
    Even while their links would still live.
    """
    tool.control("switches", export_interval_seconds=0)
    url = ask(tool)["files"][0]["url"]
    ask(tool)

    assert tool.get(url).status_code == 404


def test_a_notice_with_links_is_sent_once_it_is_complete(lasting):
    """
    Nothing before that, one mail after.
    """
    export = ask(lasting)
    before = lasting.get("/sim/outbox").json()["mails"]
    lasting.control("clock", advance_seconds=60)
    mails = lasting.get("/sim/outbox").json()["mails"]

    assert before == []
    assert [mail["to"] for mail in mails] == [export["requestedBy"]]
    assert lasting.get(mails[0]["links"][0]).status_code == 200


def test_who_lacks_the_permission_is_refused(tool):
    """
    403 for users that the switch does not name.
    """
    tool.control("switches", export_users="somebody@else.example")

    assert tool.post(EXPORTS, {}).status_code == 403


def test_a_download_needs_a_session(tool):
    """
    The link alone opens nothing.
    """
    url = ask(tool)["files"][0]["url"]

    assert tool.http.get(url).status_code == 401


def test_a_csv_export_holds_every_entry_once(tool):
    """
    The same entries as the truth tells, one row each, under the columns of the off-core schema.
    """
    export = ask(tool)
    content = tool.get(export["files"][0]["url"]).content
    rows = table(next(iter(members(content).values())))

    assert [row["identifier"] for row in rows] == list(dict.fromkeys(row["identifier"] for row in rows))
    assert {row["identifier"]: int(row["transcripted_timestamp"]) for row in rows} == {
        identifier: row["transcripted_timestamp"] for identifier, row in truth(tool, export).items()
    }


def test_a_csv_export_is_quoted_with_crlf(tool):
    """
    Every cell is quoted, lines end with CR LF, there is no mark.
    """
    content = next(iter(members(first(tool)).values()))

    assert content.startswith(b'"identifier","conversation_identifer",')
    assert content.endswith(b'"\r\n')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "shift_jis"])
def test_text_can_be_in_another_encoding(tool, encoding):
    """
    The same rows, read in that encoding.
    """
    export = ask_with(tool, export_encoding=encoding)
    content = next(iter(members(tool.get(export["files"][0]["url"]).content).values()))

    assert {row["identifier"] for row in table(content, encoding)} == set(truth(tool, export))


def ask_with(org, **switches):
    org.control("switches", **switches)
    return ask(org)


def test_delimiter_and_line_end_can_differ(tool):
    """
    As the switches say.
    """
    content = next(iter(members(first(tool, export_delimiter="SEMICOLON", export_line_ending="LF")).values()))

    assert content.startswith(b'"identifier";"conversation_identifer";')
    assert b"\r\n" not in content


def test_json_lines_are_wrapped_as_the_upload_takes_them(tool):
    """
    A line for a conversation, then one for each of its entries, with the client's time and without payload.
    """
    content = next(iter(members(first(tool, export_layout="jsonl")).values()))
    lines = [json.loads(line) for line in content.decode().splitlines()]

    assert {line["type"] for line in lines} == {"conversation", "conversationEntry"}
    assert set(lines[1]["payload"]) == {
        "conversationId", "id", "clientSentTimestamp", "clientDuration", "messageText", "sender", "relatedRecords",
        "contextParamMap",
    }  # fmt: skip


def test_a_file_a_conversation_holds_its_entries(tool):
    """
    Named by the conversation, entries below `entries`.
    """
    files = members(first(tool, export_layout="json_per_conversation"))
    name, content = next(iter(files.items()))
    told = json.loads(content)

    assert name == f"{told['conversationIdentifier']}.json"
    assert told["entries"]


def test_a_small_cap_makes_many_parts_that_number_themselves(tool):
    """
    Their names end in their number, their manifests say which of how many, and their counts add up.
    """
    made = parts(tool, export_part_bytes=20_000)
    told = [manifest(content) for content in made.values()]

    assert len(made) > 1
    assert [int(name.rsplit("_", 1)[1].removesuffix(".zip")) for name in made] == [one["part"] for one in told]
    assert {one["parts"] for one in told} == {len(made)}
    assert sum(one["entryCount"] for one in told) == sum(
        len(table(content)) for part in made.values() for content in members(part).values()
    )


def test_equal_orgs_give_equal_archives(tool):
    """
    The same world at the same instant is the same bytes.
    """
    once = parts(tool)
    tool.control("reset")
    tool.headers = {"authorization": f"Bearer {tool.token()}"}

    assert parts(tool, export_seconds=0) == once


def test_half_a_zip_does_not_open(tool):
    """
    The first part ends in its middle.
    """
    with pytest.raises(zipfile.BadZipFile):
        members(first(tool, export_corruption="half_zip"))


def test_a_wrong_checksum_is_found_by_reading(tool):
    """
    It opens, and its first member does not read.
    """
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        members(first(tool, export_corruption="wrong_crc"))


def test_an_encrypted_member_asks_for_a_password(tool):
    """
    It says so in its flags.
    """
    with pytest.raises(RuntimeError, match="encrypted"):
        members(first(tool, export_corruption="encrypted"))


def test_two_encodings_are_mixed_in_one_member(tool):
    """
    It is neither UTF-8 nor readable as what it mostly is.
    """
    content = next(iter(members(first(tool, export_corruption="mixed_encodings")).values()))

    with pytest.raises(UnicodeDecodeError):
        content.decode()


@pytest.mark.parametrize(("corruption", "same"), [("repeated_member", True), ("other_member_of_the_name", False)])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_comes_twice(tool, corruption, same):
    """
    With the same content, or with another.
    """
    with zipfile.ZipFile(io.BytesIO(first(tool, export_corruption=corruption))) as archive:
        one, other = (archive.read(info) for info in archive.infolist()[:2])

    assert (one == other) is same


def test_a_bomb_expands_out_of_proportion(tool):
    """
    More than 500 times.
    """
    with zipfile.ZipFile(io.BytesIO(first(tool, export_corruption="bomb"))) as archive:
        ratios = [info.file_size / info.compress_size for info in archive.infolist()]

    assert max(ratios) > 500


def test_a_name_leads_out_of_the_archive(tool):
    """
    A member begins with dots.
    """
    assert any(name.startswith("../") for name in members(first(tool, export_corruption="path_traversal")))


def test_a_part_can_be_missing(tool):
    """
    The manifests of the others still count it.
    """
    made = parts(tool, export_part_bytes=20_000, export_corruption="missing_part")

    assert manifest(next(iter(made.values())))["parts"] == len(made) + 1


def test_a_row_can_lack_a_cell(tool):
    """
    The last row of the first part.
    """
    content = next(iter(members(first(tool, export_corruption="broken_row")).values()))

    assert list(csv.reader(io.StringIO(content.decode(), newline="")))[-1] == ["broken"] * 8


def test_members_can_be_packed_once_more(tool):
    """
    As a ZIP in the ZIP, or by gzip; half a gzip is possible as well.
    """
    tool.control("switches", export_interval_seconds=0)
    nested = next(iter(members(first(tool, export_corruption="nested_zip")).values()))
    packed = next(iter(members(first(tool, export_corruption="gzip_members")).values()))
    half = members(first(tool, export_corruption="half_gzip"))["half.csv.gz"]

    assert members(nested)
    assert table(gzip.decompress(packed))
    with pytest.raises(EOFError):
        gzip.decompress(half)
