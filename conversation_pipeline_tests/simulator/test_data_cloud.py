"""What Data Cloud holds, and who may ask for it (sections 1 to 3 and 10 of the Data Cloud reference)."""

from __future__ import annotations

import base64
import json
from datetime import datetime

import pytest

from conversation_pipeline_tests.simulator.data_cloud import COUNT, ENTRIES, IDS, Cloud

TOKEN = "/services/a360/token"
DAY = "2026-11-18"
ON_DAY = f"WHERE \"ssot__TranscriptedDateTime__c\"::date = DATE '{DAY}'"


@pytest.fixture
def cloud(org):
    """The tenant, with a token."""
    return Cloud(org)


def column(cloud, name, table=ENTRIES, where=""):
    """The values of one column."""
    return [row[0] for row in cloud.rows(f'SELECT "{name}" FROM {table} {where}')]


# The exchange.


def test_a_core_token_is_exchanged_for_a_tenant_token(cloud):
    """
    With the tenant's URL and what is left of its life.
    """
    answer = cloud.exchange().json()

    assert answer["token_type"] == "Bearer"
    assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
    assert answer["expires_in"] == 7190
    assert answer["instance_url"].startswith("http://127.0.0.1:")


def test_the_tenant_token_names_its_tenant(cloud):
    """
    audienceTenantId among the claims.
    """
    body = cloud.exchange().json()["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))

    assert claims["audienceTenantId"].startswith("a360/")


def test_the_exchange_takes_its_parameters_from_the_query_string(cloud):
    """
    As the official Python client sends them.
    """
    parameters = {"grant_type": "urn:salesforce:grant-type:external:cdp", "subject_token": cloud.org.token(),
                  "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}  # fmt: skip

    assert cloud.org.http.post(TOKEN, params=parameters).status_code == 200


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"subject_token": "stale"}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"subject_token_type": "jwt"}, "invalid_request"),
        ({"dataspace": "elsewhere"}, "invalid_request"),
    ],
)
def test_a_wrong_exchange_is_400(cloud, changed, error):
    """
    With error and error_description.
    """
    answer = cloud.exchange(**changed)

    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["error_description"]


def test_a_second_exchange_may_answer_a_login_page(cloud):
    """
    HTML instead of a token, for a core token that was exchanged before.
    """
    cloud.org.control("switches", data_cloud_token_single_use=True)
    core = cloud.org.token()

    assert cloud.exchange(subject_token=core).status_code == 200
    again = cloud.exchange(subject_token=core)
    assert again.headers["content-type"].startswith("text/html")
    assert "startURL=%2Fservices%2Fa360%2Ftoken" in again.text


@pytest.mark.parametrize(("form", "scheme"), [("host", ""), ("url", "http://"), ("auto", "http://")])
def test_the_tenant_is_named_with_or_without_its_scheme(cloud, form, scheme):
    """
    Both were seen.
    """
    cloud.org.control("switches", data_cloud_instance_url=form)

    assert cloud.exchange().json()["instance_url"].startswith(f"{scheme}127.0.0.1")


def test_a_tenant_token_expires_when_it_says(cloud):
    """
    expires_in seconds after the exchange, used or not.
    """
    assert cloud.submit().status_code == 200
    cloud.org.control("clock", advance_seconds=7191)

    answer = cloud.submit()
    assert answer.status_code == 401
    assert answer.json()["message"] == "Authorization header verification failed"
    assert answer.json()["details"]["statusCode"] == 401


def test_a_tenant_token_outlives_the_core_token_it_came_from(cloud):
    """
    The official client revokes the core token at once.
    """
    core = cloud.org.token()
    cloud.headers = {"authorization": f"Bearer {cloud.exchange(subject_token=core).json()['access_token']}"}
    revoked = cloud.org.http.post("/services/oauth2/revoke", params={"token": core})

    assert revoked.status_code == 200
    assert cloud.org.http.get("/services/oauth2/userinfo", headers={"authorization": f"Bearer {core}"}).is_error
    assert cloud.submit().status_code == 200


