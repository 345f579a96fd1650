"""What is wrong with an archive has a clear outcome, and what is right in it is read (bulk-export 4.1, safety)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tracemalloc
import zipfile

import pyarrow as pa
import pytest

from conversation_pipeline import archives
from conversation_pipeline.archives import Limits, Outcome
from conversation_pipeline_tests.archives.conftest import COLUMNS, entries, entry, table, zipped

GOOD = ("good.csv", table(entries(3, first=900)))
SECRET = "Mein Passwort ist Kirschbaum"


def reasons(provenance):
    """Name to reason of what was quarantined, by the last part of the name."""
    return {name.rsplit("/", 1)[-1].rsplit(": ", 1)[-1]: reason for name, reason in provenance.quarantined}


def marked(content, offset, value, *, of=0):
    """A ZIP with another byte in the directory entry of its member number `of`."""
    at = -1
    for _ in range(of + 1):
        at = content.index(b"PK\x01\x02", at + 1)
    return content[: at + offset] + bytes([value]) + content[at + offset + 1 :]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_part_that_was_cut_is_quarantined_and_the_others_are_read(folder, kept):
    """
    Half a ZIP has no directory: none of it is read, the next part is.
    """
    whole = zipped(("e.csv", table(entries(500))))
    found, provenance = folder.read(("a_1.zip", whole[: int(len(whole) * kept)]), ("a_2.zip", zipped(GOOD)))

    assert found.num_rows == 3
    assert "get the file again" in reasons(provenance)["a_1.zip"]


def test_a_good_copy_of_a_cut_part_is_read_later(folder):
    """
    The spoilt copy is another file, so nothing stands in the way.
    """
    whole = zipped(("e.csv", table(entries(5))))
    folder.read(("a.zip", whole[:-30]))

    assert folder.read(("a.zip", whole))[0].num_rows == 5


def test_a_member_with_a_wrong_checksum_gives_no_row(folder):
    """
    Not even those before the place; the other member is read.
    """
    content = zipped(("e.csv", table(entries(500))), GOOD)
    found, provenance = folder.read(("a.zip", marked(content, 16, content[content.index(b"PK\x01\x02") + 16] ^ 255)))

    assert found.num_rows == 3
    assert reasons(provenance) == {"e.csv": "spoilt inside the archive (wrong checksum); get the archive again"}


def test_a_flipped_byte_gives_no_row(folder):
    """
    In the packed bytes of a member.
    """
    content = bytearray(zipped(("e.csv", table(entries(500))), GOOD))
    content[len(content) // 3] ^= 0xFF
    found, provenance = folder.read(("a.zip", bytes(content)))

    assert found.num_rows == 3
    assert set(reasons(provenance)) == {"e.csv"}


@pytest.mark.parametrize("kept", [12, 0.5, 0.999])
def test_half_a_gzip_gives_no_row(folder, kept):
    """
    A stream without its end is quarantined whole.
    """
    packed = gzip.compress(table(entries(500)))
    cut = packed[: kept if isinstance(kept, int) else int(len(packed) * kept)]
    found, provenance = folder.read(("a.zip", zipped(("e.csv.gz", cut), GOOD)))

    assert found.num_rows == 3
    assert set(reasons(provenance)) == {"e.csv.gz"}


def test_mixed_encodings_are_quarantined(folder):
    """
    Neither encoding reads both halves, so neither is guessed.
    """
    rows = table(entries(50, message="Größe"))
    mixed = rows + table(entries(5, first=60, message="Größe"), encoding="cp1252").split(b"\r\n", 1)[1]
    found, provenance = folder.read(("a.zip", zipped(("e.csv", mixed), GOOD)))

    assert found.num_rows == 3
    assert "two encodings are mixed" in reasons(provenance)["e.csv"]


def test_the_same_member_twice_is_read_once(folder):
    """
    By its content, whatever the names.
    """
    content = table(entries(3))
    found, provenance = folder.read(("a.zip", zipped(("e.csv", content), ("copy.csv", content))))

    assert found.num_rows == 3
    assert [member.outcome for member in provenance.members] == [Outcome.ENTRIES, Outcome.DUPLICATE]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_first_counts(folder):
    """
    Other content under the same name is quarantined: which one is meant cannot be known.
    """
    content = zipped(("e.csv", table(entries(3))), ("e.csv", table(entries(5, first=50))))
    found, provenance = folder.read(("a.zip", content))

    assert found.num_rows == 3
    assert "second member of that name" in reasons(provenance)["e.csv"]


def test_the_same_part_twice_is_read_once(folder):
    """
    Under another name.
    """
    found, provenance = folder.read(("a_1.zip", zipped(GOOD)), ("a_1 (1).zip", zipped(GOOD)))

    assert found.num_rows == 3
    assert [archive.reason for archive in provenance.archives] == [None, "known"]
    assert provenance.quarantined == []


def test_what_was_read_before_is_skipped(folder):
    """
    A known archive by its hash; a known member by its own, also in another archive.
    """
    _, before = folder.read(("a.zip", zipped(GOOD)))
    archive, member = before.archives[0].sha256, before.members[0].sha256
    again, _ = folder.read(("a.zip", zipped(GOOD)), known={archive})
    packed_anew, provenance = folder.read(("b.zip", zipped(GOOD, ("e.csv", table(entries(2))))), known={member})

    assert (again.num_rows, packed_anew.num_rows) == (0, 2)
    assert provenance.members[0].outcome is Outcome.DUPLICATE


def test_encrypted_members_are_refused(folder):
    """
    The reason says so; the others are read.
    """
    content = zipped(("e.csv", table(entries(3))), GOOD)
    found, provenance = folder.read(("a.zip", marked(content, 8, 1)))

    assert found.num_rows == 3
    assert reasons(provenance)["e.csv"].startswith("encrypted")


@pytest.mark.parametrize("name", ["../../etc/e.csv", "/etc/e.csv", "..\\e.csv", "C:\\e.csv", "a/../../e.csv"])
def test_names_that_lead_out_of_the_archive_are_refused(folder, name):
    """
    Though nothing is ever written under a member's name.
    """
    found, provenance = folder.read(("a.zip", zipped((name, table(entries(5))), GOOD)))

    assert found.num_rows == 3
    assert [reason for _, reason in provenance.quarantined] == ["its name leads out of the archive"]


def test_a_member_that_expands_out_of_proportion_is_refused(folder):
    """
    By what the directory says, before a byte of it is inflated.
    """
    found, provenance = folder.read(("a.zip", zipped(("e.csv", bytes(64 * 2**20)), GOOD)))

    assert found.num_rows == 3
    assert "expands to more than 200 times" in reasons(provenance)["e.csv"]


def test_a_gzip_that_expands_out_of_proportion_is_refused(folder):
    """
    It does not tell its size, so it is watched while it expands, in little memory.
    """
    bomb = folder.drop("a.zip", zipped(("e.csv.gz", gzip.compress(b"a" * 2**26)), GOOD))
    tracemalloc.start()
    reading = archives.read([bomb])
    rows = sum(batch.num_rows for batch in reading.batches())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rows == 3
    assert "expands to more than 200 times" in reasons(reading.provenance)["e.csv.gz"]
    assert peak < 100 * 2**20


def test_a_directory_that_lies_about_a_size_gives_no_row(folder):
    """
    What comes out is no longer than what was promised, and its checksum is wrong.
    """
    content = zipped(("e.csv", table(entries(500))), GOOD)
    at = content.index(b"PK\x01\x02") + 24
    found, provenance = folder.read(("a.zip", content[:at] + struct.pack("<L", 1_000) + content[at + 4 :]))

    assert found.num_rows == 3
    assert "wrong checksum" in reasons(provenance)["e.csv"]


def test_an_archive_that_expands_to_too_much_is_left_there(folder):
    """
    The members within the limit are read.
    """
    first = table(entries(3))
    content = zipped(("e.csv", first), ("f.csv", table(entries(500, first=50))))
    found, provenance = folder.read(("a.zip", content), limits=Limits(expanded_bytes=len(first) + 100))

    assert found.num_rows == 3
    assert "expands to more than" in reasons(provenance)["f.csv"]


def test_too_many_members_are_refused_unread(folder):
    """
    Counted at the end of the file, before the directory is read into memory.
    """
    content = zipped(*((f"{number}.csv", b"") for number in range(50)))
    found, provenance = folder.read(("a.zip", content), limits=Limits(members=49))

    assert found.num_rows == 0
    assert reasons(provenance) == {"a.zip": "more than 49 members; raise the limit if it is meant"}


def test_archives_that_are_nested_too_deeply_are_refused(folder):
    """
    One archive in another is read, a third is not.
    """
    deep = zipped(("deep.zip", zipped(("deeper.zip", zipped(GOOD)))), GOOD)
    found, provenance = folder.read(("a.zip", deep))

    assert found.num_rows == 3
    assert "nested too deeply" in reasons(provenance)["deeper.zip"]


def test_a_method_that_is_not_read_here_is_refused(folder):
    """
    The reason names its number.
    """
    content = zipped(("e.csv", table(entries(3))), GOOD)
    found, provenance = folder.read(("a.zip", marked(content, 10, 99)))

    assert found.num_rows == 3
    assert "number 99" in reasons(provenance)["e.csv"]


def test_overlapping_members_are_refused(folder):
    """
    Two directory entries that share their bytes.
    """
    content = zipped(("e.csv", table(entries(500))), ("f.csv", table(entries(500, first=600))))
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1) + 42
    found, provenance = folder.read(("a.zip", content[:second] + struct.pack("<L", 0) + content[second + 4 :]))

    assert len(reasons(provenance)) >= 1
    assert found.num_rows <= 500


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"\x89PNG\r\n\x1a\n" + bytes(99)])
def test_what_is_no_archive_is_quarantined(folder, content):
    """
    Empty files, mere beginnings, pictures.
    """
    found, provenance = folder.read(("a.zip", content))

    assert found.num_rows == 0
    assert len(provenance.quarantined) == 1


def test_a_zip_without_members_is_no_failure(folder):
    """
    It holds nothing.
    """
    found, provenance = folder.read(("a.zip", zipped()))

    assert (found.num_rows, provenance.quarantined) == (0, [])


def test_junk_before_a_zip_is_passed_over(folder):
    """
    The directory is at the end, and finds its members.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(*GOOD)
    found, provenance = folder.read(("a.zip", b"PK\x03\x04junk" + out.getvalue()))

    assert (found.num_rows, provenance.quarantined) == (3, [])


