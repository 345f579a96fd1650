"""Open query cursors and the shape of describe; no HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conversation_pipeline.simulator.soql.evaluate import Result
from conversation_pipeline.simulator.world.ids import record_id
from conversation_pipeline.simulator.world.schema import NUMERIC, Field, SObject

LOCATOR_LIFE = 2 * 86_400
"""Seconds that a query cursor lives (platform API cursors, since v56 [doc])."""
_LOCATOR = re.compile(r"(01g\w{15})-(\d+)")
_SOAP_TYPES = {"id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int",
               "double": "xsd:double", "datetime": "xsd:dateTime", "date": "xsd:date",
               "base64": "xsd:base64Binary", "address": "urn:address", "location": "urn:location"}  # fmt: skip


@dataclass(slots=True)
class Cursor:
    """A query with pages left: whose token opened it, and its result."""

    token: str
    result: Result
    page_rows: int
    opened: float


class Cursors:
    """The open cursors of the org."""

    def __init__(self) -> None:
        self._cursors: dict[str, Cursor] = {}
        self._made = 0

    def open(self, cursor: Cursor) -> str:
        """Keep a cursor; returns the id that locators carry."""
        self._made += 1
        identifier = record_id("01g", self._made)
        self._cursors[identifier] = cursor
        return identifier

    def find(self, locator: str, at: float) -> tuple[str, Cursor, int] | None:
        """Cursor id, cursor and first row of a locator such as `01g...-2000`; None when unknown or too old."""
        match = _LOCATOR.fullmatch(locator)
        cursor = self._cursors.get(match[1]) if match else None
        if match is None or cursor is None or at - cursor.opened > LOCATOR_LIFE or int(match[2]) >= cursor.result.total:
            return None
        return match[1], cursor, int(match[2])


def well_formed(locator: str) -> bool:
    """Whether the text looks like a locator at all."""
    return _LOCATOR.fullmatch(locator) is not None


def sobject_summary(sobject: SObject, base: str) -> dict[str, Any]:
    """The flags of an object, as the list of objects and describe both tell them (DescribeSObjectResult [doc])."""
    return {
        "name": sobject.name, "label": sobject.label, "labelPlural": f"{sobject.label}s",
        "keyPrefix": sobject.key_prefix, "queryable": sobject.queryable, "retrieveable": True,
        "replicateable": sobject.replicateable, "searchable": sobject.updateable, "createable": False,
        "updateable": sobject.updateable, "deletable": sobject.updateable, "undeletable": sobject.undeletable,
        "custom": False, "customSetting": False, "deprecatedAndHidden": False, "layoutable": True,
        "triggerable": sobject.updateable, "mergeable": False, "feedEnabled": False, "activateable": False,
        "hasSubtypes": False, "isSubtype": False, "isInterface": False, "mruEnabled": False,
        "urls": {"sobject": f"{base}/sobjects/{sobject.name}", "describe": f"{base}/sobjects/{sobject.name}/describe",
                 "rowTemplate": f"{base}/sobjects/{sobject.name}/{{ID}}"},
    }  # fmt: skip


def describe(sobject: SObject, others: Iterable[SObject], base: str) -> dict[str, Any]:
    """One object in full; `others` are the org's objects, whose lookups make its child relationships."""
    children = [
        {"childSObject": other.name, "field": field.name, "relationshipName": None, "cascadeDelete": False,
         "deprecatedAndHidden": False, "restrictedDelete": False}
        for other in others for field in other.fields if sobject.name in field.reference_to
    ]  # fmt: skip
    return {
        **sobject_summary(sobject, base),
        "fields": [describe_field(field, sobject) for field in sobject.fields],
        "childRelationships": children,
        "recordTypeInfos": [],
        "namedLayoutInfos": [],
        "actionOverrides": [],
    }


def describe_field(field: Field, sobject: SObject) -> dict[str, Any]:
    """One column with the keys of DescribeSObjectResult.Field [doc]."""
    sortable = field.filterable and field.type != "textarea"
    writable = sobject.updateable and not field.system and not field.calculated
    number = field.type in NUMERIC
    return {
        "name": field.name, "label": re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field.name), "type": field.type,
        "soapType": _SOAP_TYPES.get(field.type, "xsd:string"), "length": 0 if number else field.length,
        "byteLength": 0 if number else field.length * 3 if field.type not in ("id", "reference") else field.length,
        "precision": field.length if field.type == "double" else 0, "scale": 2 if field.type == "double" else 0,
        "digits": field.length if field.type == "int" else 0, "nillable": field.nillable,
        "filterable": field.filterable, "sortable": sortable,
        "groupable": sortable and field.type not in ("datetime", "double"), "aggregatable": sortable,
        "calculated": field.calculated, "calculatedFormula": None, "compoundFieldName": None,
        "custom": field.name.endswith("__c"),
        "createable": False, "updateable": writable, "unique": field.auto_number, "externalId": False,
        "idLookup": field.id_lookup, "autoNumber": field.auto_number,
        "nameField": field.name == sobject.name_field, "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship_name, "relationshipOrder": None, "namePointing": field.polymorphic,
        "polymorphicForeignKey": field.polymorphic, "cascadeDelete": False, "restrictedDelete": False,
        "defaultValue": None, "defaultedOnCreate": field.system or field.type == "boolean",
        "picklistValues": [{"value": value, "label": value, "active": True, "defaultValue": False, "validFor": None}
                           for value in field.picklist],
        "restrictedPicklist": field.restricted, "dependentPicklist": False, "caseSensitive": False,
        "encrypted": False, "htmlFormatted": False, "extraTypeInfo": None, "deprecatedAndHidden": False,
        "permissionable": not field.system, "queryByDistance": False, "inlineHelpText": None, "mask": None,
    }  # fmt: skip
