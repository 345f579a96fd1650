"""
The marts, held against the simulator's own world.

What is expected is computed here a second time, by other means: pandas, from the world's truth over HTTP, one session
at a time, never by the models' SQL.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pytest

from conversation_pipeline.defs.assets.marts import METRICS_AGREE, metrics_agree, session_inputs
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES
from conversation_pipeline.schemas.fields import column_name
from conversation_pipeline.schemas.marts import (
    AGENT_DAILY_KPIS,
    CHANNEL_DAILY_KPIS,
    METRIC_TYPES,
    QUEUE_DAILY_KPIS,
    SESSION_KPIS,
    stored,
)
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.simulator import Simulator
from conversation_pipeline.storage import Lake
from conversation_pipeline_tests.conftest import FIRST_DAY, NOW, SPINE, Control, Project, project_for

DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(4)]
LANDED_DAYS = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(5)]
NEXT_MORNING = "2026-11-14T08:00:00+00:00"
"""Some who fell silent on the last of the days have not been timed out by then: their sessions are open."""

MARTS = ("session_kpis", "agent_daily_kpis", "queue_daily_kpis", "channel_daily_kpis")
UPSTREAM = (*SPINE[: SPINE.index("messages")], "messaging_session_metrics", "agent_work", "queues")
BY_RECORD = (
    "wait_seconds",
    "speed_to_answer_seconds",
    "handle_seconds",
    "after_conversation_work_seconds",
    "agent_count",
    "transfer_count",
    "is_abandoned",
    "is_deflected",
    "is_contained",
    "queue_wait_seconds",
    "call_seconds",
    "talk_seconds",
    "hold_seconds",
    "longest_hold_seconds",
    "hold_count",
    "ivr_seconds",
    "agent_id",
    "queue_id",
    "is_told_whole",
)
BY_ENTRY = (*(column_name(metric) for metric in METRIC_TYPES), "agent_response_count", "end_user_response_count")
NOT_MEASURED = {
    *("interaction_id", "interaction_type", "conversation_identifier", "channel_id", "channel_type", "channel_name"),
    *("agent_name", "queue_name", "created_date", "started_at", "accepted_at", "ended_at", "is_deleted"),
    *("session_date", "agent_queue_key", "queue_key", "channel_key", "agent_id", "queue_id"),
}
"""Columns of the marts that say what a row is about."""

STORED_BY_V66 = METRIC_TYPES[:6]
INSTANTS = frozenset(
    {
        *("CreatedDate", "StartTime", "AcceptTime", "EndTime"),
        *("CallStartDateTime", "CallQueuedDateTime", "CallAcceptDateTime", "CallEndDateTime"),
        *("RequestDateTime", "AcceptDateTime", "AbandonedDateTime"),
    }
)
Values = Mapping[Any, Any]


@dataclass(frozen=True)
class Landed:
    """Four days with all that followed, landed by one run, and what is true of them."""

    project: Project
    truth: pd.DataFrame
    works: pd.DataFrame
    replies: pd.DataFrame
    checks: dict[tuple[str, str], dg.AssetCheckEvaluation]

    @property
    def check(self) -> dg.AssetCheckEvaluation:
        return self.checks["session_kpis", METRICS_AGREE]

    def column(self, dataset: Dataset, name: str) -> Values:
        """A column of the mart, by key, over the four days."""
        rows = self.project.lake.dataset(dataset, DAYS).to_table().to_pylist()
        return {self.key(dataset, row): row[name] for row in rows}

    @staticmethod
    def key(dataset: Dataset, row: Values) -> str:
        day = row[str(dataset.partition_by)].date().isoformat()
        return f"{day} {row[dataset.key[0]]}"


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    with Simulator(seed=7, first_day=FIRST_DAY, conversations_per_day=16, now=NOW).serve() as running:
        control = Control(running.url)
        control.post("clock", now=NEXT_MORNING)
        project = project_for(running.url, tmp_path_factory.mktemp("marts"))
        run = project.materialize(LANDED_DAYS[0], LANDED_DAYS[-1], assets=(*UPSTREAM, *MARTS))
        checks = {(one.asset_key.to_user_string(), one.check_name): one for one in run.get_asset_check_evaluations()}
        world = World(control)
        yield Landed(project, world.interactions(), world.works, world.replies(), checks)
        project.instance.dispose()


class World:
    """The truth of the simulated org, as tables."""

    def __init__(self, control: Control) -> None:
        self.sessions = self._records(control, "MessagingSession", DAYS)
        self.calls = self._records(control, "VoiceCall", DAYS)
        works = self._records(control, "AgentWork", LANDED_DAYS)
        self.works = works[works.WorkItemId.isin({*self.sessions.Id, *self.calls.Id})]
        self.metrics = self._records(control, "MessagingSessionMetrics", LANDED_DAYS)
        self.users = self._records(control, "User", [None])
        entries = [entry for day in LANDED_DAYS for entry in control.get("truth/entries", day=day)["entries"]]
        self.messages = pd.DataFrame(
            [one for one in entries if one["entry_type"] == "Message" and one["visibility"] != "Internal"]
        ).sort_values("transcripted_timestamp")

    @staticmethod
    def _records(control: Control, sobject: str, days: list[Any]) -> pd.DataFrame:
        asked = [{"sobject": sobject} | ({"day": day} if day else {}) for day in days]
        rows = [row for params in asked for row in control.get("truth/records", **params)["records"]]
        frame = pd.DataFrame(rows)
        for name in INSTANTS & {*frame.columns}:
            frame[name] = pd.to_datetime(frame[name], utc=True)
        return frame

    def interactions(self) -> pd.DataFrame:
        """One row a session or call: its day and the KPIs that it should have."""
        rows = [
            *(self._messaging(session) for session in self.sessions.to_dict("records")),
            *(self._voice(call) for call in self.calls.to_dict("records")),
        ]
        return pd.DataFrame(rows, dtype=object)

    def replies(self) -> pd.DataFrame:
        """One row a message by an agent in an ended session: whose, and how long the end user waited for it."""
        agents = {user[:15]: user for user in self.users.Id}
        last = self.works.sort_values("RequestDateTime").groupby(["WorkItemId", "UserId"]).OriginalGroupId.last()
        ended = set(self.sessions[self.sessions.EndTime.notna()].Id)
        rows = []
        for session, said in self.messages.groupby("messaging_session_id"):
            before: Values = {}
            for one in said.to_dict("records") if session in ended else ():
                if one["sender_role"] == "Agent":
                    answers = before.get("sender_role") == "EndUser"
                    rows.append(
                        {
                            "session": session,
                            "agent": agents[one["sender_subject"][:15]],
                            "queue": last.get((session, agents[one["sender_subject"][:15]])),
                            "seconds": (one["transcripted_timestamp"] - before["transcripted_timestamp"]) / 1000
                            if answers
                            else None,
                        }
                    )
                before = one
        return pd.DataFrame(rows)

    def _messaging(self, session: Values) -> Values:
        works = self.works[self.works.WorkItemId == session["Id"]]
        ended, accepted = given(session["EndTime"]), given(session["AcceptTime"])
        asked_bot = session["AgentType"] in ("Bot", "BotToAgent") and ended is not None
        return {
            **self._worked(session, works, ended, accepted),
            "channel": session["MessagingChannelId"],
            "wait_seconds": seconds(given(session["StartTime"]), accepted),
            "transfer_count": int((works.Status == "Transferred").sum()) if ended else None,
            "is_abandoned": (accepted is None and session["AgentType"] == "BotToAgent") if ended or accepted else None,
            "is_deflected": session["AgentType"] == "Bot" if asked_bot else None,
            "is_contained": session["AgentType"] == "Bot" and session["EndedByType"] == "Bot" if asked_bot else None,
            "is_told_whole": ended is not None,
            **(self._said(session["Id"], works, accepted) if ended else dict.fromkeys(BY_ENTRY)),
            **self._stored(session["Id"]),
        }

    def _voice(self, call: Values) -> Values:
        ended, accepted = given(call["CallEndDateTime"]), given(call["CallAcceptDateTime"])
        works = self.works[self.works.WorkItemId == call["Id"]]
        talked = seconds(accepted, ended)
        return {
            **self._worked(call, works, ended, accepted),
            "channel": "Voice",
            "wait_seconds": seconds(given(call["CallStartDateTime"]), accepted),
            "transfer_count": int(given(call["NextCallId"]) is not None) if ended else None,
            "is_abandoned": accepted is None if ended or accepted else None,
            "queue_wait_seconds": seconds(given(call["CallQueuedDateTime"]), accepted),
            "call_seconds": given(call["CallDurationInSeconds"]),
            "talk_seconds": talked - call["CustomerHoldDuration"] if talked is not None else None,
            "hold_seconds": given(call["CustomerHoldDuration"]),
            "longest_hold_seconds": given(call["LongestHoldDuration"]),
            "hold_count": given(call["NumberOfHolds"]),
            "ivr_seconds": given(call["IvrDuration"]),
            "is_told_whole": False,
        }

    @staticmethod
    def _worked(record: Values, works: pd.DataFrame, ended: Any, accepted: Any) -> Values:
        taken = works[works.AcceptDateTime.notna()].sort_values("AcceptDateTime")
        first = works.sort_values("RequestDateTime")
        over = ended is not None and len(taken) > 0
        return {
            "id": record["Id"],
            "day": record["CreatedDate"].date().isoformat(),
            "deleted": record["IsDeleted"],
            "ended": ended,
            "accepted": accepted,
            "agent_id": taken.UserId.iloc[-1] if len(taken) else None,
            "queue_id": first.OriginalGroupId.iloc[0] if len(first) else owning_queue(record),
            "speed_to_answer_seconds": taken.SpeedToAnswer.iloc[0] if len(taken) else None,
            "handle_seconds": taken.HandleTime.sum() if over else None,
            "after_conversation_work_seconds": taken.AfterConversationActualTime.sum() if over else None,
            "agent_count": taken.UserId.nunique() if ended else None,
        }

    def _said(self, session: str, works: pd.DataFrame, accepted: Any) -> Values:
        said = self.messages[self.messages.messaging_session_id == session]
        gaps = said.transcripted_timestamp.diff() / 1000
        before = said.sender_role.shift()
        by_agent = gaps[(said.sender_role == "Agent") & (before == "EndUser")]
        by_end_user = gaps[(said.sender_role == "EndUser") & before.isin(["Agent", "Chatbot"])]
        written = pd.to_datetime(said[said.sender_role == "Agent"].transcripted_timestamp, unit="ms", utc=True)
        requested = given(works.RequestDateTime.min())
        return {
            "agent_message_count": int((said.sender_role == "Agent").sum()),
            "end_user_message_count": int((said.sender_role == "EndUser").sum()),
            "agent_response_count": len(by_agent),
            "end_user_response_count": len(by_end_user),
            "end_user_waits": by_end_user.tolist(),
            "average_agent_response_time": given(by_agent.mean()),
            "max_agent_response_time": given(by_agent.max()),
            "average_end_user_response_time": given(by_end_user.mean()),
            "max_end_user_response_time": given(by_end_user.max()),
            "service_rep_first_response_time": seconds(requested, given(written.min())),
            "service_rep_accept_to_first_response_time": seconds(accepted, given(written.min())),
        }

    def _stored(self, session: str) -> Values:
        rows = self.metrics[self.metrics.MessagingSessionId == session]
        told = dict(zip(rows.MessagingSessionMetricType, rows.MessagingSessionMetricValue, strict=True))
        return {stored(metric): given(told.get(metric)) for metric in METRIC_TYPES}


def owning_queue(record: Values) -> str | None:
    """Sessions and calls that no agent took belong to the queue in which they waited; others to users."""
    return str(record["OwnerId"]) if record["OwnerId"].startswith("00G") else None


def given(value: Any) -> Any:
    """What pandas has for nothing, as None."""
    return None if value is None or pd.isna(value) else value


def seconds(start: Any, end: Any) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def differing(found: Values, expected: Values) -> Values:
    """Keys whose values are not the same, to the millisecond."""
    return {
        key: (found.get(key), expected.get(key))
        for key in found.keys() | expected.keys()
        if not same(found.get(key), given(expected.get(key)))
    }


def same(found: Any, expected: Any) -> bool:
    if found is None or expected is None or isinstance(expected, str):
        return found is None and expected is None if found is None or expected is None else bool(found == expected)
    return math.isclose(float(found), float(expected), abs_tol=0.0005)


@pytest.mark.parametrize("kpi", [*BY_RECORD, *BY_ENTRY])
def test_every_kpi_is_what_the_world_says(landed: Landed, kpi: str) -> None:
    """For every session and call, the KPI computed by pandas from the world's truth."""
    expected = dict(zip(landed.truth.day + " " + landed.truth.id, landed.truth[kpi], strict=True))

    assert any(given(value) is not None for value in expected.values())
    assert not differing(landed.column(SESSION_KPIS, kpi), expected)


