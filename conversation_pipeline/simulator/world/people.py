"""Who takes part: the company's users, queues and channels, and the people who write and call."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from conversation_pipeline.simulator.world.ids import record_id
from conversation_pipeline.simulator.world.records import Change, Record, Row
from conversation_pipeline.simulator.world.schema import POINTED_AT, SOBJECTS

COMPANY = "Northpine Outfitters"
SHOP = "https://www.northpine.example"
_FOUNDED = int(datetime(2023, 3, 1, 9, tzinfo=UTC).timestamp())
_LANGUAGES = {"en_US": ("US", "America/Denver"), "de": ("DE", "Europe/Berlin"), "es": ("ES", "Europe/Madrid")}

_STAFF = (
    ("Rita", "Reyes", "Service Representative", "es"), ("Jonas", "Krüger", "Service Representative", "de"),
    ("Amelia", "Brooks", "Service Representative", "en_US"), ("Darius", "Coleman", "Service Representative", "en_US"),
    ("Yuki", "Tanaka", "Service Representative", "en_US"), ("Lena", "Vogt", "Service Representative", "de"),
    ("Marco", "Bianchi", "Service Representative", "en_US"), ("Hannah", "O'Neill", "Service Representative", "en_US"),
    ("Priya", "Nair", "Product Specialist", "en_US"), ("Tom", "Ashworth", "Product Specialist", "en_US"),
    ("Sofía", "Marín", "Service Representative", "es"), ("Felix", "Baumann", "Warranty Specialist", "de"),
)  # fmt: skip
_SUPERVISORS = (
    ("Grace", "Lindqvist", "Service Supervisor", "en_US"),
    ("Samuel", "Okafor", "Service Supervisor", "en_US"),
)

_FIRST_NAMES = {
    "en_US": ("Olivia", "Liam", "Emma", "Noah", "Ava", "Ethan", "Sophia", "Mason", "Isabella", "Lucas", "Mia", "Logan",
              "Zoe", "Caleb", "Nora", "Owen", "Harper", "Wyatt", "Ruby", "Theo", "Maya", "Jack", "Chloe", "Isaac"),
    "de": ("Katharina", "Jürgen", "Anke", "Matthias", "Greta", "Sebastian", "Käthe", "Björn", "Ulrike", "Moritz"),
    "es": ("Lucía", "Álvaro", "Carmen", "Iñigo", "Nuria", "Pablo", "Begoña", "Andrés"),
}  # fmt: skip
_LAST_NAMES = {
    "en_US": ("Walker", "Bennett", "Hughes", "Foster", "Ramirez", "Nguyen", "Sullivan", "Patel", "Carter", "Morgan",
              "Brooks", "Jensen", "Wright", "Chang", "Murphy", "Ortiz", "Fischer", "O'Brien", "Larsen", "Hayes"),
    "de": ("Schäfer", "Müller", "Weiß", "Hoffmann", "Böhm", "Lindner", "Krause", "Zöllner"),
    "es": ("García", "Muñoz", "Iglesias", "Peña", "Navarro", "Ibáñez"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """A customer: a name, a language, a phone number in E.164 without symbols, and the contact's record ids."""

    first_name: str
    last_name: str
    language: str
    phone: str
    email: str
    contact_id: str | None
    account_id: str | None

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"


@dataclass(frozen=True, slots=True)
class Staff:
    """A user of the org who serves customers."""

    id: str
    name: str
    language: str
    title: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A messaging channel; `kind` is its MessageType, `address` its ChannelAddressIdentifier."""

    id: str
    kind: str
    label: str
    language: str
    key: str
    address: str
    queue_id: str


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody and everything that exists before the first conversation of the world."""

    organization_id: str
    integration_user_id: str
    bot_user_id: str
    bot_id: str
    agents: tuple[Staff, ...]
    supervisors: tuple[Staff, ...]
    queues: dict[str, str]
    channels: dict[str, Channel]
    call_center_id: str
    service_channel_ids: dict[str, str]
    records: tuple[Record, ...]
    execution_user_ids: tuple[str, ...]

    def agent_for(self, rng: random.Random, language: str, *, apart_from: Staff | None = None) -> Staff:
        """A representative who speaks the language, and is not the one named."""
        others = [agent for agent in self.agents if agent is not apart_from]
        speakers = [agent for agent in others if agent.language == language]
        return rng.choice(speakers or others)


def person(rng: random.Random, language: str, *, known: bool) -> Person:
    """A customer drawn from `rng`; `known` ones have a Contact."""
    first, last = rng.choice(_FIRST_NAMES[language]), rng.choice(_LAST_NAMES[language])
    prefix = {"en_US": "1970555", "de": "4915550", "es": "3460055"}[language]
    number = rng.randrange(10_000_000)
    ascii_name = f"{first}.{last}".lower().encode("ascii", "ignore").decode().replace("'", "")
    return Person(
        first,
        last,
        language,
        prefix + f"{number % 10_000:04d}",
        f"{ascii_name}{number % 97}@mail.example",
        record_id(POINTED_AT["Contact"], number) if known else None,
        record_id(POINTED_AT["Account"], number) if known else None,
    )


