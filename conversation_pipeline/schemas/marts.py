"""
Marts: how well sessions and calls were handled.

Sources: Object Reference v66, MessagingSessionMetrics (later types: v67, v68), AgentWork, MessagingSession and
VoiceCall; Salesforce help, "Report on Messaging Activity in Service Cloud". A meaning that Salesforce does not publish
says that it is ours. Each definition stands once more where it is computed, in ``sql/session_kpis.sql``.
"""

from __future__ import annotations

import pyarrow as pa

from conversation_pipeline.schemas.dataset import Dataset, Group, Reference
from conversation_pipeline.schemas.fields import INSTANT, Field, column_name

METRIC_TYPES = (
    "AgentMessageCount",
    "EndUserMessageCount",
    "AverageAgentResponseTime",
    "MaxAgentResponseTime",
    "AverageEndUserResponseTime",
    "MaxEndUserResponseTime",
    "ServiceRepFirstResponseTime",
    "ServiceRepAcceptToFirstResponseTime",
)
"""What Salesforce stores in MessagingSessionMetrics when a session ends: six types, a seventh by v67, an eighth by v68.

``session_kpis`` has each of them twice: as computed here, and as stored (``stored_...``)."""


def stored(metric: str) -> str:
    """The column of the value that Salesforce stored."""
    return f"stored_{column_name(metric)}"


WORK = pa.struct(
    [
        ("agent_id", pa.string()),
        ("queue_id", pa.string()),
        ("status", pa.string()),
        ("requested_at", INSTANT),
        ("accepted_at", INSTANT),
        ("closed_at", INSTANT),
        ("is_abandoned", pa.bool_()),
        ("is_declined", pa.bool_()),
        ("is_transferred", pa.bool_()),
        ("speed_to_answer", pa.int64()),
        ("handle_time", pa.int64()),
        ("after_conversation_work", pa.int64()),
    ]
)
REPLIES = pa.struct(
    [
        ("agent_id", pa.string()),
        ("queue_id", pa.string()),
        ("message_count", pa.int64()),
        ("response_count", pa.int64()),
        ("response_seconds", pa.float64()),
    ]
)


def _key(name: str, meaning: str) -> Field:
    return Field(name, pa.string(), meaning, required=True)


def _text(name: str, meaning: str) -> Field:
    return Field(name, pa.string(), meaning)


def _instant(name: str, meaning: str, *, required: bool = False) -> Field:
    return Field(name, INSTANT, meaning, required=required)


def _count(name: str, meaning: str) -> Field:
    return Field(name, pa.int64(), meaning)


_seconds = _count


def _number(name: str, meaning: str) -> Field:
    return Field(name, pa.float64(), meaning)


def _flag(name: str, meaning: str) -> Field:
    return Field(name, pa.bool_(), meaning)


_WHOLE = "null unless the session was told whole"

