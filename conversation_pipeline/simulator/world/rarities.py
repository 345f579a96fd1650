"""
What happens now and then: every published entry and message type that the daily dialogues do not bring by themselves.

Each rarity falls on one day in three, whatever the seed, so that any three days of the world show everything; among
them are types of a future release that no schema tells yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conversation_pipeline.simulator.world import payloads
from conversation_pipeline.simulator.world.dialogues import FLAGS, WHISPERS
from conversation_pipeline.simulator.world.entries import Speaker
from conversation_pipeline.simulator.world.people import SHOP
from conversation_pipeline.simulator.world.rarities_rich import RICH_RARITIES
from conversation_pipeline.simulator.world.turns import form

if TYPE_CHECKING:
    from conversation_pipeline.simulator.world.messaging import Session

Happening = Callable[["Session"], None]


def _supervisor(session: Session) -> Speaker:
    boss = session.script.rng.choice(session.script.cast.supervisors)
    return Speaker("agent", boss.id[:15], "Supervisor", boss.name)


def whisper(session: Session) -> None:
    """A supervisor's note that the customer never sees."""
    script = session.script
    body = payloads.text(script, script.rng.choice(WHISPERS))
    session.event("Note", _supervisor(session), {"abstractMessage": body}, visibility="Internal")


def flag(session: Session) -> None:
    """The representative asks for help, the supervisor comes and lowers the flag."""
    script = session.script
    words = {"abstractMessage": payloads.text(script, script.rng.choice(FLAGS))} if script.chance(0.7) else {}
    session.event("FlagRaise", session.representative, words, visibility="Internal")
    script.wait(10, 60)
    whisper(session)
    session.event("FlagLower", _supervisor(session), {}, visibility="Internal")


def delivery_failure(session: Session) -> None:
    """A message does not reach the phone: an entry and a MessagingDeliveryError row."""
    script, thread = session.script, session.thread
    session.say(session.representative, "Let me send you the tracking link by text as well.")
    failed = script.conversation.entries[-1].identifier
    script.wait(1, 5)
    session.event("MessageDeliveryFailed", _system(), {
        "recipient": thread.end_user.wire(), "errorCode": "30006", "failedConversationEntryIdentifier": failed,
        "errorMessage": "Landline or unreachable carrier",
    })  # fmt: skip
    script.add("MessagingDeliveryError", {
        "OwnerId": script.cast.integration_user_id, "Type": "Error", "CorrelationIdentifier": failed,
        "DestinationPhoneNumber": f"+{thread.customer.phone}", "FailureReason": "Landline or unreachable carrier",
        "MessagingChannelId": thread.channel.id, "MessagingEndUserId": thread.end_user_record.id,
    })  # fmt: skip


def message_updated(session: Session) -> None:
    """An attachment that was still uploading is complete."""
    script = session.script
    attached = payloads.attachment(script, "IMG_2071.heic", "image/heic")
    pending = {"resultType": "Pending", "referenceId": attached["referenceId"]}
    body = payloads.static(script, "Attachments", attachments=[{**attached, "attachmentUploadResult": pending}],
                           text="and one more photo")  # fmt: skip
    session.message(session.thread.end_user, body)
    script.wait(2, 8)
    done = {
        **body["staticContent"],
        "attachments": [{**attached, "attachmentUploadResult": {"resultType": "Completed"}}],
    }
    session.event("MessageUpdated", _system(), {"updatedMessage": {**body, "staticContent": done}})


def consent(session: Session) -> None:
    """The customer opts out, and in again."""
    script, thread = session.script, session.thread
    for status, column in (("OptOut", "OptedOut"), ("OptIn", "ExplicitlyOptedIn")):
        session.say(thread.end_user, "STOP" if status == "OptOut" else "START")
        initiating = script.conversation.entries[-1].identifier
        session.event("EndUserConsentUpdated", _system(), {
            "endUserSubject": thread.end_user.subject, "consentStatus": status, "isEndUserInitiated": True,
            "endUserDisplayName": None, "initiatingConversationEntryIdentifier": initiating,
        })  # fmt: skip
        thread.end_user_record.change(script.second, {
            "MessagingConsentStatus": column, "IsFullyOptedIn": status == "OptIn",
        })  # fmt: skip
        script.wait(20, 60)