def test_each_token_opens_its_own_host_only(cloud):
    """
    A core token is refused by the tenant, a tenant token by the core host.
    """
    core = cloud.org.http.post("/api/v3/query", json={"sql": IDS}, headers=cloud.org.headers)
    own = cloud.get("/services/data/v66.0/limits")

    assert (core.status_code, own.status_code) == (401, 401)


@pytest.mark.parametrize(("path", "scope"), [("query", "cdp_profile_api"), ("metadata", "cdp_query_api")])
def test_a_token_without_the_scope_is_403(cloud, path, scope):
    """
    cdp_query_api to query, cdp_profile_api for metadata.
    """
    cloud.org.control("clients", client_id="narrow", client_secret="s", scopes=["api", scope])
    form = {"grant_type": "client_credentials", "client_id": "narrow", "client_secret": "s"}
    core = cloud.org.http.post("/services/oauth2/token", data=form).json()["access_token"]
    cloud.headers = {"authorization": f"Bearer {cloud.exchange(subject_token=core).json()['access_token']}"}

    answer = cloud.submit() if path == "query" else cloud.get("/api/v1/metadata")
    assert answer.status_code == 403


def test_a_fault_can_expire_the_tenant_token(cloud):
    """
    401 in the middle of the work.
    """
    cloud.org.control("faults", route="data_cloud.v3_submit", nth=1, effect={"expire_token": True})

    assert cloud.submit().status_code == 401


# What is synced, and when.


def test_every_entry_of_a_settled_day_is_there(cloud):
    """
    The same entries as the truth, each once.
    """
    assert sorted(column(cloud, "ssot__Id__c", where=ON_DAY)) == cloud.true_ids(DAY)
    assert len(cloud.true_ids(DAY)) > 100


def test_it_is_the_same_world_as_the_conversation_data_api(cloud):
    """
    A settled day's entries by the one road are those by the other.
    """
    told = cloud.org.http.get("/simulator/truth/entries", params={"day": DAY}).json()["entries"]

    assert sorted(entry["entry_identifier"] for entry in told) == cloud.true_ids(DAY)


def test_an_entry_comes_with_a_lag(cloud):
    """
    Of today some are still awaited, and an hour later those are there.
    """
    today = "2026-11-19"
    awaited = cloud.org.http.get("/simulator/truth/data_cloud", params={"day": today}).json()["awaited"]
    before = set(column(cloud, "ssot__Id__c"))
    cloud.org.control("clock", advance_seconds=3600)
    after = set(column(cloud, "ssot__Id__c"))

    assert awaited
    assert not before & {entry["entry_identifier"] for entry in awaited}
    assert {entry["entry_identifier"] for entry in awaited} <= after


def test_without_lag_everything_is_there_at_once(cloud):
    """
    The switch at 0.
    """
    cloud.org.control("switches", data_cloud_lag_minutes=0)
    told = cloud.org.http.get("/simulator/truth/entries", params={"day": "2026-11-19"}).json()["entries"]
    where = "WHERE \"ssot__TranscriptedDateTime__c\"::date = DATE '2026-11-19'"

    assert sorted(column(cloud, "ssot__Id__c", where=where)) == sorted(entry["entry_identifier"] for entry in told)


def test_entries_put_in_by_hand_are_synced_too(cloud):
    """
    After their lag.
    """
    put = cloud.org.control("entries", conversationIdentifier=cloud.org.conversation(), entries=[{}])["identifiers"]
    first = column(cloud, "ssot__Id__c", where=f"WHERE \"ssot__Id__c\" = '{put[0]}'")
    cloud.org.control("clock", advance_seconds=3600)
    later = column(cloud, "ssot__Id__c", where=f"WHERE \"ssot__Id__c\" = '{put[0]}'")

    assert (first, later) == ([], put)


