"""The day's report: figures in, one self-contained page out. Knows no Dagster, no lake and no engine."""

from conversation_pipeline.report.figures import Day, Figures, Reading, SchemaFinding
from conversation_pipeline.report.page import STRIP_LEGEND, heat_strip, render

__all__ = ["STRIP_LEGEND", "Day", "Figures", "Reading", "SchemaFinding", "heat_strip", "render"]
