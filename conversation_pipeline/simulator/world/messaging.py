"""Messaging: sessions in a conversation, from the first message over bot and representative to the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conversation_pipeline.simulator.world import payloads
from conversation_pipeline.simulator.world.dialogue_blanks import Blanks, blanks
from conversation_pipeline.simulator.world.dialogues import BOT_ANSWERS, Scenario, Turn
from conversation_pipeline.simulator.world.entries import Entry, Speaker
from conversation_pipeline.simulator.world.ids import record_id
from conversation_pipeline.simulator.world.metrics import session_metrics
from conversation_pipeline.simulator.world.people import Channel, Person, Staff
from conversation_pipeline.simulator.world.rarities import Happening
from conversation_pipeline.simulator.world.records import Record, Row
from conversation_pipeline.simulator.world.schema import POINTED_AT
from conversation_pipeline.simulator.world.script import Script
from conversation_pipeline.simulator.world.turns import KINDS
from conversation_pipeline.simulator.world.voice import join, leave

SYSTEM = Speaker("conversation", "system", "System", None)
ROUTER = Speaker("conversation", "router", "Router", None)
TOPICS = {
    "en_US": ("Delivery", "Returns", "Sizing", "Warranty", "Invoice", "Stores"),
    "de": ("Lieferung", "Rückgabe", "Größenberatung", "Garantie", "Rechnung", "Filialen"),
    "es": ("Envío", "Devolución", "Tallas", "Garantía", "Factura", "Tiendas"),
}
_GREETING = {
    "en_US": "Hi, I'm Trail Guide, the Northpine bot 🌲 What is it about?",
    "de": "Hallo, ich bin Trail Guide, der Northpine-Bot 🌲 Worum geht es?",
    "es": "¡Hola! Soy Trail Guide, el bot de Northpine 🌲 ¿En qué te ayudo?",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What happens in one session besides the dialogue.

    `case_link` and `deleted_after` are seconds from the end until a Case is linked or the row is soft-deleted.
    """

    bot_only: bool = False
    abandoned: bool = False
    transferred: bool = False
    timed_out: bool = False
    rarities: tuple[Happening, ...] = ()
    case_link: int | None = None
    deleted_after: int | None = None


class Thread:
    """One messaging conversation: who writes, on which channel, session after session."""

    def __init__(self, script: Script, channel: Channel, customer: Person, metrics_delay: int) -> None:
        self.script = script
        self.channel = channel
        self.customer = customer
        self.metrics_delay = metrics_delay
        self.bot = Speaker("chatbot", script.cast.bot_id[:15], "Chatbot", "Trail Guide")
        if channel.kind == "EmbeddedMessaging":
            subject, app = f"v2/iamessage/UNAUTH/NA/uid:{script.uuid()}", "iamessage"
        else:
            subject, app = customer.phone, "messaging"
        self.end_user = Speaker(app, subject, "EndUser", customer.name)
        # With the first message MessagingEndUser, Conversation and its participant appear.
        self.end_user_record = script.add("MessagingEndUser", {
            "OwnerId": script.cast.integration_user_id, "Name": self.customer.name,
            "MessagingChannelId": self.channel.id, "MessagingPlatformKey": self.end_user.subject,
            "MessageType": self.channel.kind, "MessagingConsentStatus": "ImplicitlyOptedIn", "IsFullyOptedIn": True,
            "HasInitialResponseSent": True, "AccountId": self.customer.account_id,
            "ContactId": self.customer.contact_id, "Language": self.customer.language,
            "IsoCountryCode": {"en_US": "US", "de": "DE", "es": "ES"}[self.customer.language],
        })  # fmt: skip
        self.conversation_record = script.add("Conversation", {
            "ConversationIdentifier": script.conversation.identifier, "ConversationChannelId": self.channel.id,
            "StartTime": script.second, "StartTimeMilliSecs": script.now % 1000,
        }, identifier=script.conversation.record_id)  # fmt: skip
        join(script, self.end_user, self.end_user_record.id)

    def session(self, scenario: Scenario, plan: Plan) -> None:
        """Play one session from its first message to its end."""
        Session(self, scenario, plan).play()