@pytest.mark.parametrize("metric", STORED_BY_V66)
def test_what_salesforce_stored_stands_beside_it(landed: Landed, metric: str) -> None:
    """The stored column has the value of the session's metrics record."""
    expected = dict(zip(landed.truth.day + " " + landed.truth.id, landed.truth[stored(metric)], strict=True))

    assert any(given(value) is not None for value in expected.values())
    assert not differing(landed.column(SESSION_KPIS, stored(metric)), expected)


def test_the_world_has_what_makes_kpis_hard(landed: Landed) -> None:
    """Sessions that cross midnight, are open, transferred, abandoned, deflected or deleted, and transferred calls."""
    truth = landed.truth
    ended = truth.dropna(subset=["ended"])
    midnight = [end.date().isoformat() != day for end, day in zip(ended.ended, ended.day, strict=True)]

    assert any(midnight)
    assert truth.ended.isna().any()
    assert (truth.transfer_count > 0).any()
    assert (truth.is_abandoned == True).any()  # noqa: E712  (pandas: None is neither)
    assert (truth.is_deflected == True).any()  # noqa: E712
    assert truth.deleted.any()
    assert (truth[truth.channel == "Voice"].transfer_count > 0).any()


def test_computed_metrics_agree_with_stored_ones(landed: Landed) -> None:
    """The asset check passes: it compared every session that has ended, and none differs."""
    ended = landed.project.lake.dataset(SESSION_KPIS, LANDED_DAYS).to_table(columns=["is_told_whole"])
    told_whole = sum(ended["is_told_whole"].to_pylist())

    assert landed.check.passed
    assert told_whole > 0
    assert landed.check.metadata["sessions_compared"].value == told_whole


