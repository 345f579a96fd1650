"""The blanks of the dialogues: one customer's order, product, place and days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from conversation_pipeline.simulator.world.people import SHOP, Person
from conversation_pipeline.simulator.world.script import Script

PRODUCTS = {
    "en_US": ("Larch 2 tent", "Cirrus down jacket", "Moraine 45 backpack", "Talus hiking boots", "Ember gas stove",
              "Drift sleeping bag", "Ridgeline rain shell", "Basalt trekking poles", "Tarn 3 L hydration pack"),
    "de": ("Larch 2 Zelt", "Cirrus Daunenjacke", "Moraine 45 Rucksack", "Talus Wanderstiefel", "Drift Schlafsack"),
    "es": ("tienda Larch 2", "chaqueta de plumón Cirrus", "mochila Moraine 45", "botas Talus", "saco Drift"),
}  # fmt: skip
_CITIES = {"en_US": ("Denver", "Omaha", "Salt Lake City", "Boise", "Reno"), "de": ("Leipzig", "Köln", "Nürnberg"),
           "es": ("Zaragoza", "Bilbao", "Málaga")}  # fmt: skip
_WEEKDAYS = {
    "en_US": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}


@dataclass(frozen=True, slots=True)
class Blanks:
    """Values for `{order}`, `{product}`, `{first}`, ...; the same through the whole conversation."""

    values: dict[str, str]

    def fill(self, wording: str, *, agent: str = "") -> str:
        """The wording with its blanks filled; `agent` is the first name of who serves."""
        return wording.format_map({**self.values, "agent": agent})


def blanks(script: Script, customer: Person) -> Blanks:
    """Draw the particulars of one conversation."""
    rng = script.rng
    today = datetime.fromtimestamp(script.second, UTC)
    weekdays = _WEEKDAYS[customer.language]
    return Blanks({
        "order": f"NP-{rng.randrange(200_000, 999_999)}", "product": rng.choice(PRODUCTS[customer.language]),
        "city": rng.choice(_CITIES[customer.language]), "first": customer.first_name, "last": customer.last_name,
        "email": customer.email, "shop": SHOP,
        "weekday": weekdays[(today - timedelta(days=rng.randrange(1, 5))).weekday()],
        "next_day": weekdays[(today + timedelta(days=rng.randrange(1, 4))).weekday()],
        "amount": f"{rng.randrange(19, 420)}.{rng.choice(('00', '50', '95'))}",
        "size": rng.choice(("S", "M", "L", "42", "43.5", "XL")), "case": f"{rng.randrange(10_000, 99_999)}",
    })  # fmt: skip