def test_rows_of_the_wrong_width_are_counted_and_left_out(folder):
    """
    A cell too few or too many.
    """
    content = table(entries(3)) + b'"a","b"\r\n' + b",".join([b'"x"'] * 12) + b"\r\n"
    rows, member = folder.member("e.csv", content)

    assert len(rows) == 3
    assert member.quarantined_rows == {"row with more or fewer cells than the header": 2}


def test_rows_that_say_nothing_or_belong_nowhere_are_counted_and_left_out(folder):
    """
    An entry has a type, a payload or a text, and a conversation.
    """
    silent = entry(1, entry_type="", entry_payload="")
    homeless = entry(2, conversation_identifer="")
    rows, member = folder.member("e.csv", table([silent, homeless, entry(3)]))

    assert [row["member_row"] for row in rows] == [3]
    assert member.quarantined_rows == {"row without entry type, payload and text": 1, "row without a conversation": 1}


def test_a_line_that_is_no_json_is_counted_and_left_out(folder):
    """
    The lines around it are read.
    """
    line = json.dumps({"id": "1", "conversationId": "2", "messageText": "a"}).encode()
    rows, member = folder.member("e.jsonl", b"\n".join([line, line[:-9], b"[]", line.replace(b'"1"', b'"9"')]))

    assert [row["entry_identifier"] for row in rows] == ["1", "9"]
    assert member.quarantined_rows == {"line that is no JSON object": 2}


