"""Message bodies of every published kind, by the member names of the Conversation Entry Payload Schema 0.0.2 [doc]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conversation_pipeline.simulator.world.people import SHOP
from conversation_pipeline.simulator.world.script import Script

Body = dict[str, Any]


def message(script: Script, kind: str, member: str, content: Body, *, reply_to: str | None = None) -> Body:
    """`abstractMessage` of that messageType; optional members are sometimes null and sometimes missing."""
    body: Body = {"messageType": kind, "id": script.uuid()}
    if reply_to is not None:
        body["inReplyToMessageId"] = reply_to
    elif script.chance(0.5):
        body |= {"inReplyToMessageId": None, "references": []}
    return {**body, member: content}


def static(script: Script, format_type: str, **content: Any) -> Body:
    """A StaticContentMessage."""
    return message(script, "StaticContentMessage", "staticContent", {"formatType": format_type, **content})


def text(script: Script, words: str, **more: Any) -> Body:
    """A plain text message."""
    return static(script, "Text", text=words, **more)


def title(words: str, sub_title: str | None = None) -> Body:
    """A TitleItem."""
    return {"itemType": "TitleItem", "title": words, **({"subTitle": sub_title} if sub_title else {})}


def options(script: Script, labels: Sequence[str]) -> list[Body]:
    """TitleOptionItems, each with its own identifier."""
    return [
        {"itemType": "TitleOptionItem", "optionIdentifier": script.uuid(), "titleItem": title(label)}
        for label in labels
    ]


def link_item(words: str, path: str) -> Body:
    """A TitleLinkItem to a page of the shop."""
    return {"itemType": "TitleLinkItem", "titleItem": title(words), "url": f"{SHOP}/{path}"}


def image(script: Script, name: str) -> Body:
    """An ImageAsset."""
    return {"id": script.uuid(), "assetType": "ImageAsset", "mimeType": "image/jpeg",
            "assetUrl": f"{SHOP}/media/{name}.jpg", "description": None}  # fmt: skip


def attachment(script: Script, name: str, mime_type: str) -> Body:
    """An Attachment: a reference, never bytes."""
    reference = script.uuid()
    return {"id": script.uuid(), "name": name, "mimeType": mime_type, "referenceId": reference,
            "url": f"https://northpine.file.example/sfc/servlet.shepherd/version/{reference}",
            "attachmentUploadResult": None}  # fmt: skip


def choices(script: Script, format_type: str, words: str, labels: Sequence[str]) -> Body:
    """A ChoicesMessage with the options where that format keeps them."""
    items = options(script, labels)
    content: Body
    match format_type:
        case "Buttons":
            content = {"text": words, "optionItems": items}
        case "QuickReplies":
            content = {"text": words, "optionItems": items, "images": []}
        case "ListPicker":
            content = {"title": words, "optionItems": items, "images": None, "message": title(words), "reply": None}
        case "DisplayableOptions":
            content = {
                "title": words,
                "displayType": "Menu",
                "optionItems": [
                    {"optionIdentifier": item["optionIdentifier"], "title": label, "alias": str(place)}
                    for place, (item, label) in enumerate(zip(items, labels, strict=True), start=1)
                ],
            }
        case "Carousel":
            content = {
                "items": [{"titleItem": title(label, words), "interactionItems": [item]}
                          for item, label in zip(items, labels, strict=True)],
                "images": [image(script, label.lower().replace(" ", "-")) for label in labels],
                "title": title(words),
            }  # fmt: skip
        case "TimePicker":
            slots = [
                {"optionIdentifier": item["optionIdentifier"], "startTime": script.second + 86_400 * (day + 1),
                 "duration": 1800}
                for day, item in enumerate(items)
            ]  # fmt: skip
            event = {"identifier": script.uuid(), "title": words, "timeSlotOptionItems": slots}
            content = {"calendarEvent": event, "message": title(words), "reply": None}
        case "ConfirmMessage":
            content = {"message": title(words), "confirm": items}
        case _:
            content = {"mediaAsset": image(script, "size-chart"), "optionItems": items}
    return message(script, "ChoicesMessage", "choices", {"formatType": format_type, **content})


def offered(body: Body) -> list[tuple[str, str]]:
    """(option identifier, title) of everything that a ChoicesMessage offers, in order."""
    content = body["choices"]
    if content["formatType"] == "Carousel":
        return [
            (item["interactionItems"][0]["optionIdentifier"], item["titleItem"]["title"]) for item in content["items"]
        ]
    if content["formatType"] == "TimePicker":
        return [
            (slot["optionIdentifier"], f"Slot {place}")
            for place, slot in enumerate(content["calendarEvent"]["timeSlotOptionItems"], start=1)
        ]
    items = content.get("optionItems") or content.get("confirm") or []
    return [(item["optionIdentifier"], item.get("title") or item["titleItem"]["title"]) for item in items]


def selection(script: Script, asked: Body, chosen: int) -> Body:
    """A ChoicesResponseMessage; sometimes the title is left to be joined from the question."""
    identifier, label = offered(asked)[chosen]
    option: Body = {"optionIdentifier": identifier}
    if not script.chance(0.2):
        option["optionTitle"] = title(label)
    elif script.chance(0.5):
        option["optionTitle"] = None
    content = {"formatType": "Selections", "selectedOptions": [option]}
    return message(script, "ChoicesResponseMessage", "choicesResponse", content, reply_to=asked["id"])
