"""What people say: scenarios as plain data. `c` the customer, `a` the representative, `b` the bot; one wording is drawn."""

from __future__ import annotations

from dataclasses import dataclass

Turn = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    A reason to get in touch.

    `turns` are (who, wording, wording, ...); a wording may have blanks such as `{order}`. A turn whose `who` carries
    a colon (`c:attachment`, `a:rich_link`) is a message of that kind around the wording.
    """

    name: str
    topic: str
    language: str
    turns: tuple[Turn, ...]


MESSAGING = (
    Scenario("order tracking", "Delivery", "en_US", (
        ("c", "Hi, where is my order {order}? It should have been here on {weekday}.",
              "Hello! Order {order} says \"in transit\" since {weekday}. Any news? 🙏",
              "My parcel ({order}) still hasn't shown up. Tracking page shows nothing new."),
        ("a", "Hi {first}, thanks for reaching out. Let me look up {order} for you.",
              "Hello {first}! I'm checking the carrier's page for {order} right now."),
        ("a", "It was scanned in {city} last night, so it is moving. The carrier now says {next_day} before noon.",
              "I can see it: it missed a connection in {city}. New estimate is {next_day}."),
        ("c", "OK, but I leave for the mountains on {next_day} 😬 can it go to a pickup point instead?",
              "Thanks. Could you leave a note that they can drop it behind the shed?"),
        ("a", "Done. I've added the note and sent you the tracking link again:\n{shop}/track/{order}",
              "I changed it. You'll get a text with the new location within the hour."),
        ("c", "Perfect, thank you so much!", "Great, thx 👍", "That helps. Thanks, {agent}."),
        ("a", "You're welcome, {first}. Enjoy the trip!", "Any time. Have a good one!"),
    )),
)

VOICE = (
    Scenario("delivery call", "Delivery", "en_US", (
        ("a", "Northpine Outfitters, this is {agent}, how can I help you?"),
        ("c", "Yeah hi, um, I'm calling about an order, it's number {order}."),
        ("a", "Thank you. Could I have your name, please?"),
        ("c", "It's {first}, {first} {last}."),
        ("a", "Thanks {first}. I see it left our warehouse on {weekday} and it's out for delivery."),
        ("c", "Oh okay. Because the website said something else, it said delayed."),
        ("a", "The website lags behind a little. If it isn't there by {next_day}, call us and we'll send a new one."),
        ("c", "Alright, that's good to know. Thanks a lot."),
        ("a", "My pleasure. Have a nice day."),
    )),
)  # fmt: skip