def consult(session: Session) -> None:
    """The representative asks a colleague in a conversation of their own."""
    body = {"conversationIdentifier": session.script.uuid(), "timestamp": session.script.second}
    session.event("ConsultConversationInfo", session.representative, body, visibility="Internal")


def modality(session: Session) -> None:
    """The conversation is allowed to go on by voice; one type of it has no published schema."""
    update = {"updateType": "ModalityUpdate", "activeModalities": ["Messaging", "Voice"], "transitionType": "Add"}
    session.event("ConversationUpdated", _system(),
                  {"updates": [update], "updatedBy": session.representative.wire()})  # fmt: skip
    session.event("ModalityConnection", _system(), {"modality": "Voice", "connectionState": "Connected"})


def transcript_request(session: Session) -> None:
    """The customer wants the conversation by email."""
    session.event("SendTranscriptRequestReceived", _system(), {
        "recipientEmailAddress": session.thread.customer.email, "sendTranscriptRequestId": session.script.uuid(),
        "requester": session.thread.end_user.wire(), "requesterDisplayName": session.thread.customer.first_name,
        "endUserSubject": session.thread.end_user.subject,
    })  # fmt: skip


def conference(session: Session) -> None:
    """A second representative joins; two types of it have no published schema."""
    session.event("TransferProgress", _system(), {"transferType": "Conference", "progress": "Connecting"})
    session.event("ParticipantsConferenced", _system(), {"participants": [session.representative.wire()]})


def future_types(session: Session) -> None:
    """What a later release may bring: an entry type, a message type and a format that nobody has told yet."""
    script = session.script
    session.event("SessionSummaryGenerated", _system(), {"summary": {"title": "Order question", "confidence": 0.87}})
    survey = {"formatType": "Buttons", "text": "How did we do?", "optionItems": payloads.options(script, ("🙂", "🙁"))}
    session.message(session.thread.bot, payloads.message(script, "SurveyChoicesMessage", "surveyChoices", survey))
    session.message(session.representative, payloads.static(script, "InteractiveCard", card={"title": "Trail map"}))


def _static(format_type: str, make: Callable[[Session], dict[str, Any]], *, bot: bool = False) -> Happening:
    def happen(session: Session) -> None:
        sender = session.thread.bot if bot else session.representative
        session.message(sender, payloads.static(session.script, format_type, **make(session)))

    return happen


def _choice(format_type: str, words: str, *labels: str) -> Happening:
    def happen(session: Session) -> None:
        asked = session.message(session.thread.bot, payloads.choices(session.script, format_type, words, labels))
        session.script.wait(4, 30)
        session.message(session.thread.end_user, payloads.selection(session.script, asked, 0))

    return happen


def message_definition_choice(session: Session) -> None:
    """A choice whose texts live in a message definition, not in the entry."""
    option = {"optionIdentifier": session.script.uuid(), "value": "yes"}
    content = {"formatType": "MessageDefinition", "messageDefinitionNameOrId": "Confirm_Pickup", "options": [option],
               "parameters": [], "targetLocale": "en_US"}  # fmt: skip
    asked = session.message(session.thread.bot, payloads.message(session.script, "ChoicesMessage", "choices", content))
    chosen = {"optionIdentifier": option["optionIdentifier"], "optionTitle": None}
    answer = {"formatType": "Selections", "selectedOptions": [chosen]}
    session.message(session.thread.end_user, payloads.message(
        session.script, "ChoicesResponseMessage", "choicesResponse", answer, reply_to=asked["id"]))  # fmt: skip


