"""
What a message's body gives to the columns, by format: one declared table.

Source: message types and formats of the ConversationEntry payload schema 0.0.2 (conversation-entry APIs 2.3), text
rules 2.4. The payload column keeps what has no column here: template and flow names, form inputs, languages.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from conversation_pipeline.extract.entries.drift import Notes, unknown
from conversation_pipeline.extract.entries.values import INSTANTS, Json, as_object, as_objects, as_string, title_of
from conversation_pipeline.extract.windows import from_milliseconds

BODY_OF_MESSAGE_TYPE = {
    "StaticContentMessage": "staticContent",
    "ChoicesMessage": "choices",
    "ChoicesResponseMessage": "choicesResponse",
    "FormMessage": "form",
    "FormResponseMessage": "formResponse",
    "AuthenticationRequestMessage": "authenticationRequest",
    "AuthenticationResponseMessage": "authenticationResponse",
    "PaymentRequestMessage": "paymentRequest",
    "PaymentResponseMessage": "paymentResponse",
    "PaymentStatusMessage": "paymentStatusResponse",
    "CommandMessage": "command",
    "OrderMessage": "order",
    "CatalogMessage": "catalog",
    "InformationRequestMessage": "informationRequest",
}
"""The member of a message that holds its body."""


COLUMNS = ("format_type", "text", "options", "selected_options", "attachments", "links")
"""The columns that a body fills."""

Flat = tuple[str | None, str | None, list[Json] | None, list[Json] | None, list[Json] | None, list[Json] | None]

NOTHING: Flat = (None, None, None, None, None, None)


@dataclass(frozen=True)
class Format:
    """
    Where a format keeps what.

    A place is a path of members: ``items[]`` goes through a list, ``actions[url]`` through those of its objects that
    have the member ``url``, and ``.`` is the body itself.

    Attributes:
        text: The first of these places that holds a text, or an item with a title, is what a person reads; or a
            function where it takes more than a look.
    """

    text: tuple[str, ...] | Callable[[Json], str | None] = ()
    options: tuple[str, ...] = ()
    selected_options: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def lists(self) -> tuple[tuple[str, ...], ...]:
        return self.options, self.selected_options, self.attachments, self.links

    @cached_property
    def probes(self) -> list[_Probe]:
        """The places of the lists as steps, found by their first member."""
        columns = zip(COLUMNS[2:], self.lists, strict=True)
        return [_probe(place, column) for column, places in columns for place in places]

    @cached_property
    def members(self) -> frozenset[str]:
        """The members of a body that are read."""
        text = () if callable(self.text) else (place.partition(".")[0] for place in self.text)
        return frozenset((*text, *(probe.member for probe in self.probes)))

    @cached_property
    def foreign(self) -> frozenset[str]:
        """The members that only other formats have: releases move them, so a body with one is read for all."""
        return _ANY_FORMAT.members - self.members

    @cached_property
    def wide(self) -> Format:
        """The same, and whatever any other format has."""
        text = self.text if callable(self.text) else _merged(_TITLES, self.text)
        mine_and_all = zip(self.lists, _ANY_FORMAT.lists, strict=True)
        return Format(text, *(_merged(every, mine) for mine, every in mine_and_all))


class _Step(NamedTuple):
    """One member on the way to a place; through a list, to those of its objects that have a member."""

    member: str
    is_list: bool
    having: str


class _Probe(NamedTuple):
    member: str
    steps: tuple[_Step, ...]
    column: int
    read: Callable[[Json], Json]


_STEP = re.compile(r"(?P<member>[^.\[]+)(?P<list>\[(?P<having>\w*)\])?")


def _probe(place: str, column: str) -> _Probe:
    steps = tuple(
        _Step(step["member"], step["list"] is not None, step["having"] or "") for step in _STEP.finditer(place)
    )
    # The body itself is there if its format is.
    return _Probe(steps[0].member if steps else "formatType", steps, COLUMNS.index(column), _READERS[column])


def _merged(*places: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(place for some in places for place in some))


def _rendered_on_the_device(_: Json) -> None:
    """The entry names a message definition; what the customer saw is not in it."""


def _template_name(content: Json) -> str | None:
    name = as_string(as_object(content.get("externalTemplate")).get("name"))
    return f"[template] {name}" if name else None


def _extended_text(content: Json) -> str | None:
    return as_string(content.get("textContent")) or _without_markup(as_string(content.get("richContent")))


def _chosen_titles(content: Json) -> str | None:
    """What was chosen, as one line; a form's answer goes by the form's title (2.4)."""
    if form := title_of(content.get("formTitle")):
        return form
    chosen = (option for probe in FORMATS["Selections"].probes for option in _objects_at(probe.steps, content))
    titles = (title_of(option.get("optionTitle")) for option in chosen)
    return ", ".join(title for title in titles if title) or None


_TITLES = ("text", "title", "formTitle", "message")
_SELECTED = ("selectedOptions[]", "inputValues[].selectedOptions[]")
_CITED = "citationContent.citations[].citedReference"
_SLOTS = "calendarEvent.timeSlotOptionItems[]"
_CARD_OPTIONS = "items[].interactionItems[optionIdentifier]"
_CARD_LINKS = ("items[].linkItems[]", "items[].interactionItems[url]")

FORMATS: dict[str, Format] = {
    # Static content; Buttons, Carousel, Media, ListPicker and MessageDefinition are formats of choices as well
    "Text": Format(text=("text",), links=(_CITED,)),
    "Attachments": Format(text=("text",), attachments=("attachments[]",)),
    "RichLink": Format(text=("text", "linkItem.titleItem"), attachments=("image", "video"), links=("linkItem",)),
    "Media": Format(options=("optionItems[]",), attachments=("mediaAsset",), links=("linkItems[]",)),
    "Buttons": Format(text=("text",), options=("optionItems[]",), links=("linkItems[]", "actions[url]")),
    "Carousel": Format(text=("title",), options=(_CARD_OPTIONS,), attachments=("images[]",), links=_CARD_LINKS),
    "Links": Format(links=("links[]",)),
    "WebView": Format(text=("title",), links=(".",)),
    "ExternalTemplate": Format(text=_template_name, attachments=("externalTemplate.assets[]",)),
    "ErrorMessage": Format(text=("title",)),
    "ExtendedText": Format(text=_extended_text, attachments=("attachments[]", "fullContent")),
    "ExperienceType": Format(text=("message",)),
    "MessageDefinition": Format(text=_rendered_on_the_device, options=("options[]",)),
    "Application": Format(),
    "CancelAction": Format(),
    # Choices and what was chosen
    "QuickReplies": Format(text=("text",), options=("optionItems[]",), attachments=("images[]",)),
    "ListPicker": Format(text=("title", "message"), options=("optionItems[]",), attachments=("images[]",)),
    "TimePicker": Format(text=("message",), options=(_SLOTS,), attachments=("images[]",)),
    "DisplayableOptions": Format(text=("title",), options=("optionItems[]",)),
    "ConfirmMessage": Format(text=("message",), options=("confirm[]",)),
    "Selections": Format(text=_chosen_titles, selected_options=_SELECTED),
    # Forms
    "Inputs": Format(text=("formTitle", "message"), selected_options=_SELECTED, attachments=("images[]",)),
    "Flow": Format(),
    "Result": Format(),
    "References": Format(),
    # The rest
    "EncryptedOAuthToken": Format(),
    "Payment": Format(),
    "Catalog": Format(),
    "InformationRequest": Format(),
}

_LISTS_OF_ANY = (_merged(*places) for places in zip(*(row.lists for row in FORMATS.values()), strict=True))
_ANY_FORMAT = Format(_TITLES, *(tuple(place for place in places if place != ".") for places in _LISTS_OF_ANY))


def flat(content: Json, notes: Notes) -> Flat:
    """The columns of a body; a format that nobody has told is read for whatever any format has."""
    format_type = as_string(content.get("formatType"))
    row = FORMATS.get(format_type or "")
    if row is None:
        row = _ANY_FORMAT
        if format_type is not None:
            notes.append(unknown("format_type", format_type))
    elif not row.foreign.isdisjoint(content):
        row = row.wide
    columns: list[Any] = [format_type, row.text(content) if callable(row.text) else _title_at(row.text, content)]
    columns += NOTHING[2:]
    for member, steps, column, read in row.probes:
        if member in content and (found := [read(item) for item in _objects_at(steps, content)]):
            columns[column] = [*(columns[column] or ()), *found]
    return tuple(columns)


def _title_at(places: Iterable[str], content: Json) -> str | None:
    """The first text or title that stands in one of the places."""
    for place in places:
        value: Any = content
        for member in place.split("."):
            value = value.get(member) if isinstance(value, dict) else None
        if title := title_of(value):
            return title
    return None


def _objects_at(steps: Iterable[_Step], content: Json) -> list[Json]:
    """The objects at the end of the steps; empty ones say nothing and are left out."""
    objects = [content]
    for member, is_list, having in steps:
        if is_list:
            objects = [one for above in objects for one in as_objects(above.get(member)) if having in one or not having]
        else:
            objects = [as_object(above.get(member)) for above in objects]
    return [one for one in objects if one]


def _option(item: Json) -> Json:
    title = title_of(item.get("titleItem")) or as_string(item.get("title")) or as_string(item.get("value"))
    if title is None:
        title = _slot(item.get("startTime"))
    return {"option_identifier": as_string(item.get("optionIdentifier")), "title": title}


_FIRST_MILLISECONDS = 10**10
"""Payloads mix seconds and milliseconds; what is larger than this are milliseconds (2.2 of the reference)."""


def _slot(start: Any) -> str | None:
    """A time slot as a reader would write it."""
    if not isinstance(start, int) or isinstance(start, bool):
        return as_string(start)
    milliseconds = start if start >= _FIRST_MILLISECONDS else start * 1000
    return f"{from_milliseconds(milliseconds):%Y-%m-%d %H:%M} UTC" if milliseconds in INSTANTS else None


def _selected(option: Json) -> Json:
    return {
        "option_identifier": as_string(option.get("optionIdentifier")),
        "title": title_of(option.get("optionTitle")),
    }


def _attachment(file: Json) -> Json:
    return {
        "id": as_string(file.get("id")),
        "name": as_string(file.get("name")) or as_string(file.get("description")),
        "mime_type": as_string(file.get("mimeType")),
        "url": as_string(file.get("url")) or as_string(file.get("assetUrl")),
    }


def _link(item: Json) -> Json:
    """A link item, a link action, a web view or a cited reference."""
    return {
        "title": title_of(item.get("titleItem")) or as_string(item.get("label")) or title_of(item.get("title")),
        "url": as_string(item.get("url")) or as_string(as_object(item.get("link")).get("url")),
    }


_READERS = {"options": _option, "selected_options": _selected, "attachments": _attachment, "links": _link}

_LINE_END = re.compile(r"<br\s*/?>|</(?:p|div|li|h[1-6]|tr)>", re.IGNORECASE)
_MARKUP = re.compile(r"<[^>]*>")


def _without_markup(rich: str | None) -> str | None:
    """Rich text as a person reads it: lines, without tags, characters instead of entities."""
    if rich is None:
        return None
    return html.unescape(_MARKUP.sub("", _LINE_END.sub("\n", rich))).strip() or None
