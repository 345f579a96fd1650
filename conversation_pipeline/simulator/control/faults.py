"""Faults to order: which requests they meet, and what happens to those."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EFFECTS = (
    "status", "body", "headers", "reset", "truncate", "stall_seconds", "stall_after_bytes", "html", "expire_token",
    "drop_entry", "repeat_entry", "drop_record",
)  # fmt: skip


@dataclass(slots=True)
class Fault:
    """
    A rule: the requests it meets and its effect.

    Attributes:
      route: a route name such as `rest.query`, with `*` as a wildcard; None for any.
      path: a path pattern with `*`; None for any.
      method: an HTTP method; None for any.
      conversation_identifier: only requests for that conversation.
      user: only requests with a token of that username.
      nth: only the nth request that matches, counted from 1.
      times: how many matching requests it meets before it is spent; None for ever.
      effect: what happens, by the names in EFFECTS.
    """

    id: int
    effect: dict[str, Any]
    route: str | None = None
    path: str | None = None
    method: str | None = None
    conversation_identifier: str | None = None
    user: str | None = None
    nth: int | None = None
    times: int | None = None
    seen: int = 0
    struck: int = 0

    def meets(
        self, route: str, path: str, method: str, conversation_identifier: str | None, user: str | None = None
    ) -> bool:
        """Whether this request is one of the rule's; counts it."""
        if self.times is not None and self.struck >= self.times:
            return False
        if (
            (self.route is not None and not fnmatch.fnmatchcase(route, self.route))
            or (self.path is not None and not fnmatch.fnmatchcase(path, self.path))
            or (self.method is not None and self.method.upper() != method)
            or (self.conversation_identifier not in (None, conversation_identifier))
            or (self.user not in (None, user))
        ):
            return False
        self.seen += 1
        if self.nth is not None and self.seen != self.nth:
            return False
        self.struck += 1
        return True


@dataclass(slots=True)
class Faults:
    """The rules in force, in the order they were made; the first that meets a request has its way."""

    rules: list[Fault] = field(default_factory=list)
    _made: int = 0

    def add(self, rule: Mapping[str, Any]) -> Fault:
        """
        Make a rule from its JSON.

        Raises:
          ValueError: an unknown member or effect.
        """
        values = dict(rule)
        effect = values.get("effect")
        known = {"route", "path", "method", "conversation_identifier", "user", "nth", "times", "effect"}
        if "conversationIdentifier" in values:
            values["conversation_identifier"] = values.pop("conversationIdentifier")
        if set(values) - known:
            raise ValueError(f"unknown members {sorted(set(values) - known)}; a rule has {sorted(known)}")
        if not isinstance(effect, dict) or not effect or set(effect) - set(EFFECTS):
            raise ValueError(f"`effect` is an object with some of {', '.join(EFFECTS)}")
        self._made += 1
        fault = Fault(self._made, **values)
        self.rules.append(fault)
        return fault

    def clear(self) -> None:
        """Forget every rule."""
        self.rules.clear()

    def strike(
        self, route: str, path: str, method: str, conversation_identifier: str | None, user: str | None = None
    ) -> dict[str, Any] | None:
        """The effect that this request meets, or None."""
        for rule in self.rules:
            if rule.meets(route, path, method, conversation_identifier, user):
                return rule.effect
        return None
