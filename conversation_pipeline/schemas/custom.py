"""Custom fields of an org, added to the declared datasets by setting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa

from conversation_pipeline.schemas.dataset import Dataset
from conversation_pipeline.schemas.fields import INSTANT, Field, column_name

TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "date": pa.date32(),
    "instant": INSTANT,
}


def with_custom_fields(datasets: Iterable[Dataset], names: Iterable[str]) -> tuple[Dataset, ...]:
    """
    The datasets with further columns at their end.

    Args:
        names: ``MessagingSession.Region__c``, or with a type: ``VoiceCall.Score__c:number``; text where none is given.

    Raises:
        ValueError: a name is not of this form, or no dataset has such an object.
    """
    fields: dict[str, list[Field]] = {}
    for name in names:
        sobject, field = _parsed(name)
        fields.setdefault(sobject, []).append(field)
    datasets = tuple(datasets)
    known = {dataset.sobject for dataset in datasets if dataset.sobject}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ValueError(f"no dataset is made of {', '.join(unknown)}; objects are {', '.join(sorted(known))}")
    return tuple(
        replace(dataset, fields=(*dataset.fields, *fields[dataset.sobject])) if dataset.sobject in fields else dataset
        for dataset in datasets
    )


def _parsed(name: str) -> tuple[str, Field]:
    path, _, kind = name.partition(":")
    sobject, dot, api_name = path.partition(".")
    if not dot or not sobject or not api_name.endswith("__c") or (kind or "text") not in TYPES:
        raise ValueError(
            f"{name!r} is no custom field: write Object.Field__c or Object.Field__c:type, types are {', '.join(TYPES)}"
        )
    return sobject, Field(column_name(api_name), TYPES[kind or "text"], "Custom field of this org.", api_name)