SESSION_KPIS = Dataset(
    name="session_kpis",
    grain="One row per messaging session or voice call: how well it was handled.",
    group=Group.MARTS,
    key=("interaction_id",),
    partition_by="created_date",
    fields=(
        _key("interaction_id", "Id of the messaging session or voice call."),
        _text("interaction_type", "MessagingSession or VoiceCall."),
        _text("conversation_identifier", "Conversation that it belongs to."),
        _text("channel_id", "Messaging channel; null for calls."),
        _text("channel_type", "EmbeddedMessaging, WhatsApp, Text, ...; Voice for calls."),
        _text("channel_name", "Name of the channel; the queue for calls."),
        _text("agent_id", "User who served last, by the work; without work, the owner of what was accepted."),
        _text("agent_name", "Name of that user."),
        _text(
            "queue_id",
            "Queue in which it waited first, by the work (AgentWork.OriginalGroupId); without work, the queue that "
            "owns it, or the call's (VoiceCall.QueueName).",
        ),
        _text("queue_name", "Name of that queue."),
        _instant("created_date", "Creation of the session or call; its UTC day is the partition.", required=True),
        _instant("started_at", "When it began."),
        _instant("accepted_at", "When an agent first accepted it; null if nobody did."),
        _instant("ended_at", "When it ended; null while it is open."),
        _flag("is_deleted", "True once soft-deleted; the daily marts do not count it then."),
        _flag("is_told_whole", "True for a session that has ended and whose entries were all read after that."),
        _seconds(
            "wait_seconds", "Begin to the first accept by an agent, seconds (ours, from AcceptTime and StartTime)."
        ),
        _seconds("speed_to_answer_seconds", "Request to accept of the first accepted work (AgentWork.SpeedToAnswer)."),
        _seconds(
            "handle_seconds",
            "Accept to close or to the end of after-conversation work, whichever is earlier, summed over its works "
            "(AgentWork.HandleTime); null while open, and until each accepted work has it.",
        ),
        _seconds(
            "after_conversation_work_seconds",
            "From the end of contact on, summed over its works (AgentWork.AfterConversationActualTime); null while "
            "open, and until each accepted work has closed.",
        ),
        _count("agent_count", "Agents who accepted work on it; null while open."),
        _count(
            "transfer_count",
            "Works that were handed on (AgentWork.Status Transferred); of an ended call 1 if it goes on as another "
            "record (VoiceCall.NextCallId), else 0; null while open.",
        ),
        _flag(
            "is_abandoned",
            "An agent was asked for, or called, and it ended before one accepted (AgentWork Canceled or "
            "AbandonedDateTime; ours where only AcceptTime is missing); null while open, and for outbound calls that "
            "nobody accepted.",
        ),
        _flag(
            "is_deflected",
            "A bot took part and no agent was asked for (ours: AgentType Bot, not BotToAgent); null while open, and "
            "where no bot took part.",
        ),
        _flag(
            "is_contained",
            "Deflected, and it was the bot that ended the session (ours, from AgentType and EndedByType); null while "
            "open, and where no bot took part.",
        ),
        _seconds(
            "queue_wait_seconds",
            "Calls: into the queue to accept, seconds (ours, from CallQueuedDateTime and CallAcceptDateTime).",
        ),
        _seconds("call_seconds", "Calls: length (VoiceCall.CallDurationInSeconds)."),
        _seconds(
            "talk_seconds",
            "Calls: accept to end without the time on hold (ours, from VoiceCall's times and CustomerHoldDuration).",
        ),
        _seconds("hold_seconds", "Calls: time on hold (VoiceCall.CustomerHoldDuration)."),
        _seconds("longest_hold_seconds", "Calls: longest hold (VoiceCall.LongestHoldDuration)."),
        _count("hold_count", "Calls: how often the customer was put on hold (VoiceCall.NumberOfHolds)."),
        _seconds("ivr_seconds", "Calls: time in the voice menu (VoiceCall.IvrDuration)."),
        _count("agent_message_count", f"Messages by agents that the end user could see; {_WHOLE}."),
        _count("end_user_message_count", f"Messages by the end user; {_WHOLE}."),
        _count("agent_response_count", f"Agents' messages that directly follow one by the end user; {_WHOLE}."),
        _count("end_user_response_count", f"End user's messages directly after an agent's or a bot's; {_WHOLE}."),
        _number(
            "average_agent_response_time",
            f"Mean time from an end user's message to the agent's response, seconds; {_WHOLE} and has a response.",
        ),
        _number("max_agent_response_time", f"Longest such time, seconds; {_WHOLE} and has a response."),
        _number(
            "average_end_user_response_time",
            f"Mean time from an agent's or bot's message to the end user's response, seconds; {_WHOLE} and has a "
            "response.",
        ),
        _number("max_end_user_response_time", f"Longest such time, seconds; {_WHOLE} and has a response."),
        _number(
            "service_rep_first_response_time",
            "Transfer to agents initiated to an agent's first response, seconds (v67); initiated is when the first "
            f"work was requested (ours); {_WHOLE} and has one.",
        ),
        _number(
            "service_rep_accept_to_first_response_time",
            f"First accept by an agent to the first response after it, seconds (v68); {_WHOLE} and has one.",
        ),
        *(
            _count(stored(metric), f"{metric} as Salesforce stored it (MessagingSessionMetrics).")
            for metric in METRIC_TYPES
        ),
        Field("works", pa.list_(WORK), "Work on it, in the order of requests; seconds where AgentWork has them."),
        Field("replies", pa.list_(REPLIES), "What each agent wrote and how fast, under the queue of the agent's work."),
    ),
    references=(
        Reference("interaction_id", ("messaging_sessions", "voice_calls"), created_within=0),
        Reference("agent_id", ("users",), created_within=0),
        Reference("queue_id", ("queues",)),
        Reference("channel_id", ("messaging_channels",)),
    ),
)