def test_a_redaction_follows_after_the_lag(cloud):
    """
    The old words until then, the new ones and a later LastModifiedDate afterwards.
    """
    org = cloud.org
    told = org.http.get("/simulator/truth/data_cloud", params={"day": DAY}).json()["entries"]
    entry = next(one for one in told if one["entry_type"] == "Message" and one["text"] and not one["voice_call_id"])
    where = f"WHERE \"ssot__Id__c\" = '{entry['entry_identifier']}'"
    org.control("redactions", conversationIdentifier=entry["conversation_identifier"],
                identifiers=[entry["entry_identifier"]], text="gone")  # fmt: skip
    before = column(cloud, "ssot__PayloadText__c", where=where)
    org.control("clock", advance_seconds=3600)
    after = column(cloud, "ssot__PayloadText__c", where=where)

    assert ('"gone"' in before[0], '"gone"' in after[0]) == (False, True)


def test_an_erasure_follows_after_the_lag(cloud):
    """
    The words of a conversation go from here later than from the entry APIs.
    """
    org = cloud.org
    told = org.http.get("/simulator/truth/data_cloud", params={"day": DAY}).json()["entries"]
    conversation = told[0]["conversation_id"]
    where = f"WHERE \"ssot__ConversationId__c\" = '{conversation}'"
    org.control("erasures", conversationIds=[conversation], seconds=1)
    org.control("clock", advance_seconds=2)
    before = column(cloud, "ssot__Id__c", where=where)
    org.control("clock", advance_seconds=3600)

    assert len(before) > 1
    assert column(cloud, "ssot__Id__c", where=where) == []


def test_entries_in_any_number_are_generated(cloud):
    """
    In Data Cloud alone, with their conversations, those of an hour ago and before.
    """
    org = cloud.org
    [[entries]] = cloud.rows(COUNT)
    org.control("data_cloud/generate", count=10_000, **{"from": "2026-11-18T00:00:00Z", "to": "2026-11-20T00:00:00Z"})
    told = [org.http.get("/simulator/truth/data_cloud", params={"day": day}).json()["generated"]
            for day in (DAY, "2026-11-19")]  # fmt: skip
    joined = f"""SELECT count(DISTINCT e."ssot__Id__c"), count(*) FROM {ENTRIES} e
        JOIN "ssot__Conversation__dlm" c ON c."ssot__Id__c" = e."ssot__ConversationId__c"
        WHERE c."ssot__ExternalRecordId__c" LIKE '00000001-0000-4000-9000-%'"""

    assert told == [5_000, 3_542]
    assert cloud.rows(COUNT) == [[entries + sum(told)]]
    assert cloud.rows(joined) == [[sum(told), sum(told)]]


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"count": "many"}, {"from": "2026-11-18"}, {"to": "2026-11-01T00:00:00Z"}]
)
def test_a_wrong_order_to_generate_is_refused(cloud, wrong):
    """
    With a sentence that says what is expected.
    """
    order = {"count": 1, "from": "2026-11-18T00:00:00Z", "to": "2026-11-19T00:00:00Z"} | wrong
    answer = cloud.org.http.post("/simulator/data_cloud/generate", json=order)

    assert (answer.status_code, "count" in answer.json()["error"]) == (400, True)


def test_conversations_are_joined_by_their_record_id(cloud):
    """
    Entries name the Conversation, and that its identifier.
    """
    pairs = cloud.rows(f"""
        SELECT e."ssot__Id__c", c."ssot__ExternalRecordId__c" FROM {ENTRIES} e
        JOIN "ssot__Conversation__dlm" c ON c."ssot__Id__c" = e."ssot__ConversationId__c"
         AND COALESCE(c."KQ_Id__c", '') = COALESCE(e."KQ_Id__c", '')
        {ON_DAY.replace('"ssot__Tr', 'e."ssot__Tr')}
    """)
    told = cloud.org.http.get("/simulator/truth/data_cloud", params={"day": DAY}).json()["entries"]

    assert dict(pairs) == {entry["entry_identifier"]: entry["conversation_identifier"] for entry in told}