def cast(seed: int) -> Cast:
    """The company: the same for a seed whatever the days."""
    rng = random.Random(f"cast/{seed}")
    records: list[Record] = []

    def add(sobject: str, number: int, values: Row) -> str:
        identifier = record_id(SOBJECTS[sobject].key_prefix, number)
        records.append(Record(sobject, identifier, [Change(_FOUNDED + number * 3600, values)], admin))
        return identifier

    admin = record_id("005", 1)
    organization = add("Organization", 1, {
        "Name": COMPANY, "Country": "US", "LanguageLocaleKey": "en_US", "TimeZoneSidKey": "America/Denver",
        "OrganizationType": "Unlimited Edition", "IsSandbox": False, "InstanceName": "USA1",
    })  # fmt: skip

    def user(number: int, first: str | None, last: str, title: str, language: str, kind: str = "Standard") -> str:
        handle = ".".join(part for part in (first, last) if part).lower().replace(" ", "")
        handle = handle.encode("ascii", "ignore").decode().replace("'", "")
        return add("User", number, {
            "Name": f"{first} {last}" if first else last, "FirstName": first, "LastName": last,
            "Username": f"{handle}@northpine.example", "Email": f"{handle}@northpine.example",
            "Alias": handle[:8], "IsActive": True, "UserType": kind, "Title": title,
            "ProfileId": record_id(POINTED_AT["Profile"], 1 if kind == "Standard" else 2),
            "Department": "Customer Service", "TimeZoneSidKey": _LANGUAGES[language][1], "LocaleSidKey": language,
            "LanguageLocaleKey": language, "LastLoginDate": _FOUNDED + 86_400 * 30,
        })  # fmt: skip

    user(1, "Ada", "Admin", "System Administrator", "en_US")
    integration = user(2, None, "Integration User", "Data integration", "en_US")
    executions = tuple(user(3 + n, None, f"Execution User {n + 1}", "Conversation data", "en_US") for n in range(3))
    bot_user = user(8, None, "Trail Guide Bot", "Enhanced bot", "en_US", "AutomatedProcess")
    agents = tuple(
        Staff(user(20 + n, first, last, title, language), f"{first} {last}", language, title)
        for n, (first, last, title, language) in enumerate(_STAFF)
    )
    supervisors = tuple(
        Staff(user(60 + n, first, last, title, language), f"{first} {last}", language, title)
        for n, (first, last, title, language) in enumerate(_SUPERVISORS)
    )
    user(90, "Karl", "Former", "Service Representative", "de")
    records[-1].change(_FOUNDED + 86_400 * 500, {"IsActive": False})
    queues = {
        key: add("Group", number, {
            "Name": name, "DeveloperName": name.replace(" ", "_"), "Type": "Queue", "OwnerId": organization,
            "Email": f"{key}@northpine.example", "DoesSendEmailToMembers": False,
            "QueueRoutingConfigId": record_id(POINTED_AT["QueueRoutingConfig"], number),
        })
        for number, (key, name) in enumerate(
            (("chat", "Web Chat"), ("german", "Kundenservice DE"), ("mobile", "Mobile Messaging"),
             ("warranty", "Warranty and Repair"), ("phone", "Phone Line")), start=1)
    }  # fmt: skip
    add("Group", 9, {"Name": "Service Team", "DeveloperName": "Service_Team", "Type": "Regular",
                     "OwnerId": organization})  # fmt: skip

    def channel(number: int, kind: str, label: str, language: str, queue: str, platform_key: str) -> Channel:
        address = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        identifier = add("MessagingChannel", number, {
            "DeveloperName": label.replace(" ", "_"), "MasterLabel": label, "Language": language, "MessageType": kind,
            "MessagingPlatformKey": platform_key or address, "ChannelAddressIdentifier": address,
            "PlatformType": "Enhanced", "RoutingType": "OmniQueue", "ConsentType": "ImplicitOptIn", "IsActive": True,
            "IsRestrictedToBusinessHours": False, "IsoCountryCode": _LANGUAGES[language][0],
            "TargetQueueId": queues[queue], "FallbackQueueId": queues["chat"],
        })  # fmt: skip
        return Channel(identifier, kind, label, language, platform_key or address, address, queues[queue])

    channels = {
        "chat": channel(1, "EmbeddedMessaging", "Web Chat", "en_US", "chat", ""),
        "german": channel(2, "EmbeddedMessaging", "Web Chat DE", "de", "german", ""),
        "whatsapp": channel(3, "WhatsApp", "WhatsApp Support", "en_US", "mobile", "whatsapp:+19705550100"),
        "sms": channel(4, "Text", "SMS Support", "en_US", "mobile", "+19705550142"),
    }
    return Cast(
        organization, integration, bot_user, record_id(POINTED_AT["BotDefinition"], 1), agents, supervisors, queues,
        channels, record_id(POINTED_AT["CallCenter"], 1),
        {"MessagingSession": record_id(POINTED_AT["ServiceChannel"], 1),
         "VoiceCall": record_id(POINTED_AT["ServiceChannel"], 2)},
        tuple(records), executions,
    )  # fmt: skip