Kpis = dict[str, Callable[[pd.DataFrame], Any]]

CHANNEL_KPIS: Kpis = {
    "interaction_count": len,
    "ended_count": lambda rows: rows.ended.notna().sum(),
    "told_whole_count": lambda rows: rows.is_told_whole.sum(),
    "accepted_count": lambda rows: rows.accepted.notna().sum(),
    "abandoned_count": lambda rows: are(rows.is_abandoned),
    "bot_count": lambda rows: rows.is_deflected.notna().sum(),
    "deflected_count": lambda rows: are(rows.is_deflected),
    "contained_count": lambda rows: are(rows.is_contained),
    "abandonment_rate": lambda rows: share(
        are(rows.is_abandoned), rows.accepted.notna().sum() + are(rows.is_abandoned)
    ),
    "deflection_rate": lambda rows: share(are(rows.is_deflected), rows.is_deflected.notna().sum()),
    "containment_rate": lambda rows: share(are(rows.is_contained), rows.is_contained.notna().sum()),
    "transfer_count": lambda rows: rows.transfer_count.astype(float).sum(min_count=1),
    "average_wait_seconds": lambda rows: rows.wait_seconds.astype(float).mean(),
    "average_speed_to_answer_seconds": lambda rows: rows.speed_to_answer_seconds.astype(float).mean(),
    "average_handle_seconds": lambda rows: rows.handle_seconds.astype(float).mean(),
    "average_after_conversation_work_seconds": lambda rows: rows.after_conversation_work_seconds.astype(float).mean(),
    "average_queue_wait_seconds": lambda rows: rows.queue_wait_seconds.astype(float).mean(),
    "average_talk_seconds": lambda rows: rows.talk_seconds.astype(float).mean(),
    "average_hold_seconds": lambda rows: rows.hold_seconds.astype(float).mean(),
    "agent_message_count": lambda rows: rows.agent_message_count.astype(float).sum(min_count=1),
    "end_user_message_count": lambda rows: rows.end_user_message_count.astype(float).sum(min_count=1),
    "max_agent_response_time": lambda rows: rows.max_agent_response_time.astype(float).max(),
    "average_end_user_response_time": lambda rows: rows.end_user_waits.explode().astype(float).mean(),
    "max_end_user_response_time": lambda rows: rows.end_user_waits.explode().astype(float).max(),
}