def test_people_are_joined_by_the_channel_participant(cloud):
    """
    Who wrote has a display name; the system and the router have no row.
    """
    names = cloud.rows(f"""
        SELECT DISTINCT p."ssot__ParticipantDisplayName__c" FROM {ENTRIES} e
        JOIN "ssot__EngagementChannelParticipant__dlm" p
          ON p."ssot__Id__c" = e."ssot__EngagementParticipantId__c" WHERE e."ssot__ConversationEntryType__c" = 'MESSAGE'
    """)

    assert ["Trail Guide"] in names
    assert None in column(cloud, "ssot__EngagementParticipantId__c")


def test_roles_are_not_linked_unless_switched(cloud):
    """
    The published mapping fills no link from a participant to its role.
    """
    participants = '"ssot__EngagementChannelParticipant__dlm"'
    before = set(column(cloud, "ssot__EngagementParticipantRole__c", participants))
    cloud.org.control("switches", data_cloud_participant_links=True)
    after = set(column(cloud, "ssot__EngagementParticipantRole__c", participants))

    assert before == {None}
    assert {"Agent", "Chatbot", "End User"} <= after
    assert None not in after


def test_voice_entries_name_their_call(cloud):
    """
    SourceId leads to a Voice Call, and the call to a row of its own.
    """
    where = f"{ON_DAY} AND \"ssot__SourceObject__c\" = 'VoiceCall'"
    calls = set(column(cloud, "ssot__SourceId__c", where=where))

    assert calls
    assert calls <= set(column(cloud, "ssot__Id__c", '"ssot__VoiceCall__dlm"'))


def test_voice_entries_are_created_when_the_call_is_over(cloud):
    """
    So a window on creation brings entries of an earlier time.
    """
    rows = cloud.rows(
        f'SELECT "ssot__CreatedDate__c", "ssot__TranscriptedDateTime__c" FROM {ENTRIES} '
        "WHERE \"ssot__Modality__c\" = 'Voice'"
    )

    assert rows
    assert all(created > said for created, said in rows)


def test_the_key_qualifier_is_null_or_empty(cloud):
    """
    Both are used, and mean the same.
    """
    assert set(column(cloud, "KQ_Id__c")) == {None, ""}


@pytest.mark.parametrize(
    ("form", "expected"), [("off_core", {"MESSAGE", "PARTICIPANT_CHANGED"}), ("documented", {"text", "BotEscalated"})]
)
def test_entry_types_are_spelled_by_the_switch(cloud, form, expected):
    """
    In the off-core spelling, or as the object's page writes.
    """
    cloud.org.control("switches", data_cloud_entry_types=form)
    types = set(column(cloud, "ssot__ConversationEntryType__c"))

    assert expected - {"BotEscalated"} <= types


def test_the_payload_is_json_unless_switched_to_text(cloud):
    """
    Both were told: accept both.
    """
    where = 'WHERE "ssot__ConversationEntryType__c" = \'MESSAGE\' ORDER BY "ssot__Id__c"'
    as_json = column(cloud, "ssot__PayloadText__c", where=where)
    cloud.org.control("switches", data_cloud_payload="text")
    as_text = column(cloud, "ssot__PayloadText__c", where=where)

    assert all("abstractMessage" in json.loads(payload) for payload in as_json)
    assert any(not payload.startswith("{") for payload in as_text)


def test_messaging_entries_may_name_the_session_instead(cloud):
    """
    The column's description and its foreign key do not agree.
    """
    cloud.org.control("switches", data_cloud_conversation_id="session")
    prefixes = {identifier[:3] for identifier in column(cloud, "ssot__ConversationId__c") if identifier}

    assert prefixes == {"0Mw", "0dw"}