AGENT_DAILY_KPIS = Dataset(
    name="agent_daily_kpis",
    grain="One row per agent and queue: the work on messaging sessions and voice calls that were created on the day.",
    group=Group.MARTS,
    key=("agent_queue_key",),
    partition_by="session_date",
    fields=(
        _key("agent_queue_key", "Agent and queue, joined by a slash; none for what is not known."),
        _instant("session_date", "Midnight UTC at which the day of the sessions and calls begins.", required=True),
        _text("agent_id", "Agent; null for work that found none."),
        _text("agent_name", "Name of the agent."),
        _text("queue_id", "Queue that the work came from."),
        _text("queue_name", "Name of the queue."),
        _count("work_count", "Pieces of work."),
        _count("interaction_count", "Sessions and calls that they were about."),
        _count("accepted_count", "Pieces of work that were accepted."),
        _count("declined_count", "Pieces of work that were declined, or not accepted in time."),
        _count("abandoned_count", "Pieces of work whose customer gave up, or that were cancelled."),
        _count("transferred_count", "Pieces of work that were handed on."),
        _number("average_speed_to_answer_seconds", "Mean of AgentWork.SpeedToAnswer."),
        _seconds("max_speed_to_answer_seconds", "Longest of them."),
        _seconds("handle_seconds", "Sum of AgentWork.HandleTime."),
        _number("average_handle_seconds", "Mean of it, over work that has it."),
        _seconds("after_conversation_work_seconds", "Sum of AgentWork.AfterConversationActualTime."),
        _number("average_after_conversation_work_seconds", "Mean of it, over work that has it."),
        _count("agent_message_count", "Messages by the agent in sessions that were told whole."),
        _count("agent_response_count", "Those of them that directly follow one by the end user."),
        _number("average_agent_response_time", "Mean time from the end user's message to the response, seconds."),
    ),
    references=(
        Reference("agent_id", ("users",), created_within=0),
        Reference("queue_id", ("queues",)),
    ),
)