def are(values: pd.Series[Any]) -> int:
    """How many are true, and not unknown."""
    return int((values == True).sum())  # noqa: E712


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def counting(landed: Landed) -> pd.DataFrame:
    """Sessions and calls without those that were deleted."""
    return landed.truth[~landed.truth.deleted.astype(bool)]


@pytest.mark.parametrize("kpi", CHANNEL_KPIS)
def test_a_channel_s_day_is_its_sessions_together(landed: Landed, kpi: str) -> None:
    """By channel and day of creation, without what was deleted."""
    expected = {
        f"{day} {channel}": CHANNEL_KPIS[kpi](rows)
        for (day, channel), rows in counting(landed).groupby(["day", "channel"])
    }

    assert not differing(landed.column(CHANNEL_DAILY_KPIS, kpi), expected)


def test_a_channel_s_response_time_is_a_mean_of_responses(landed: Landed) -> None:
    """A session of many responses weighs more than one of few."""
    responses = landed.replies.dropna(subset=["seconds"]).merge(counting(landed), left_on="session", right_on="id")
    expected: Values = responses.groupby(responses.day + " " + responses.channel).seconds.mean().to_dict()

    found = landed.column(CHANNEL_DAILY_KPIS, "average_agent_response_time")

    assert not differing({key: value for key, value in found.items() if value is not None}, expected)


