"""Calls: one or more VoiceCall rows in a conversation, spoken utterances that can be read some time after the end."""

from __future__ import annotations

import random

from conversation_pipeline.simulator.world import payloads
from conversation_pipeline.simulator.world.dialogue_blanks import blanks
from conversation_pipeline.simulator.world.dialogues import Scenario, Turn
from conversation_pipeline.simulator.world.entries import Speaker
from conversation_pipeline.simulator.world.people import Person, Staff
from conversation_pipeline.simulator.world.records import Record, Row
from conversation_pipeline.simulator.world.script import Script

_RECORDING_DELAY = 30
"""Seconds from a call's end until its recording is linked (assumption 21 of the SOQL reference)."""


class Call:
    """One telephone conversation, its transfers included."""

    def __init__(
        self, script: Script, scenario: Scenario, customer: Person, agents: list[Staff], call_type: str
    ) -> None:
        self._script = script
        self._scenario = scenario
        self._customer = customer
        self._agents = agents
        self._call_type = call_type
        self._vendor_key = script.uuid()
        self._caller = Speaker("telephony_integration", f"{self._vendor_key}END_USER", "EndUser", customer.name)
        self._blanks = blanks(script, customer)
        self._calls: list[Record] = []
        # What is rare has a generator of its own: the other calls stay as they are.
        rare = random.Random(f"rare/{self._vendor_key}")
        self._bot_first = call_type != "Callback" and rare.randrange(8) == 0
        self._undistinguished = rare.randrange(12) == 0

    def play(self) -> None:
        """Write the whole call."""
        script = self._script
        conversation = script.add(
            "Conversation",
            {
                "ConversationIdentifier": script.conversation.identifier,
                "ConversationChannelId": script.cast.call_center_id,
                "StartTime": script.second,
                "StartTimeMilliSecs": script.now % 1000,
            },
            identifier=script.conversation.record_id,
        )
        end_user = self._participant(self._caller, None)
        turns = list(self._scenario.turns)
        share = max(1, len(turns) // len(self._agents))
        for place, agent in enumerate(self._agents):
            last = place == len(self._agents) - 1
            self._segment(agent, turns[place * share :] if last else turns[place * share : (place + 1) * share], place)
        ended = script.now
        for entry in script.conversation.entries:
            entry.settles_after = ended
        self._leave(end_user)
        conversation.change(ended // 1000, {"EndTime": ended // 1000, "EndTimeMilliSecs": ended % 1000})

    def _voice_bot(self, call: str) -> None:
        """A voice bot answers, before a representative does."""
        script = self._script
        bot = Speaker("voice_bot", script.cast.bot_id[:15], "Chatbot", "Trail Guide")
        participant = self._participant(bot, None)
        for speaker, words in (
            (bot, "Thank you for calling Northpine. Tell me in a few words what it is about."),
            (self._caller, "I'd like to talk to somebody about my order."),
        ):
            script.wait(0.3, 2.5)
            self._utter(speaker, words, call)
        self._leave(participant)

    def _segment(self, agent: Staff, turns: list[Turn], place: int) -> None:
        script = self._script
        inbound = self._call_type != "Callback"
        line, customer = "+18005550100", f"+{self._customer.phone}"
        call = script.add("VoiceCall", {
            "OwnerId": script.cast.queues["phone"], "CallType": self._call_type if place == 0 else "Transfer",
            "CallDisposition": "new", "CallSubtype": "PSTN", "CallStartDateTime": script.second,
            "CallQueuedDateTime": script.second + 4, "FromPhoneNumber": customer if inbound else line,
            "ToPhoneNumber": line if inbound else customer, "ConversationId": script.conversation.record_id,
            "RelatedRecordId": self._customer.contact_id, "CallCenterId": script.cast.call_center_id,
            "IvrDuration": script.rng.randrange(8, 45) if place == 0 and inbound else 0, "QueueName": "Phone Line",
            "SourceType": "Service", "VendorType": "ContactCenter", "TranscribedLanguage": "en-US",
            "VendorCallKey": self._vendor_key if place == 0 else script.uuid(),
            "VendorParentCallKey": None if place == 0 else self._vendor_key,
            "PreviousCallId": self._calls[-1].id if self._calls else None,
        })  # fmt: skip
        if self._calls:
            self._calls[-1].change(script.second, {"NextCallId": call.id})
        self._calls.append(call)
        started, requested = script.now, script.second
        if place == 0 and self._bot_first:
            self._voice_bot(call.id)
        script.wait(6, 70)
        accepted = script.second
        call.change(accepted, {
            "CallDisposition": "in-progress", "CallAcceptDateTime": accepted, "OwnerId": agent.id, "UserId": agent.id,
        })  # fmt: skip
        work = self._work(call, agent, requested, accepted)
        speaker = Speaker("agent", agent.id[: script.rng.choice((15, 18))], "Agent", agent.name)
        if self._undistinguished:
            speaker = Speaker("telephony_integration", f"{self._vendor_key}VIRTUAL_AGENT", "Agent")
        participant = self._participant(speaker, agent.id)
        for who, *wordings in turns:
            script.wait(0.3, 2.5)
            self._say(self._caller if who.startswith("c") else speaker, script.rng.choice(wordings), call.id, agent)
        held = script.rng.choice((0, 0, 0, script.rng.randrange(15, 180)))
        script.wait(held, held)
        script.wait(1, 3)
        ended = script.second
        call.change(ended, {
            "CallDisposition": "completed", "CallEndDateTime": ended,
            "CallDurationInSeconds": (script.now - started) // 1000, "CustomerHoldDuration": held,
            "LongestHoldDuration": held, "NumberOfHolds": 1 if held else 0, "IsRecorded": True,
            "DisconnectReason": script.rng.choice(("CUSTOMER_DISCONNECT", "AGENT_DISCONNECT")),
            "CustomerSentimentScore": round(script.rng.uniform(-2, 5), 1),
            "AgentSentimentScore": round(script.rng.uniform(1, 5), 1),
            "QualityScore": round(script.rng.uniform(3.4, 4.4), 2),
        })  # fmt: skip
        self._leave(participant)
        wrap_up = script.rng.randrange(5, 120)
        work.change(ended + wrap_up, {
            "Status": "Closed", "CloseDateTime": ended + wrap_up, "HandleTime": ended + wrap_up - accepted,
            "AfterConversationActualTime": wrap_up,
        })  # fmt: skip
        self._recording(call, ended, (script.now - started) // 1000)

    def _recording(self, call: Record, ended: int, seconds: int) -> None:
        script = self._script
        recording = script.add("VoiceCallRecording", {
            "Name": f"{script.number():08d}", "OwnerId": script.cast.integration_user_id, "VoiceCallId": call.id,
            "DurationInSeconds": seconds, "UploadDateTime": ended + _RECORDING_DELAY, "IsConsented": True,
        }, at=ended + _RECORDING_DELAY)  # fmt: skip
        call.change(ended + _RECORDING_DELAY, {"CallRecordingId": recording.id}, by_user=False)

    def _work(self, call: Record, agent: Staff, requested: int, accepted: int) -> Record:
        script = self._script
        values: Row = {
            "WorkItemId": call.id, "UserId": agent.id, "OwnerId": agent.id, "Status": "Assigned",
            "ServiceChannelId": script.cast.service_channel_ids["VoiceCall"], "RequestDateTime": requested,
            "AssignedDateTime": accepted - 2, "OriginalGroupId": script.cast.queues["phone"],
            "RoutingType": "QueueBased", "RoutingModel": "MostAvailable", "RoutingPriority": 1,
            "CapacityModel": "StatusBased", "CapacityWeight": 1.0,
        }  # fmt: skip
        work = script.add("AgentWork", values, at=accepted - 2)
        work.change(accepted, {
            "Status": "Opened", "AcceptDateTime": accepted, "SpeedToAnswer": accepted - requested,
        })  # fmt: skip
        return work

    def _participant(self, speaker: Speaker, entity: str | None) -> Record:
        return join(self._script, speaker, entity)

    def _leave(self, participant: Record) -> None:
        leave(self._script, participant)

    def _say(self, speaker: Speaker, wording: str, call: str, agent: Staff) -> None:
        self._utter(speaker, self._blanks.fill(wording, agent=agent.name.split()[0]), call)

    def _utter(self, speaker: Speaker, words: str, call: str) -> None:
        duration = round(len(words) * self._script.rng.uniform(50, 75))
        body = {"abstractMessage": payloads.text(self._script, words), "messageReason": None}
        self._script.write("Message", speaker, body, record=call, modality="Voice", duration=duration)


def join(script: Script, speaker: Speaker, entity: str | None) -> Record:
    """A ConversationParticipant row for somebody who joins now."""
    return script.add("ConversationParticipant", {
        "ConversationId": script.conversation.record_id, "ParticipantRole": speaker.role, "AppType": speaker.app_type,
        "ParticipantEntityId": entity, "ParticipantKey": speaker.subject,
        "ParticipantDisplayName": speaker.display_name, "JoinedTime": script.second,
        "JoinedTimeMilliSecs": script.now % 1000, "LastActiveTime": script.second,
        "LastActiveTimeMilliSecs": script.now % 1000,
    })  # fmt: skip


def leave(script: Script, participant: Record) -> None:
    """The participant goes now."""
    at, rest = script.second, script.now % 1000
    participant.change(at, {
        "LastActiveTime": at, "LastActiveTimeMilliSecs": rest, "LeftTime": at, "LeftTimeMilliSecs": rest,
    })  # fmt: skip