def test_older_names_can_be_met(cloud):
    """
    std__ in the place of ssot__.
    """
    cloud.org.control("switches", data_cloud_names="std")

    assert cloud.rows('SELECT count("std__Id__c") FROM "std__ConversationEntryDmo__dlm"')[0][0] > 100
    assert cloud.submit(COUNT).status_code == 400


def test_wall_time_may_be_labelled_utc(cloud):
    """
    Denver is seven hours behind in November.
    """
    sql = f'SELECT "ssot__Id__c", "ssot__ClientDateTime__c" FROM {ENTRIES} ORDER BY 1 LIMIT 1'
    [[identifier, true]] = cloud.rows(sql)
    cloud.org.control("switches", data_cloud_local_times=True)
    [[same, told]] = cloud.rows(sql)

    assert same == identifier
    assert (datetime.fromisoformat(true) - datetime.fromisoformat(told)).total_seconds() == 7 * 3600


def test_an_object_that_is_not_deployed_does_not_exist(cloud):
    """
    An error, not zero rows.
    """
    cloud.org.control("switches", data_cloud_absent_objects="ConversationEntry")

    answer = cloud.submit(COUNT)
    assert answer.status_code == 400
    assert "does not exist" in answer.json()["message"]


def test_a_policy_may_hide_rows(cloud):
    """
    An empty table.
    """
    cloud.org.control("switches", data_cloud_empty_objects="ConversationEntry")

    assert cloud.rows(COUNT) == [[0]]


def test_a_policy_may_hide_a_column(cloud):
    """
    It is not there to be selected.
    """
    cloud.org.control("switches", data_cloud_hidden_columns="ssot__PayloadText__c")

    assert cloud.submit(f'SELECT "ssot__PayloadText__c" FROM {ENTRIES}').status_code == 400


# Metadata.


def test_metadata_tells_objects_columns_and_keys(cloud):
    """
    By name, category and type.
    """
    [entity] = cloud.get("/api/v1/metadata", params={"entityName": "ssot__ConversationEntry__dlm"}).json()["metadata"]
    types = {field["name"]: field["type"] for field in entity["fields"]}

    assert entity["category"] == "Engagement"
    assert entity["primaryKeys"][0]["name"] == "ssot__Id__c"
    assert types["ssot__CreatedDate__c"] == "DATE_TIME"
    assert types["ssot__DurationSecondsCount__c"] == "NUMBER"
    assert {link["toEntity"] for link in entity["relationships"]} >= {"ssot__Conversation__dlm"}


def test_metadata_is_filtered_by_type(cloud):
    """
    Lake objects alone.
    """
    told = cloud.get("/api/v1/metadata", params={"entityType": "DataLakeObject"}).json()["metadata"]

    assert {entity["name"][-5:] for entity in told} == {"__dll"}


def test_every_column_that_is_told_can_be_selected(cloud):
    """
    Of every object, by its quoted name.
    """
    for entity in cloud.get("/api/v1/metadata").json()["metadata"]:
        names = ", ".join(f'"{field["name"]}"' for field in entity["fields"])
        assert cloud.submit(f'SELECT {names} FROM "{entity["name"]}" LIMIT 1').status_code == 200, entity["name"]


@pytest.mark.parametrize(
    ("path", "key"), [("data-model-objects", "dataModelObjects"), ("data-lake-objects", "dataLakeObjects")]
)
def test_the_core_host_lists_the_objects(cloud, path, key):
    """
    With a core token.
    """
    told = cloud.org.get(f"/services/data/v66.0/ssot/{path}").json()

    assert told["totalSize"] == len(told[key]) == 6


def test_lake_objects_hold_the_rows_of_their_model_objects(cloud):
    """
    By the names of the published mapping.
    """
    lake = column(cloud, "ConversationIdentifier__c", '"Conversation_Home__dll"')

    assert sorted(lake) == sorted(column(cloud, "ssot__ExternalRecordId__c", '"ssot__Conversation__dlm"'))