@pytest.mark.parametrize("wrap", ["[{}", '{{"conversationIdentifier":"2","entries":[{}'])
def test_json_that_breaks_off_gives_what_came_before_and_is_quarantined(folder, wrap):
    """
    An array or an object that was cut: rows before the break are read, and the member says that it was cut.
    """
    told = ",".join(json.dumps({"id": str(n), "conversationId": "2", "messageText": "a" * 900}) for n in range(9_000))
    rows, member = folder.member("e.json", wrap.format(told)[:-100].encode())

    assert len(rows) == 8_999
    assert (member.outcome, "breaks off" in member.reason) == (Outcome.QUARANTINED, True)


def test_a_value_that_is_too_long_is_quarantined(folder):
    """
    Memory has a bound.
    """
    told = json.dumps([{"id": "1", "conversationId": "2", "messageText": "ab" * 9_000}]).encode()
    rows, member = folder.member("e.json", told, limits=Limits(json_bytes=2**14))

    assert rows == []
    assert "of more than 16,384 characters" in member.reason


def test_a_missing_part_makes_a_set_incomplete(folder):
    """
    Two of three, by their manifests; without manifests nobody can say.
    """

    def part(number):
        manifest = json.dumps({"part": number, "parts": 3, "entryCount": 2}).encode()
        return f"a_{number}.zip", zipped(("e.csv", table(entries(2, first=number * 10))), ("manifest.json", manifest))

    assert folder.read(part(1), part(3))[1].complete is False
    assert folder.read(part(1), part(2), part(3))[1].complete is True
    assert folder.read(("b.zip", zipped(GOOD)))[1].complete is None


