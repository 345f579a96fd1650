"""The page: templates, and nothing from elsewhere. What comes from the org is escaped wherever it stands."""

from __future__ import annotations

from functools import cache

import jinja2
from markupsafe import Markup

from conversation_pipeline.report import words
from conversation_pipeline.report.figures import Figures, channel
from conversation_pipeline.report.plots import HeatMap

STATES = {
    "whole": "told whole",
    "open": "not closed",
    "lacking": "something missing",
    "unread": "not read yet",
    "none": "not counted",
}
"""States of a road's day, and their words in the legend."""

STRIP_COLOURS = {"whole": "#2f8f5b", "open": "#8fcaa9", "lacking": "#d9541e", "unread": "#b5bcc6"}
STRIP_LEGEND = "green: told whole; pale: not closed; orange: something missing; grey: not read yet"


def render(figures: Figures) -> str:
    """The day's page as HTML: no scripts, no requests, light and dark."""
    return _templates().get_template("page.html.j2").render(figures=figures)


def heat_strip(heat: HeatMap) -> str:
    """
    Days by roads as a small SVG picture of its own, whose colours stand out from light and dark alike.

    Short, because Dagster's UI shows a text of 1,000 letters or more only to who clicks on it.
    """
    return _templates().get_template("heat_strip.svg.j2").render(heat=heat, colours=STRIP_COLOURS)


def _breakable(name: str) -> Markup:
    """A name with underscores, which may be broken after each of them."""
    return Markup("_<wbr>").join(name.split("_"))


@cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("conversation_pipeline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "number": words.number,
        "share": words.share,
        "duration": words.duration,
        "size": words.size,
        "channel": channel,
        "breakable": _breakable,
    }
    templates.globals |= {
        "counted": words.counted,
        "counts": words.number,
        "durations": words.tick,
        "nothing": words.NOTHING,
        "states": STATES,
    }
    return templates
