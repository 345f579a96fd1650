"""Which objects and columns there are for this user, by the metadata service of the tenant."""

from __future__ import annotations

import msgspec

from conversation_pipeline.salesforce.data_cloud.calls import Calls
from conversation_pipeline.salesforce.errors import ObjectUnavailable

_PATH = "/api/v1/metadata"


class _Field(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    name: str
    fields: list[_Field] = []


class _Metadata(msgspec.Struct):
    metadata: list[_Object] = []


class Metadata:
    """Columns by object; asked for once, of data model objects, and of data lake objects where one is named."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: dict[str, dict[str, tuple[str, ...]]] = {}

    def columns(self, object_name: str) -> tuple[str, ...]:
        """Raises ``ObjectUnavailable`` where there is no such object for this user."""
        kind = "DataLakeObject" if object_name.endswith("__dll") else "DataModelObject"
        if kind not in self._known:
            self._known[kind] = self._calls.tried(lambda: self._read(kind))
        try:
            return self._known[kind][object_name]
        except KeyError:
            raise ObjectUnavailable(f"Data Cloud has no {object_name} for this user") from None

    def _read(self, kind: str) -> dict[str, tuple[str, ...]]:
        told = self._calls.get(_PATH, {"entityType": kind}).json(_Metadata, f"GET {_PATH}")
        return {one.name: tuple(field.name for field in one.fields) for one in told.metadata}