WORK_KPIS: Kpis = {
    "work_count": len,
    "accepted_work_count": lambda rows: rows.AcceptDateTime.notna().sum(),
    "declined_work_count": lambda rows: rows.Status.isin(["Declined", "DeclinedOnPushTimeout"]).sum(),
    "abandoned_work_count": lambda rows: rows.AbandonedDateTime.notna().sum(),
    "transferred_work_count": lambda rows: (rows.Status == "Transferred").sum(),
    "average_speed_to_answer_seconds": lambda rows: rows.SpeedToAnswer.mean(),
    "max_speed_to_answer_seconds": lambda rows: rows.SpeedToAnswer.max(),
    "handle_seconds": lambda rows: rows.HandleTime.sum(min_count=1),
    "average_handle_seconds": lambda rows: rows.HandleTime.mean(),
    "after_conversation_work_seconds": lambda rows: rows.AfterConversationActualTime.sum(min_count=1),
    "average_after_conversation_work_seconds": lambda rows: rows.AfterConversationActualTime.mean(),
}
AGENT_KPIS: Kpis = {
    "interaction_count": lambda rows: rows.WorkItemId.nunique(),
    **{name.replace("_work_count", "_count"): kpi for name, kpi in WORK_KPIS.items()},
}


def works_that_count(landed: Landed) -> pd.DataFrame:
    return landed.works.merge(counting(landed)[["id", "day"]], left_on="WorkItemId", right_on="id")


@pytest.mark.parametrize("kpi", AGENT_KPIS)
def test_an_agent_s_day_is_the_work_on_the_day_s_sessions(landed: Landed, kpi: str) -> None:
    """By agent, queue and day on which the session or call was created; abandoned work has a row without agent."""
    works = works_that_count(landed)
    works["agent"] = works.UserId.fillna("none") + "/" + works.OriginalGroupId
    expected = {f"{day} {agent}": AGENT_KPIS[kpi](rows) for (day, agent), rows in works.groupby(["day", "agent"])}

    assert not differing(landed.column(AGENT_DAILY_KPIS, kpi), expected)


REPLY_KPIS: Kpis = {
    "agent_message_count": len,
    "agent_response_count": lambda rows: rows.seconds.notna().sum(),
    "average_agent_response_time": lambda rows: rows.seconds.mean(),
}


def replies_that_count(landed: Landed) -> pd.DataFrame:
    return landed.replies.merge(counting(landed)[["id", "day"]], left_on="session", right_on="id")