def test_a_quarantined_member_can_be_recognised(folder):
    """
    By the hash of its first 200 bytes.
    """
    content = table(entries(50, message="Größe")) + "Größe".encode("cp1252")
    _, member = folder.member("e.csv", content)

    assert member.head_sha256 == hashlib.sha256(content[:200]).hexdigest()


def test_no_words_of_a_customer_stand_in_the_provenance(folder):
    """
    Whatever is wrong with the rows that hold them.
    """
    said = entry(1, message=SECRET, transcripted_timestamp=SECRET, sender=SECRET, client_duration=SECRET)
    members = [
        ("a.csv", table([said, entry(2)]) + f'"{SECRET}"\r\n'.encode()),
        ("b.csv", table([said]) + f"{SECRET} Größe".encode("cp1252")),
        ("c.jsonl", f'{{"id":"1","conversationId":"2","text":"x"}}\n{{"{SECRET}"\n{SECRET}'.encode()),
        ("d.json", f'[{{"id":"1","text":"{SECRET}'.encode()),
    ]
    _, provenance = folder.read(("a.zip", zipped(*members)))

    assert len(provenance.quarantined_rows) > 0
    assert "Kirschbaum" not in json.dumps(provenance.as_json())


def test_memory_does_not_grow_with_the_archive(folder):
    """
    Eight times the rows take no more memory than once.
    """

    def peak(count):
        header, rows = table(entries(1_000)).split(b"\r\n", 1)
        path = folder.drop(f"{count}.zip", zipped(("e.csv", header + b"\r\n" + rows * count)))
        before = pa.total_allocated_bytes()
        most = 0
        for _ in archives.read([path]).batches():
            most = max(most, pa.total_allocated_bytes() - before)
        return most

    assert peak(240) < peak(30) * 2


def test_every_row_is_read_or_counted(folder):
    """
    Over all members: rows handed on and rows left out are the rows that are there.
    """
    content = table([entry(n, conversation_identifer="" if n % 7 == 0 else "c") for n in range(100)]) + b'"x"\r\n'
    rows, member = folder.member("e.csv", content)

    assert len(rows) + sum(member.quarantined_rows.values()) == 101
    assert member.columns == COLUMNS