def repair_form(session: Session) -> None:
    """A form, and the form filled in."""
    for sender in (session.representative, session.thread.end_user):
        body = form(session, "Please tell us a little more")
        session.message(sender, body)


def form_result(session: Session) -> None:
    """A form that a flow has turned into a record."""
    content = {"formatType": "Result", "result": {"resultType": "FormRecordsResult", "records": [
        {"recordReferenceId": session.script.uuid(), "isCreated": True, "resultMessage": None}]}}  # fmt: skip
    body = payloads.message(session.script, "FormResponseMessage", "formResponse", content)
    session.message(session.thread.end_user, body)


def authentication(session: Session) -> None:
    """The customer proves who she is."""
    script = session.script
    asked = payloads.message(script, "AuthenticationRequestMessage", "authenticationRequest",
                             {"formatType": "MessageDefinition", "messageDefinitionNameOrId": "Sign_In"})  # fmt: skip
    session.message(session.thread.bot, asked)
    script.wait(10, 40)
    content = {"formatType": "Result", "result": {"resultType": "AuthenticationResult", "status": "Success"}}
    session.message(session.thread.end_user, payloads.message(
        script, "AuthenticationResponseMessage", "authenticationResponse", content, reply_to=asked["id"]))  # fmt: skip


def payment(session: Session) -> None:
    """A request for payment, the answer, and the channel's word on it."""
    script = session.script
    reference = script.uuid()
    amount = {"currencyIsoCode": "USD", "amount": session.blanks.values["amount"]}
    asked = payloads.message(script, "PaymentRequestMessage", "paymentRequest",
                             {"formatType": "Payment", "referenceId": reference, "total": amount})  # fmt: skip
    session.message(session.representative, asked)
    script.wait(15, 60)
    result = {
        "formatType": "Result",
        "referenceId": reference,
        "result": {"resultType": "PaymentResult", "status": "Paid"},
    }
    session.message(session.thread.end_user, payloads.message(
        script, "PaymentResponseMessage", "paymentResponse", result, reply_to=asked["id"]))  # fmt: skip
    status = {"formatType": "Inputs", "referenceId": reference, "inputValues": []}
    session.message(
        session.thread.end_user, payloads.message(script, "PaymentStatusMessage", "paymentStatusResponse", status)
    )


def shopping(session: Session) -> None:
    """A catalog, the order from it, a command in between, a request for information."""
    script, thread = session.script, session.thread
    for sender, kind, member, content in (
        (session.representative, "CatalogMessage", "catalog", {"formatType": "Catalog", "catalogId": "spring"}),
        (thread.end_user, "OrderMessage", "order", {"formatType": "Inputs", "inputValues": []}),
        (session.representative, "CommandMessage", "command", {"formatType": "ExperienceType", "values": []}),
        (thread.end_user, "InformationRequestMessage", "informationRequest", {"formatType": "InformationRequest"}),
    ):  # fmt: skip
        session.message(sender, payloads.message(script, kind, member, content))
        script.wait(5, 30)


def _citations(_: Session) -> dict[str, Any]:
    words = "You can return unused gear within 60 days. [1]"
    reference = {
        "citedReferenceType": "Link",
        "link": {"url": f"{SHOP}/help/returns"},
        "label": "Returns",
        "recordId": None,
    }
    claim = {"claim": {"claimStartOffset": 0, "claimEndOffset": 42}, "citedLocationOffset": 43}
    citation = {"citedReference": reference, "citedDetails": {"citedDetailsType": "Inline", "inlineMetadata": [claim]}}
    return {"text": words, "citationContent": {"citations": [citation]}}


def _buttons(session: Session) -> dict[str, Any]:
    action = {
        "actionType": "LinkAction",
        "label": "Track parcel",
        "url": f"{SHOP}/track/{session.blanks.values['order']}",
    }
    return {"text": "Tap below to see where it is.", "actions": [action], "linkItems": []}


