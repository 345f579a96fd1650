"""The six figures that a session gets when it has ended (MessagingSessionMetrics [doc])."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from conversation_pipeline.simulator.world.entries import Entry


def session_metrics(entries: Iterable[Entry]) -> dict[str, int | None]:
    """
    Metric type to value for the entries of one session in order; seconds are rounded, a mean of nothing is None.

    A response is a message whose directly preceding message came from the other side: the agent answers the end
    user, the end user answers agent or bot. Messages that are not for the end user do not count.
    """
    messages = [entry for entry in entries if entry.entry_type == "Message" and entry.visibility != "Internal"]
    agent, end_user = [], []
    for before, after in pairwise(messages):
        gap = (after.at - before.at) / 1000
        if before.sender.role == "EndUser" and after.sender.role == "Agent":
            agent.append(gap)
        if before.sender.role in ("Agent", "Chatbot") and after.sender.role == "EndUser":
            end_user.append(gap)
    return {
        "AgentMessageCount": sum(entry.sender.role == "Agent" for entry in messages),
        "EndUserMessageCount": sum(entry.sender.role == "EndUser" for entry in messages),
        "AverageAgentResponseTime": round(sum(agent) / len(agent)) if agent else None,
        "MaxAgentResponseTime": round(max(agent)) if agent else None,
        "AverageEndUserResponseTime": round(sum(end_user) / len(end_user)) if end_user else None,
        "MaxEndUserResponseTime": round(max(end_user)) if end_user else None,
    }
