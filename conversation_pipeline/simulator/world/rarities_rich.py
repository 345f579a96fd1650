"""
Rich messages that few customers ever see: the rest of the published formats, and turns of AI agents.

Bodies that the schema names and does not tell hold the few members that its sibling formats have [assumed].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conversation_pipeline.simulator.world import payloads
from conversation_pipeline.simulator.world.entries import Speaker
from conversation_pipeline.simulator.world.people import SHOP
from conversation_pipeline.simulator.world.voice import join

if TYPE_CHECKING:
    from conversation_pipeline.simulator.world.messaging import Session

Happening = Callable[["Session"], None]
Body = dict[str, Any]
_DEFINITION = {"formatType": "MessageDefinition", "messageDefinitionNameOrId": "Repair_Form", "parameters": []}


def _pair(
    kinds: tuple[str, str], members: tuple[str, str], asked: Callable[[Session], Body], answered: Callable[..., Body]
) -> Happening:
    """A message of the representative and the customer's answer to it."""

    def happen(session: Session) -> None:
        script, thread = session.script, session.thread
        question = payloads.message(script, kinds[0], members[0], asked(session))
        session.message(session.representative, question)
        script.wait(5, 40)
        session.message(thread.end_user, payloads.message(
            script, kinds[1], members[1], answered(session), reply_to=question["id"]))  # fmt: skip

    return happen


def _form(asked: Callable[[Session], Body], answered: Callable[[Session], Body]) -> Happening:
    return _pair(("FormMessage", "FormResponseMessage"), ("form", "formResponse"), asked, answered)


def _values(session: Session) -> list[Body]:
    words = session.blanks.values["order"]
    return [{"name": "order", "value": {"valueType": "TextValue", "textValue": words}}]


def _list_form(session: Session) -> Body:
    options = payloads.options(session.script, ("Left boot", "Right boot"))
    return {"formatType": "ListPicker", "formTitle": payloads.title("Which part is broken?"), "optionItems": options}


def _selections(session: Session) -> Body:
    chosen = [{"optionIdentifier": item["optionIdentifier"], "optionTitle": item["titleItem"]}
              for item in payloads.options(session.script, ("Left boot", "Right boot"))]  # fmt: skip
    return {
        "formatType": "Selections",
        "formTitle": payloads.title("Which part is broken?"),
        "selectedOptions": chosen,
    }


def _flow(session: Session) -> Body:
    return {"formatType": "Flow", "formTitle": payloads.title("Book a repair"), "flowName": "Book_Repair",
            "parameters": _values(session)}  # fmt: skip


def _references(session: Session) -> Body:
    return {"formatType": "References", "formTitle": payloads.title("Book a repair"),
            "references": [{"id": session.script.uuid(), "recordId": session.record.id[:15]}]}  # fmt: skip


def _experience(session: Session) -> Body:
    return {"formatType": "ExperienceType", "values": _values(session), "message": None}


def _token(session: Session) -> Body:
    return {"formatType": "EncryptedOAuthToken", "encryptedToken": session.script.uuid().replace("-", "")}


def order_result(session: Session) -> None:
    """A catalog and a payment by their definitions, and what became of the order."""
    script = session.script
    for sender, kind, member, content in (
        (session.representative, "CatalogMessage", "catalog", {**_DEFINITION, "messageDefinitionNameOrId": "Spring"}),
        (session.representative, "PaymentRequestMessage", "paymentRequest",
         {**_DEFINITION, "messageDefinitionNameOrId": "Pay_Now", "referenceId": script.uuid()}),
        (session.thread.end_user, "OrderMessage", "order",
         {"formatType": "Result", "result": {"resultType": "OrderResult", "status": "Received"}}),
    ):  # fmt: skip
        session.message(sender, payloads.message(script, kind, member, content))
        script.wait(5, 30)


def rich_text_only(session: Session) -> None:
    """An email-like message whose words are in its rich content alone."""
    content = {"contentHeader": "Your repair", "isTruncated": False, "attachments": [], "textContent": None,
               "richContent": f"<p>Order <b>{session.blanks.values['order']}</b> is on the bench.</p>",
               "fullContent": None}  # fmt: skip
    session.message(session.representative, payloads.static(session.script, "ExtendedText", **content))


