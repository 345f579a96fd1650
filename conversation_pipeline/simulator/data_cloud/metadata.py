"""What there is to query: the tenant's metadata service and the core host's lists (Data Cloud, sections 4.4 and 5)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from conversation_pipeline.simulator.data_cloud.objects import KEY_QUALIFIER, METADATA, DataObject
from conversation_pipeline.simulator.data_cloud.rows import Tables
from conversation_pipeline.simulator.endpoint import json_response
from conversation_pipeline.simulator.oauth.model import Session


class Metadata:
    """The handlers that describe."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def entities(self, request: Request, _asked: dict[str, Any]) -> Response:
        """GET /api/v1/metadata."""
        asked = request.query_params
        return json_response({"metadata": [
            self._entity(name, declared, lake=lake)
            for name, (declared, lake) in self._tables.names().items()
            if asked.get("entityName", name) == name
            and asked.get("entityCategory", declared.category) == declared.category
            and asked.get("entityType", _type(lake=lake)) == _type(lake=lake)
        ]})  # fmt: skip

    def model_objects(self, _request: Request, _session: Session) -> Response:
        """GET /ssot/data-model-objects."""
        return self._list("dataModelObjects", lake=False)

    def lake_objects(self, _request: Request, _session: Session) -> Response:
        """GET /ssot/data-lake-objects."""
        return self._list("dataLakeObjects", lake=True)

    def _list(self, key: str, *, lake: bool) -> Response:
        listed = [
            {"name": name, "label": declared.label, "category": declared.category.upper(), "fields": [
                {"name": field["name"], "label": field["displayName"], "type": field["type"]}
                for field in self._fields(declared, lake=lake)
            ]}
            for name, (declared, is_lake) in self._tables.names().items() if is_lake is lake
        ]  # fmt: skip
        return json_response({key: listed, "totalSize": len(listed)})

    def _entity(self, name: str, declared: DataObject, *, lake: bool) -> dict[str, Any]:
        fields = self._fields(declared, lake=lake)
        key = "Id__c" if lake else self._tables.spelling.column("Id")
        return {
            "name": name, "displayName": declared.label, "category": declared.category, "fields": fields,
            "primaryKeys": [{"name": key, "displayName": "Id", "indexOrder": "1"}], "indexes": [],
            "relationships": [] if lake else self._relationships(name, declared),
        }  # fmt: skip

    def _fields(self, declared: DataObject, *, lake: bool) -> list[dict[str, Any]]:
        qualifier = f"{KEY_QUALIFIER}__c"
        key = "Id__c" if lake else self._tables.spelling.column("Id")
        columns = self._tables.columns(declared, lake=lake)
        return [
            {"name": name, "displayName": name.removesuffix("__c").rpartition("__")[2], "type": METADATA[type_]}
            | ({"keyQualifier": qualifier} if name == key and qualifier in columns else {})
            for name, type_ in columns.items()
        ]  # fmt: skip

    def _relationships(self, name: str, declared: DataObject) -> list[dict[str, Any]]:
        spelling, there = self._tables.spelling, self._tables.names()
        return [
            {"fromEntity": name, "toEntity": spelling.model_object(target),
             "fromEntityAttribute": spelling.column(column), "toEntityAttribute": spelling.column("Id"),
             "cardinality": "NTOONE"}
            for column, target in declared.links if spelling.model_object(target) in there
        ]  # fmt: skip


def _type(*, lake: bool) -> str:
    return "DataLakeObject" if lake else "DataModelObject"
