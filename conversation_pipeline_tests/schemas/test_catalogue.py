"""What every declared dataset keeps to (design, sections 3 and 4)."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from conversation_pipeline.schemas import INSTANT, Dataset, Group, Reference, column_name
from conversation_pipeline.schemas.catalogue import DATASETS
from conversation_pipeline.schemas.fields import record_id, text

each_dataset = pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)


def test_names_are_unique() -> None:
    """A name is asset key, folder and table at once."""
    assert max(Counter(dataset.name for dataset in DATASETS).values()) == 1


@each_dataset
def test_a_dataset_tells_its_grain(dataset: Dataset) -> None:
    """One sentence says what a row is."""
    assert re.fullmatch(r"One row (per|each) .+\.", dataset.grain)


@each_dataset
def test_every_column_tells_its_meaning(dataset: Dataset) -> None:
    """The column schema in the UI has a sentence for each."""
    assert not [field.name for field in dataset.fields if not field.meaning.endswith((".", "..."))]


@each_dataset
def test_names_are_snake_case(dataset: Dataset) -> None:
    """In folders, tables and columns alike."""
    names = [dataset.name, *(field.name for field in dataset.fields)]

    assert not [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)]


@each_dataset
def test_keys_are_required(dataset: Dataset) -> None:
    """A row without its key could not be found again."""
    assert all(dataset.field(name).required for name in dataset.key)


@each_dataset
def test_a_partition_is_the_utc_day_of_an_instant(dataset: Dataset) -> None:
    """Whatever a dataset is partitioned by is an instant in UTC."""
    assert dataset.partition_by is None or dataset.field(dataset.partition_by).type == INSTANT


@each_dataset
def test_columns_follow_the_one_rule(dataset: Dataset) -> None:
    """A field's column is its API name in snake_case; a parent's field is given a name."""
    own = [field for field in dataset.fields if field.api_name is not None and "." not in field.api_name]

    assert not [field.name for field in own if field.name != column_name(str(field.api_name))]


@each_dataset
def test_ids_are_stored_in_their_long_form(dataset: Dataset) -> None:
    """A column whose field is named ...Id holds record ids, and says so."""
    wrong = [
        field.name for field in dataset.fields
        if field.api_name and re.search(r"(^|[a-z])Id$", field.api_name) and not field.record_id
    ]  # fmt: skip

    assert not wrong


@each_dataset
def test_salesforce_datasets_know_their_changes(dataset: Dataset) -> None:
    """Each object has a field that orders changes, and belongs to the layer of the platform."""
    assert (dataset.sobject is not None) == (dataset.group == Group.ON_PLATFORM)
    assert dataset.sobject is None or dataset.cursor_field is not None


@each_dataset
def test_references_name_columns_that_there_are(dataset: Dataset) -> None:
    """What is referred to is a column of the same type, of a dataset of the catalogue."""
    by_name = {other.name: other for other in DATASETS}

    assert all(
        by_name[name].field(one.to_column).type == dataset.field(one.column).type
        for one in dataset.references
        for name in one.to
    )


def test_a_column_s_field_is_looked_up() -> None:
    """The way back from a column to its field is never computed."""
    dataset = Dataset("things", "One row per thing.", Group.ON_PLATFORM, ("id",), (record_id(), text("A__c", "A.")))

    assert dataset.api_name("a__c") == "A__c"


UNDECLARED: list[dict[str, object]] = [
    {"key": ("nothing",)},
    {"partition_by": "nothing"},
    {"ends_at": "nothing"},
    {"fields": (record_id(),) * 2},
    {"references": (Reference("nothing", ("other_things",)),)},
]


@pytest.mark.parametrize("wrong", UNDECLARED)
def test_a_declaration_that_names_no_column_is_refused(wrong: dict[str, object]) -> None:
    """A misspelt column is told where it is declared, not where it is used."""
    right = {
        "name": "things", "grain": "One row per thing.", "group": Group.ON_PLATFORM, "key": ("id",),
        "fields": (record_id(),),
    }  # fmt: skip

    with pytest.raises(ValueError, match="dataset things"):
        Dataset(**(right | wrong))  # type: ignore[arg-type]


@each_dataset
def test_no_column_depends_on_who_asks(dataset: Dataset) -> None:
    """When a record was last viewed is told for the user who reads: the pipeline would find itself."""
    assert not {field.api_name for field in dataset.fields} & {"LastViewedDate", "LastReferencedDate"}


def test_entries_are_no_dataset_of_the_platform() -> None:
    """Of enhanced channels the org keeps blank entries or none, and reading them needs a permission of its own."""
    assert "ConversationEntry" not in {dataset.sobject for dataset in DATASETS}