@pytest.mark.parametrize("kpi", REPLY_KPIS)
def test_an_agent_s_messages_are_the_agent_s_own(landed: Landed, kpi: str) -> None:
    """In a session that was handed on, each agent's responses count for that agent alone, under the work's queue."""
    replies = replies_that_count(landed)
    groups = replies.groupby(replies.day + " " + replies.agent + "/" + replies.queue)
    expected = {key: REPLY_KPIS[kpi](rows) for key, rows in groups}

    found = landed.column(AGENT_DAILY_KPIS, kpi)

    assert any(given(value) is not None for value in expected.values())
    assert not differing({key: value for key, value in found.items() if value is not None or key in expected}, expected)


QUEUE_KPIS: Kpis = {
    "interaction_count": len,
    "transfer_count": lambda rows: rows.transfer_count.astype(float).sum(),
    "max_queue_wait_seconds": lambda rows: rows.queue_wait_seconds.astype(float).max(),
    **{
        name: CHANNEL_KPIS[name]
        for name in (
            *("accepted_count", "abandoned_count", "abandonment_rate"),
            *("average_queue_wait_seconds", "average_talk_seconds", "average_hold_seconds"),
        )
    },
}


@pytest.mark.parametrize("kpi", QUEUE_KPIS)
def test_a_queue_s_day_is_what_waited_in_it_first(landed: Landed, kpi: str) -> None:
    """Each session and call counts once, for the queue in which it waited first, answered or not."""
    waited = counting(landed).dropna(subset=["queue_id"])
    expected = {f"{day} {queue}": QUEUE_KPIS[kpi](rows) for (day, queue), rows in waited.groupby(["day", "queue_id"])}

    assert not differing(landed.column(QUEUE_DAILY_KPIS, kpi), expected)


QUEUE_WORK_KPIS: Kpis = {
    "agent_count": lambda rows: rows[rows.AcceptDateTime.notna()].UserId.nunique(),
    **WORK_KPIS,
}


@pytest.mark.parametrize("kpi", QUEUE_WORK_KPIS)
def test_a_queue_s_work_is_what_came_from_it(landed: Landed, kpi: str) -> None:
    """Work counts for its own queue, also where the session waited in another one first."""
    works = works_that_count(landed).groupby(["day", "OriginalGroupId"])
    expected = {f"{day} {queue}": QUEUE_WORK_KPIS[kpi](rows) for (day, queue), rows in works}

    found = landed.column(QUEUE_DAILY_KPIS, kpi)

    assert not differing({key: value for key, value in found.items() if value or key in expected}, expected)


@pytest.mark.parametrize("kpi", REPLY_KPIS)
def test_a_queue_s_messages_are_those_of_its_work(landed: Landed, kpi: str) -> None:
    """What agents wrote counts for the queue that they took the session from."""
    replies = replies_that_count(landed)
    expected = {key: REPLY_KPIS[kpi](rows) for key, rows in replies.groupby(replies.day + " " + replies.queue)}

    found = landed.column(QUEUE_DAILY_KPIS, kpi)

    assert not differing({key: value for key, value in found.items() if value is not None or key in expected}, expected)