CHANNEL_DAILY_KPIS = Dataset(
    name="channel_daily_kpis",
    grain="One row per channel: its messaging sessions, or the voice calls, that were created on the day.",
    group=Group.MARTS,
    key=("channel_key",),
    partition_by="session_date",
    fields=(
        _key("channel_key", "Id of the messaging channel; Voice for calls."),
        _instant("session_date", "Midnight UTC at which the day of the sessions and calls begins.", required=True),
        _text("channel_id", "Messaging channel; null for calls."),
        _text("channel_type", "EmbeddedMessaging, WhatsApp, Text, ...; Voice for calls."),
        _text("channel_name", "Name of the channel; Voice for calls."),
        _count("interaction_count", "Sessions or calls."),
        _count("ended_count", "Those that have ended."),
        _count(
            "told_whole_count", "Sessions whose entries were all read: message counts and response times are of them."
        ),
        _count("accepted_count", "Those that an agent accepted."),
        _count("abandoned_count", "Those that ended while an agent was asked for and before one accepted."),
        _count("bot_count", "Ended sessions in which a bot took part."),
        _count("deflected_count", "Those of them in which no agent was asked for."),
        _count("contained_count", "Those of them that the bot ended."),
        _count("transfer_count", "Transfers from agent to agent."),
        _number("average_wait_seconds", "Mean time from begin to the first accept."),
        _number("average_speed_to_answer_seconds", "Mean time from request to accept of the first accepted work."),
        _number("average_handle_seconds", "Mean handle time of a session or call, all its works together."),
        _number("average_after_conversation_work_seconds", "Mean after-conversation work, all works together."),
        _number("average_queue_wait_seconds", "Calls: mean time from the queue to accept."),
        _number("average_talk_seconds", "Calls: mean time from accept to end without the time on hold."),
        _number("average_hold_seconds", "Calls: mean time on hold."),
        _count("agent_message_count", "Messages by agents."),
        _count("end_user_message_count", "Messages by end users."),
        _number("average_agent_response_time", "Mean over all responses by agents, seconds."),
        _number("max_agent_response_time", "Longest of them."),
        _number("average_end_user_response_time", "Mean over all responses by end users, seconds."),
        _number("max_end_user_response_time", "Longest of them."),
        _number("abandonment_rate", "Abandoned, of those abandoned or accepted; 0 to 1."),
        _number("deflection_rate", "Deflected, of those in which a bot took part; 0 to 1."),
        _number("containment_rate", "Contained, of those in which a bot took part; 0 to 1."),
    ),
    references=(Reference("channel_id", ("messaging_channels",)),),
)

QUEUE_DAILY_KPIS = Dataset(
    name="queue_daily_kpis",
    grain="One row per queue: messaging sessions and voice calls of the day that waited in it, and the work from it.",
    group=Group.MARTS,
    key=("queue_key",),
    partition_by="session_date",
    fields=(
        _key("queue_key", "Id of the queue, or its name where only a call tells it; none for work without a queue."),
        _instant("session_date", "Midnight UTC at which the day of the sessions and calls begins.", required=True),
        _text("queue_id", "Queue."),
        _text("queue_name", "Name of the queue."),
        _count("interaction_count", "Sessions and calls that waited in it first."),
        _count("accepted_count", "Those of them that an agent accepted."),
        _count("abandoned_count", "Those of them that ended while an agent was asked for and before one accepted."),
        _number("abandonment_rate", "Abandoned, of those abandoned or accepted; 0 to 1."),
        _count("transfer_count", "Transfers of those sessions and calls, from agent to agent."),
        _number("average_queue_wait_seconds", "Calls: mean time from the queue to accept."),
        _seconds("max_queue_wait_seconds", "Calls: longest of them."),
        _number("average_talk_seconds", "Calls: mean time from accept to end without the time on hold."),
        _number("average_hold_seconds", "Calls: mean time on hold."),
        _count("agent_count", "Agents who accepted work from it."),
        _count("work_count", "Pieces of work from it, those after a transfer into it included."),
        _count("accepted_work_count", "Pieces of work that were accepted."),
        _count("declined_work_count", "Pieces of work that were declined, or not accepted in time."),
        _count("abandoned_work_count", "Pieces of work whose customer gave up, or that were cancelled."),
        _count("transferred_work_count", "Pieces of work that were handed on."),
        _number("average_speed_to_answer_seconds", "Mean of AgentWork.SpeedToAnswer."),
        _seconds("max_speed_to_answer_seconds", "Longest of them."),
        _seconds("handle_seconds", "Sum of AgentWork.HandleTime."),
        _number("average_handle_seconds", "Mean of it, over work that has it."),
        _seconds("after_conversation_work_seconds", "Sum of AgentWork.AfterConversationActualTime."),
        _number("average_after_conversation_work_seconds", "Mean of it, over work that has it."),
        _count("agent_message_count", "Messages by its agents in sessions that were told whole."),
        _count("agent_response_count", "Those of them that directly follow one by the end user."),
        _number("average_agent_response_time", "Mean time from the end user's message to the response, seconds."),
    ),
    references=(Reference("queue_id", ("queues",)),),
)