class Session:
    """One MessagingSession."""

    def __init__(self, thread: Thread, scenario: Scenario, plan: Plan) -> None:
        self.thread = thread
        self.script = thread.script
        self.scenario = scenario
        self.plan = plan
        self.blanks: Blanks = blanks(thread.script, thread.customer)
        self.started = self.script.now
        self.status = "Active"
        self.agent: Staff | None = None
        self.speaker: Speaker | None = None
        self.asked: dict[str, Any] | None = None
        self.asked_form: dict[str, Any] | None = None
        self.participants: list[Record] = []
        self.first_entry = len(self.script.conversation.entries)
        cast = self.script.cast
        self.record = self.script.add("MessagingSession", {
            "OwnerId": cast.bot_user_id, "Status": "Active", "AgentType": "Bot", "Origin": "InboundInitiated",
            "ChannelType": thread.channel.kind, "ChannelKey": thread.channel.key, "ChannelName": thread.channel.label,
            "MessagingChannelId": thread.channel.id, "MessagingEndUserId": thread.end_user_record.id,
            "ConversationId": self.script.conversation.record_id, "StartTime": self.script.second,
            "EndUserLanguage": thread.customer.language, "SessionKey": self.script.uuid(),
            "ChannelLocale": thread.customer.language, "EndUserAccountId": thread.customer.account_id,
            "EndUserContactId": thread.customer.contact_id,
            "ChannelEndUserFormula": f"{thread.channel.label} {thread.customer.name}"[:50],
        })  # fmt: skip

    def play(self) -> None:
        """The whole session."""
        self._greet()
        if self.plan.bot_only:
            self._bot_answers()
            self._end("Bot")
            return
        requested = self._escalate()
        if self.plan.abandoned:
            self._abandon(requested)
            return
        self._accept(requested, "Initial")
        turns = self.scenario.turns
        for place, turn in enumerate(turns):
            if place == len(turns) // 2:
                self._interlude()
            self._turn(turn)
        if self.plan.timed_out:
            self._time_out()
        else:
            self._end(self.script.rng.choice(("Agent", "Agent", "EndUser")))

    def _interlude(self) -> None:
        if self.plan.transferred:
            self._transfer()
        for happening in self.plan.rarities:
            self.script.wait(3, 40)
            happening(self)

    @property
    def representative(self) -> Speaker:
        """Who serves now."""
        if self.speaker is None:
            raise RuntimeError("nobody has accepted the session yet")
        return self.speaker

    # Writing.

    def event(self, entry_type: str, sender: Speaker, body: dict[str, Any], **more: Any) -> Entry:
        """An entry of this session."""
        return self.script.write(entry_type, sender, body, record=self.record.id, **more)

    def message(self, sender: Speaker, body: dict[str, Any]) -> dict[str, Any]:
        """A Message entry; its abstractMessage is returned, so that it can be answered."""
        script = self.script
        payload: dict[str, Any] = {"abstractMessage": body}
        if script.chance(0.7):
            payload["messageReason"] = "AutomatedResponse" if sender is self.thread.bot else None
        if script.chance(0.03):
            payload["wasRevised"] = True
        self.event("Message", sender, payload)
        return body

    def say(self, sender: Speaker, wording: str) -> None:
        """A plain text message."""
        name = self.agent.name.split()[0] if self.agent else "Trail Guide"
        self.message(sender, payloads.text(self.script, self.blanks.fill(wording, agent=name)))

    def _turn(self, turn: Turn) -> None:
        who, *wordings = turn
        speaker, _, kind = who.partition(":")
        sender = {"c": self.thread.end_user, "b": self.thread.bot}.get(speaker) or self.representative
        self.script.wait(*{"c": (8, 75), "b": (1, 4)}.get(speaker, (12, 95)))
        wording = self.script.rng.choice(wordings)
        if not kind:
            self.say(sender, wording)
        elif body := KINDS[kind](self, self.blanks.fill(wording)):
            self.message(sender, body)

    # The course of a session.

    def _change_status(self, status: str, **more: Any) -> None:
        seconds = self.script.chance(0.5)
        scale = 1000 if seconds else 1
        body: dict[str, Any] = {
            "sessionId": self.record.id[:15], "channelAddressIdentifier": self.thread.channel.address,
            "conversationIdentifier": self.script.conversation.identifier, "sessionStatus": status,
            "sessionStatusPrev": self.status if status != self.status else None,
            "sessionStartTime": self.started // scale,
        }  # fmt: skip
        if "sessionEndTime" in more:
            more["sessionEndTime"] //= scale
        self.status = status
        self.event("SessionStatusChanged", SYSTEM, {**body, **more})

    def _participants(self, operation: str, speaker: Speaker) -> None:
        entry = {"operation": operation, "participant": speaker.wire(), "displayName": speaker.display_name,
                 "menuMetadata": None}  # fmt: skip
        self.event("ParticipantChanged", SYSTEM, {"entries": [entry]})

    def _owner(self, owner: str, kind: str, before: str | None, kind_before: str | None) -> None:
        self.event("SessionOwnerChanged", SYSTEM, {
            "sessionId": self.record.id[:15], "channelAddressIdentifier": self.thread.channel.address,
            "newSessionOwnerId": owner[:15], "newOwnerType": kind, "prevSessionOwnerId": before and before[:15],
            "prevOwnerType": kind_before, "ownerChangeTimestamp": self.script.second,
            "sessionStartTimestamp": self.started // 1000, "sessionStatus": self.status,
        })  # fmt: skip

    def _greet(self) -> None:
        thread, script = self.thread, self.script
        self._participants("add", thread.end_user)
        self._change_status("Active")
        self._participants("add", thread.bot)
        self.participants.append(join(script, thread.bot, None))
        if thread.channel.kind == "EmbeddedMessaging":
            self.event("SessionContext", SYSTEM, {"sessionContext": {
                "contextType": "SessionContextSet", "contextVariables": [
                    {"name": "_page", "value": {"valueType": "TextValue", "textValue": f"/{self.scenario.topic}"}},
                ]}})  # fmt: skip
        else:
            self.say(thread.end_user, {"en_US": "Hi", "de": "Hallo", "es": "Hola"}[thread.customer.language])
        self._owner(script.cast.bot_user_id, "Bot", None, None)
        script.wait(1, 3)
        form = script.rng.choice(
            ("Buttons", "QuickReplies") if thread.channel.kind != "Text" else ("DisplayableOptions",)
        )
        topics = TOPICS[thread.customer.language]
        asked = self.message(thread.bot, payloads.choices(script, form, _GREETING[thread.customer.language], topics))
        script.wait(4, 30)
        chosen = topics.index(self.scenario.topic) if self.scenario.topic in topics else 0
        self.message(thread.end_user, payloads.selection(script, asked, chosen))

    def _bot_answers(self) -> None:
        for turn in BOT_ANSWERS[self.thread.customer.language]:
            self._turn(turn)

    def _escalate(self) -> int:
        script, thread = self.script, self.thread
        script.wait(1, 3)
        self.say(thread.bot, {
            "en_US": "I'll get one of my human colleagues for you. One moment.",
            "de": "Ich hole dir jemanden aus dem Team. Einen Moment bitte.",
            "es": "Te paso con una persona del equipo. Un momento, por favor.",
        }[thread.customer.language])  # fmt: skip
        self.record.change(script.second, {
            "Status": "Waiting", "AgentType": "BotToAgent", "OwnerId": thread.channel.queue_id,
        })  # fmt: skip
        requested = script.second
        self._routing("Initial")
        self._owner(thread.channel.queue_id, "Queue", script.cast.bot_user_id, "Bot")
        self._change_status("Waiting")
        return requested

    def _routing(self, routing_type: str) -> None:
        self.event("RoutingResult", ROUTER, {
            "routingType": routing_type, "failureType": "None", "errorMessages": [], "failureReason": None,
            "recordId": self.record.id[:15], "isExternallyRouted": False,
            "pendingServiceRoutingId": record_id(POINTED_AT["PendingServiceRouting"], self.script.number())[:15],
            "estimatedWaitTime": {
                "isEWTRequested": True, "estimatedWaitTimeInSeconds": self.script.rng.randrange(20, 200)},
            "routingConfigurationDetails": {
                "routingConfigurationType": "QueueRoutingType", "queueId": self.thread.channel.queue_id[:15]},
        })  # fmt: skip

    def _work(self, kind: str, work: Record, routing_type: str) -> None:
        self.event("RoutingWorkResult", ROUTER, {
            "conversationId": self.script.conversation.identifier, "workId": work.id[:15],
            "workTargetId": self.record.id[:15], "workType": kind, "errorMessages": [],
            "queueId": self.thread.channel.queue_id[:15], "routingType": routing_type,
        })  # fmt: skip

    def _accept(self, requested: int, routing_type: str) -> None:
        script, thread = self.script, self.thread
        agent = script.cast.agent_for(script.rng, thread.customer.language, apart_from=self.agent)
        script.wait(5, 90)
        values: Row = {
            "WorkItemId": self.record.id, "UserId": agent.id, "OwnerId": agent.id, "Status": "Assigned",
            "ServiceChannelId": script.cast.service_channel_ids["MessagingSession"], "RequestDateTime": requested,
            "AssignedDateTime": script.second, "OriginalGroupId": thread.channel.queue_id,
            "RoutingType": "QueueBased", "RoutingModel": "LeastActive", "RoutingPriority": 5,
            "CapacityModel": "TabBased", "CapacityWeight": 1.0,
            "TransferRequesterId": self.agent.id if self.agent else None,
        }  # fmt: skip
        self.work = script.add("AgentWork", values)
        self._work("Assigned", self.work, routing_type)
        script.wait(2, 25)
        self.accepted = script.second
        self.work.change(self.accepted, {
            "Status": "Opened", "AcceptDateTime": self.accepted, "SpeedToAnswer": self.accepted - requested,
        })  # fmt: skip
        self._work("Accepted", self.work, routing_type)
        change: Row = {"Status": "Active", "OwnerId": agent.id}
        if self.agent is None:
            change["AcceptTime"] = self.accepted
        self.record.change(self.accepted, change)
        before = self.agent.id if self.agent else thread.channel.queue_id
        self._owner(agent.id, "Agent", before, "Agent" if self.agent else "Queue")
        self.agent = agent
        self.speaker = Speaker("agent", agent.id[:15], "Agent", f"{agent.name.split()[0]} {agent.name.split()[1][0]}.")
        self._participants("add", self.speaker)
        self.participants.append(join(script, self.speaker, agent.id))
        self._change_status("Active")

    def _close_work(self, status: str) -> None:
        wrap_up = self.script.rng.randrange(4, 180)
        closed = self.script.second + wrap_up
        self.work.change(closed, {
            "Status": status, "CloseDateTime": closed, "HandleTime": closed - self.accepted,
            "ActiveTime": round((closed - self.accepted) * self.script.rng.uniform(0.3, 0.9)),
            "AfterConversationActualTime": wrap_up if status == "Closed" else None,
        })  # fmt: skip

    def _transfer(self) -> None:
        script = self.script
        script.wait(10, 40)
        self.say(self.representative, {
            "en_US": "I'll hand you over to a colleague who knows this better.",
            "de": "Ich gebe dich an eine Kollegin weiter, die das besser weiß.",
            "es": "Te paso con un compañero que sabe más de esto.",
        }[self.thread.customer.language])  # fmt: skip
        requested = script.second
        self._routing("Transfer")
        self._close_work("Transferred")
        left = self.representative
        self._accept(requested, "Transfer")
        self._participants("remove", left)

    def _abandon(self, requested: int) -> None:
        script = self.script
        script.wait(60, 400)
        work = script.add("AgentWork", {
            "WorkItemId": self.record.id, "OwnerId": self.thread.channel.queue_id, "Status": "Canceled",
            "ServiceChannelId": script.cast.service_channel_ids["MessagingSession"], "RequestDateTime": requested,
            "CancelDateTime": script.second, "AbandonedDateTime": script.second,
            "OriginalGroupId": self.thread.channel.queue_id, "RoutingType": "QueueBased",
        })  # fmt: skip
        self._work("Cancelled", work, "Initial")
        self._end("EndUser")

    def _time_out(self) -> None:
        """The customer falls silent: Inactive after a while, ended by the system a day later."""
        script = self.script
        script.wait(600, 1500)
        self.record.change(script.second, {"Status": "Inactive"}, by_user=False)
        self._change_status("Inactive")
        self._close_work("Closed")
        script.wait(86_000, 86_900)
        self._end("System", close_work=False)

    def _end(self, ended_by: str, *, close_work: bool = True) -> None:
        script = self.script
        script.wait(5, 90)
        role = {"EndUser": "EndUser", "Agent": "Agent", "Bot": "Chatbot", "System": "System"}[ended_by]
        self._change_status("Ended", sessionEndTime=script.now, sessionEndedByRole=role)
        for speaker in filter(None, (self.speaker or self.thread.bot,)):
            self._participants("remove", speaker)
        ended = script.second
        self.record.change(ended, {"Status": "Ended", "EndTime": ended, "EndedByType": ended_by})
        if self.agent is not None and close_work:
            self._close_work("Closed")
        for participant in self.participants:
            leave(script, participant)
        self.thread.conversation_record.change(ended, {"EndTime": ended, "EndTimeMilliSecs": script.now % 1000})
        self._afterwards(ended)

    def _afterwards(self, ended: int) -> None:
        """What still changes once a session has ended: metrics, a late Case link, a soft delete with its details."""
        script = self.script
        entries = script.conversation.entries[self.first_entry :]
        rows = [
            script.add("MessagingSessionMetrics", {
                "MessagingSessionId": self.record.id, "MessagingSessionMetricType": kind,
                "MessagingSessionMetricValue": value,
            }, at=ended + self.thread.metrics_delay)
            for kind, value in session_metrics(entries).items()
        ]  # fmt: skip
        if self.plan.case_link is not None:
            case = record_id(POINTED_AT["Case"], script.number())
            self.record.change(ended + self.plan.case_link, {"CaseId": case})
        if self.plan.deleted_after is not None:
            for record in (self.record, *rows):
                record.change(ended + self.plan.deleted_after, {"IsDeleted": True})