@pytest.mark.parametrize(
    ("mart", "computed"),
    [
        (SESSION_KPIS, {*BY_RECORD, *BY_ENTRY, *map(stored, METRIC_TYPES), "works", "replies"}),
        (AGENT_DAILY_KPIS, {*AGENT_KPIS, *REPLY_KPIS}),
        (QUEUE_DAILY_KPIS, {*QUEUE_KPIS, *QUEUE_WORK_KPIS, *REPLY_KPIS}),
        (CHANNEL_DAILY_KPIS, {*CHANNEL_KPIS, "average_agent_response_time"}),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_every_figure_is_computed_a_second_time(mart: Dataset, computed: set[str]) -> None:
    """A KPI that is added to a mart and not to these tests fails here; works and replies are told by the roll-ups."""
    assert {field.name for field in mart.fields} - NOT_MEASURED == computed - NOT_MEASURED


@pytest.mark.parametrize("mart", [AGENT_DAILY_KPIS, QUEUE_DAILY_KPIS, CHANNEL_DAILY_KPIS], ids=lambda mart: mart.name)
def test_no_day_and_no_key_comes_twice(landed: Landed, mart: Dataset) -> None:
    """Sessions that end after midnight are summed on one day, each queue, agent or channel in one row."""
    rows = landed.project.lake.dataset(mart, DAYS).to_table().to_pylist()

    assert len({landed.key(mart, row) for row in rows}) == len(rows) > 0


def test_a_session_that_ends_after_midnight_lands_in_one_place(landed: Landed) -> None:
    """On the day of its creation, with all that was said of it, and nowhere else."""
    late = landed.truth[[end is not None and end.date().isoformat() > day for end, day in ends_and_days(landed)]]
    kept = {
        row["interaction_id"]: row for day in LANDED_DAYS for row in landed.project.rows(SESSION_KPIS, day).to_pylist()
    }
    places = [
        (row["interaction_id"], day)
        for day in LANDED_DAYS
        for row in landed.project.rows(SESSION_KPIS, day).to_pylist()
        if row["interaction_id"] in set(late.id)
    ]

    assert sorted(places) == sorted(zip(late.id, late.day, strict=True))
    assert any(kept[one]["end_user_message_count"] for one in late.id)


def ends_and_days(landed: Landed) -> list[tuple[Any, str]]:
    return [(given(end), day) for end, day in zip(landed.truth.ended, landed.truth.day, strict=True)]


def measured(**values: Any) -> pads.Dataset:
    """A session that was told whole, as the mart has it."""
    row = {"interaction_id": "0Mw1", "created_date": NOW, "is_told_whole": True} | values
    return pads.dataset(pa.Table.from_pylist([row], SESSION_KPIS.schema))


@pytest.mark.parametrize(
    ("values", "agrees"),
    [
        pytest.param({"max_agent_response_time": 30.6, "stored_max_agent_response_time": 31}, True, id="rounded"),
        pytest.param({"max_agent_response_time": 30.6, "stored_max_agent_response_time": 33}, False, id="time"),
        pytest.param({"agent_message_count": 4, "stored_agent_message_count": 5}, False, id="count"),
        pytest.param({"stored_max_agent_response_time": 0}, True, id="nothing stored as 0"),
        pytest.param({"stored_max_agent_response_time": 12}, False, id="a response that was not read"),
        pytest.param({"agent_message_count": 4}, True, id="not stored"),
        pytest.param(
            {"is_told_whole": False, "agent_message_count": 4, "stored_agent_message_count": 5},
            True,
            id="not told whole",
        ),
    ],
)
def test_metrics_that_differ_fail_the_check(values: dict[str, Any], agrees: bool) -> None:
    """Counts have to be the same, times no more than a second apart; what is not known on both sides is let be."""
    assert metrics_agree(measured(**values)).passed is agrees


def test_the_check_says_how_many_differ_and_by_how_much() -> None:
    """One sentence with the metric and the largest difference, as a warning that blocks nothing."""
    result = metrics_agree(measured(agent_message_count=4, stored_agent_message_count=7))

    assert result.description is not None
    assert result.description.startswith("1 of 1 sessions differ: AgentMessageCount by at most 3")
    assert result.severity is dg.AssetCheckSeverity.WARN


def test_a_day_reads_no_more_days_than_its_sessions_reach_into(tmp_path: Path) -> None:
    """A session that ends after midnight needs the entries of two days, and those stamped just before it began."""
    lake = Lake(str(tmp_path))
    midnight = datetime.combine(FIRST_DAY, time.min, UTC)
    days = [(FIRST_DAY + timedelta(days=offset)).isoformat() for offset in range(-3, 6)]
    for day in days:
        lake.replace(
            CONVERSATION_ENTRIES, day, pa.RecordBatchReader.from_batches(CONVERSATION_ENTRIES.schema, []), run_id="r"
        )
    ends = {"id": "0Mw1", "created_date": midnight, "end_time": midnight + timedelta(hours=25)}
    sessions = pa.Table.from_pylist([ends], MESSAGING_SESSIONS.schema)
    lake.replace(MESSAGING_SESSIONS, DAYS[0], sessions.to_reader(), run_id="r")

    read = session_inputs(lake, DAYS[0])["days_with_entries"]["day"].to_pylist()

    assert read == [FIRST_DAY + timedelta(days=offset) for offset in (-1, 0, 1)]
