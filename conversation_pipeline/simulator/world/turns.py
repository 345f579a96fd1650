"""Turns of a dialogue that are more than text: a link, a file, a choice and its answer, a form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conversation_pipeline.simulator.world import payloads
from conversation_pipeline.simulator.world.dialogue_blanks import PRODUCTS

if TYPE_CHECKING:
    from conversation_pipeline.simulator.world.messaging import Session

Body = dict[str, Any]
_COLORS = ("Glacier Blue", "Moss Green", "Ember Red")


def rich_link(session: Session, words: str) -> Body | None:
    """A link with a title and a preview; some senders add text of their own, some do not."""
    script = session.script
    item = payloads.link_item(words, f"track/{session.blanks.values['order']}")
    own = {"text": words} if script.chance(0.6) else {}
    return payloads.static(script, "RichLink", linkItem=item, image=payloads.image(script, "parcel"), **own)


def label(session: Session, words: str) -> Body | None:
    """A return label."""
    return _file(session, words, "return-label.pdf", "application/pdf")


def document(session: Session, words: str) -> Body | None:
    """An invoice."""
    return _file(session, words, f"invoice-{session.blanks.values['order']}.pdf", "application/pdf")


def photo(session: Session, words: str) -> Body | None:
    """One or two pictures from the customer's phone."""
    names = [f"IMG_{session.script.rng.randrange(1000, 9999)}.jpg" for _ in range(session.script.rng.choice((1, 1, 2)))]
    attached = [payloads.attachment(session.script, name, "image/jpeg") for name in names]
    return payloads.static(session.script, "Attachments", attachments=attached, text=words)


def video(session: Session, words: str) -> Body | None:
    """A clip, with the words as its description."""
    asset = {**payloads.image(session.script, "igniter"), "assetType": "VideoAsset", "mimeType": "video/mp4",
             "description": words}  # fmt: skip
    return payloads.static(session.script, "Media", mediaAsset=asset, linkItems=[])


def size_chart(session: Session, words: str) -> Body | None:
    """Sizes to choose from, as a list or over a picture."""
    form = session.script.rng.choice(("ListPicker", "Media"))
    return _ask(session, payloads.choices(session.script, form, words, ("S", "M", "L", "XL")))


def carousel(session: Session, words: str) -> Body | None:
    """Products to swipe through."""
    names = session.script.rng.sample(PRODUCTS[session.thread.customer.language], 3)
    return _ask(session, payloads.choices(session.script, "Carousel", words, names))


def time_slots(session: Session, words: str) -> Body | None:
    """Appointments to choose from."""
    return _ask(session, payloads.choices(session.script, "TimePicker", words, ("first", "second", "third")))


def pick(session: Session, words: str) -> Body | None:
    """The customer's choice among what was offered last; `words` are not said."""
    if session.asked is None:
        return payloads.text(session.script, words) if words else None
    chosen = session.script.rng.randrange(len(payloads.offered(session.asked)))
    return payloads.selection(session.script, session.asked, chosen)


def form(session: Session, words: str) -> Body:
    """A form to fill in; from the customer, the form filled in."""
    script = session.script
    if session.asked_form is None:
        identifiers = (script.uuid(), script.uuid())
        sections = [
            {"sectionType": "SingleInputSection", "submitForm": place == 1, "nextSectionInputId": None,
             "input": {"inputType": kind, "id": identifier, "label": title, "required": True, "hintText": None}}
            for place, (kind, identifier, title) in enumerate(
                zip(("TextInput", "DatePickerInput"), identifiers, ("What is broken?", "Bought on"), strict=True))
        ]  # fmt: skip
        content = {"formatType": "Inputs", "formTitle": payloads.title("Repair form", words), "sections": sections,
                   "message": payloads.title(words), "reply": None, "introScreen": None, "images": []}  # fmt: skip
        question = payloads.message(script, "FormMessage", "form", content)
        session.asked_form = question
        return question
    asked, session.asked_form = session.asked_form, None
    values = ("left zipper", "2026-04-18")
    answers = [
        {"inputValueType": "SingleInputValue", "inputId": section["input"]["id"],
         "inputlabel": section["input"]["label"], "value": {"valueType": "TextValue", "textValue": value},
         "displayValue": value}
        for section, value in zip(asked["form"]["sections"], values, strict=True)
    ]  # fmt: skip
    content = {"formatType": "Inputs", "formTitle": asked["form"]["formTitle"], "inputValues": answers}
    return payloads.message(script, "FormResponseMessage", "formResponse", content, reply_to=asked["id"])


def _file(session: Session, words: str, name: str, mime_type: str) -> Body:
    attached = payloads.attachment(session.script, name, mime_type)
    return payloads.static(session.script, "Attachments", attachments=[attached], text=words)


def _ask(session: Session, body: Body) -> Body:
    session.asked = body
    return body


KINDS: dict[str, Callable[[Session, str], Body | None]] = {
    "rich_link": rich_link, "label": label, "document": document, "photo": photo, "video": video,
    "size_chart": size_chart, "carousel": carousel, "time_slots": time_slots, "pick": pick, "form": form,
}  # fmt: skip