def failed_upload(session: Session) -> None:
    """A picture that never arrived, with the reason."""
    attached = payloads.attachment(session.script, "IMG_4410.jpg", "image/jpeg")
    attached["attachmentUploadResult"] = {"resultType": "Error", "errorType": "FileTooLarge",
                                          "errorMessage": "The file is too large"}  # fmt: skip
    body = payloads.static(session.script, "Attachments", attachments=[attached], text="")
    session.message(session.thread.end_user, body)


def several_choices(session: Session) -> None:
    """Two of three options are taken, one of them without its title."""
    script, thread = session.script, session.thread
    asked = payloads.choices(script, "ListPicker", "What would you like to add?", ("Poles", "Gaiters", "Stove"))
    session.message(thread.bot, asked)
    script.wait(4, 30)
    offered = payloads.offered(asked)
    chosen = [{"optionIdentifier": offered[0][0], "optionTitle": payloads.title(offered[0][1])},
              {"optionIdentifier": offered[2][0], "optionTitle": None}]  # fmt: skip
    content = {"formatType": "Selections", "selectedOptions": chosen}
    session.message(thread.end_user, payloads.message(
        script, "ChoicesResponseMessage", "choicesResponse", content, reply_to=asked["id"]))  # fmt: skip


def ai_agent(session: Session) -> None:
    """An AI agent is asked by the representative: an answer with two sources, and a draft that only she sees."""
    script = session.script
    worker = Speaker("digital_worker", script.cast.bot_id[:15], "DigitalWorker", "Trail Scout")
    session.participants.append(join(script, worker, None))
    words = "The seam is under warranty for two years. Repairs take about ten days."
    citations = [
        {"citedReference": {"citedReferenceType": "Link", "label": label, "recordId": None,
                            "link": {"url": f"{SHOP}/help/{label.lower()}"}},
         "citedDetails": {"inlineMetadata": [
             {"claim": {"claimStartOffset": start, "claimEndOffset": end}, "citedLocationOffset": end}]}}
        for label, start, end in (("Warranty", 0, 41), ("Repairs", 42, len(words)))
    ]  # fmt: skip
    answer = payloads.static(script, "Text", text=words, citationContent={"citations": citations})
    answer["references"] = [{"id": script.uuid(), "recordId": session.record.id[:15]}]
    session.event("Message", worker, {"abstractMessage": answer, "messageReason": "AutomatedResponse"})
    script.wait(2, 10)
    draft = payloads.text(script, "Suggested reply: offer a loan boot for the time of the repair.")
    session.event("Message", worker, {"abstractMessage": draft}, visibility="Internal")


def troubled_routing(session: Session) -> None:
    """A supervisor is called, the first try fails, the one who is asked declines."""
    router, record = Speaker("conversation", "router", "Router", None), session.record.id[:15]
    session.event("RoutingResult", router, {
        "routingType": "Conference", "failureType": "RoutingError", "errorMessages": ["No member is available"],
        "failureReason": "NoCapacity", "recordId": record, "cancelReason": None, "workOwnerId": None,
    })  # fmt: skip
    for kind in ("Declined", "Escalated"):
        session.event("RoutingWorkResult", router, {
            "conversationId": session.script.conversation.identifier, "workId": session.work.id[:15],
            "workTargetId": record, "workType": kind, "errorMessages": [], "routingType": "Conference",
        })  # fmt: skip


RICH_RARITIES: tuple[Happening, ...] = (
    _pair(("ChoicesMessage", "ChoicesResponseMessage"), ("choices", "choicesResponse"), _experience, _experience),
    _form(_list_form, _selections),
    _form(_flow, _references),
    _form(_experience, _experience),
    _form(lambda _: dict(_DEFINITION), _experience),
    _pair(("AuthenticationRequestMessage", "AuthenticationResponseMessage"),
          ("authenticationRequest", "authenticationResponse"), _token, _token),
    order_result, rich_text_only, failed_upload, several_choices, ai_agent, troubled_routing,
)  # fmt: skip
