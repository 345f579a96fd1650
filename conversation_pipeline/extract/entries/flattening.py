"""
What a message's body gives to the columns, by format: one declared table.

Source: message types and formats of the ConversationEntry payload schema 0.0.2 (conversation-entry APIs 2.3), text
rules 2.4. The payload column keeps what has no column here: template and flow names, form inputs, languages.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from conversation_pipeline.extract.entries.drift import Notes, unknown
from conversation_pipeline.extract.entries.values import INSTANTS, Json, as_object, as_string, title_of
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

_LISTS = COLUMNS[2:]

Flat = tuple[str | None, str | None, list[Json] | None, list[Json] | None, list[Json] | None, list[Json] | None]

NOTHING: Flat = (None, None, None, None, None, None)


_Text = Callable[[Json, Sequence[Json]], str | None]
"""Tells the text by a body and the options that were selected in it."""


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

    text: tuple[str, ...] | _Text = ()
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
        return [_probe(place, column) for column, places in enumerate(self.lists) for place in places]

    @cached_property
    def members(self) -> frozenset[str]:
        """The members of a body that are read."""
        text = () if callable(self.text) else (place.partition(".")[0] for place in self.text)
        return frozenset((*text, *(probe.member for probe in self.probes)))

    @cached_property
    def wide(self) -> Format:
        """The same, and whatever any other format has."""
        text = self.text if callable(self.text) else _merged(_TITLES, self.text)
        mine_and_all = zip(self.lists, _ANY_FORMAT.lists, strict=True)
        return Format(text, *(_merged(every, mine) for mine, every in mine_and_all))

    def plan(self, members: Iterable[str]) -> _Plan:
        """What there is to read in a body that has these members."""
        there = frozenset(members)
        # Releases move members from format to format, so a body with one that only others have is read for all.
        row = self if there.isdisjoint(_ANY_FORMAT.members - self.members) else self.wide
        paths = () if callable(row.text) else (tuple(place.split(".")) for place in row.text)
        return _Plan(
            row.text if callable(row.text) else None,
            tuple(path for path in paths if path[0] in there),
            tuple(probe for probe in row.probes if probe.member in there),
        )


class _Plan(NamedTuple):
    """
    How to read a body.

    Attributes:
        text: Tells the text, where that takes more than a look.
        titles: Else, where it may be.
    """

    text: _Text | None
    titles: tuple[tuple[str, ...], ...]
    probes: tuple[_Probe, ...]


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


def _probe(place: str, column: int) -> _Probe:
    steps = tuple(
        _Step(step["member"], step["list"] is not None, step["having"] or "") for step in _STEP.finditer(place)
    )
    # The body itself is there if its format is.
    return _Probe(steps[0].member if steps else "formatType", steps, column, _READERS[_LISTS[column]])


def _merged(*places: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(place for some in places for place in some))


def _rendered_on_the_device(_: Json, __: Sequence[Json]) -> None:
    """The entry names a message definition; what the customer saw is not in it."""


def _template_name(content: Json, _: Sequence[Json]) -> str | None:
    name = as_string(as_object(content.get("externalTemplate")).get("name"))
    return f"[template] {name}" if name else None


def _extended_text(content: Json, _: Sequence[Json]) -> str | None:
    return as_string(content.get("textContent")) or _without_markup(as_string(content.get("richContent")))


def _chosen_titles(content: Json, chosen: Sequence[Json]) -> str | None:
    """What was chosen, as one line; a form's answer goes by the form's title (2.4)."""
    return title_of(content.get("formTitle")) or ", ".join(one["title"] for one in chosen if one["title"]) or None


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
    format_type, text = content.get("formatType"), content.get("text")
    if format_type == "Text" and len(content) == 2 and isinstance(text, str):
        return ("Text", text or None, None, None, None, None)  # as most messages are
    format_type = as_string(format_type)
    known = format_type if format_type in FORMATS else None
    if format_type != known:
        notes.append(unknown("format_type", format_type))
    plan = _plan(known, *[member for member in content if member in _MEMBERS])
    lists: list[list[Json] | None] = [None] * len(_LISTS)
    for _, steps, column, read in plan.probes:
        if found := [read(item) for item in _objects_at(steps, content)]:
            lists[column] = [*(lists[column] or ()), *found]
    options, selected_options, attachments, links = lists
    text = plan.text(content, selected_options or ()) if plan.text else _title_at(plan.titles, content)
    return format_type, text, options, selected_options, attachments, links


@lru_cache(maxsize=1024)
def _plan(format_type: str | None, *members: str) -> _Plan:
    """Bodies have few shapes, so what is to be read in each is found once."""
    return (FORMATS[format_type] if format_type else _ANY_FORMAT).plan(members)


def _title_at(paths: Iterable[Sequence[str]], content: Json) -> str | None:
    """The first text or title that stands in one of the places."""
    for path in paths:
        value: Any = content
        for member in path:
            value = value.get(member) if isinstance(value, dict) else None
        if title := title_of(value):
            return title
    return None


def _objects_at(steps: Iterable[_Step], content: Json) -> list[Json]:
    """The objects at the end of the steps; empty ones say nothing and are left out."""
    objects = [content]
    for member, is_list, having in steps:
        below = [above.get(member) for above in objects]
        if is_list:
            below = [one for some in below if isinstance(some, list) for one in some]
        objects = [one for one in below if isinstance(one, dict) and one and (not having or having in one)]
    return objects


def _option(item: Json) -> Json:
    title = title_of(item.get("titleItem")) or as_string(item.get("title")) or as_string(item.get("value"))
    if title is None and "startTime" in item:
        title = _slot(item["startTime"])
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

_MEMBERS = _ANY_FORMAT.members.union(*(row.members for row in FORMATS.values()))
"""The members of bodies that are read; what else stands there makes no difference."""

_LINE_END = re.compile(r"<br\s*/?>|</(?:p|div|li|h[1-6]|tr)>", re.IGNORECASE)
_MARKUP = re.compile(r"<[^>]*>")


def _without_markup(rich: str | None) -> str | None:
    """Rich text as a person reads it: lines, without tags, characters instead of entities."""
    if rich is None:
        return None
    return html.unescape(_MARKUP.sub("", _LINE_END.sub("\n", rich))).strip() or None