def _static_carousel(session: Session) -> dict[str, Any]:
    items = [{"titleItem": payloads.title(name), "linkItems": [payloads.link_item(name, "tents")]}
             for name in ("Larch 2 tent", "Larch 3 tent")]  # fmt: skip
    return {"items": items, "images": [payloads.image(session.script, "larch")]}


def _template(_: Session) -> dict[str, Any]:
    return {"externalTemplate": {"name": "order_shipped", "languageCode": "en_US", "templateCategory": "Utility",
                                 "templateSubCategory": None, "templateSections": [], "contentSections": [],
                                 "cardCarouselSections": [], "assets": []}}  # fmt: skip


def _extended(session: Session) -> dict[str, Any]:
    return {"contentHeader": "Re: your order", "isTruncated": True, "attachments": [],
            "textContent": f"Hello {session.blanks.values['first']},\n\nyour order {session.blanks.values['order']} "
                           "is packed. Below you find everything that is in it …",
            "fullContent": payloads.attachment(session.script, "message.html", "text/html"),
            "richContent": None}  # fmt: skip


def _survey(session: Session) -> dict[str, Any]:
    return {"url": f"{SHOP}/survey", "title": "Tell us how it went", "displayType": "AutoOverlay",
            "parameters": [{"name": "session", "value": {"valueType": "TextValue",
                                                         "textValue": session.record.id[:15]}}]}  # fmt: skip


def _definition(session: Session) -> dict[str, Any]:
    parameter = {"name": "order", "value": {"valueType": "TextValue", "textValue": session.blanks.values["order"]}}
    return {"messageDefinitionNameOrId": "Order_Shipped", "messageDefinitionId": None, "parameters": [parameter],
            "targetLocale": None, "itemReferences": None}  # fmt: skip


def _cancelled(session: Session) -> dict[str, Any]:
    return {"timestamp": session.script.second, "sequenceId": 3}


def _links(session: Session) -> dict[str, Any]:
    return {"links": [{"url": f"{SHOP}/track/{session.blanks.values['order']}"}]}


def _system() -> Speaker:
    return Speaker("conversation", "system", "System", None)


RARITIES: tuple[Happening, ...] = (
    whisper, flag, delivery_failure, message_updated, consent, consult, modality, transcript_request, conference,
    future_types, message_definition_choice, form_result, authentication, payment, shopping,
    _static("Text", _citations, bot=True), _static("Buttons", _buttons), _static("Carousel", _static_carousel),
    _static("ExternalTemplate", _template), _static("ExtendedText", _extended), _static("WebView", _survey),
    _static("MessageDefinition", _definition),
    _static("Links", _links),
    _static("ErrorMessage", lambda _: {"errorDetails": {"errorCode": "FLOW_TIMEOUT", "errorMessages": ["try again"]},
                                       "title": "Something went wrong"}, bot=True),
    _static("Application", lambda _: {"application": {"appName": "Northpine Wallet", "appId": "1450017"}}),
    _static("ExperienceType", lambda _: {"values": [], "message": None}),
    _static("CancelAction", _cancelled),
    _choice("ListPicker", "Which product is it about?", "Tents", "Packs", "Boots"),
    _choice("TimePicker", "When shall we call you?", "first", "second"),
    _choice("Carousel", "Pick a color", "Glacier Blue", "Moss Green"),
    _choice("Media", "Which one do you have?", "Larch 2", "Larch 3"),
    _choice("ConfirmMessage", "Shall I cancel the order?", "Yes", "No"),
    _choice("QuickReplies", "Was this helpful?", "Yes", "No"),
    _choice("DisplayableOptions", "Please choose", "Track an order", "Talk to a person"),
    repair_form, *RICH_RARITIES,
)  # fmt: skip
"""One list, taken in threes: rarity n belongs to the days whose ordinal leaves n % 3."""
