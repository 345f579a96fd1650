"""What the data is: datasets and their fields, declared once."""

from conversation_pipeline.schemas.dataset import Dataset, Group, Reference
from conversation_pipeline.schemas.fields import INSTANT, Field, column_name

__all__ = ["INSTANT", "Dataset", "Field", "Group", "Reference", "column_name"]
