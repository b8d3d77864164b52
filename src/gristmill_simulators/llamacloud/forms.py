"""Forms on a page: lines to fill in and boxes to tick, as plain text shows them."""

import re
from typing import Any

from gristmill_simulators.llamacloud.items import plain

Node = dict[str, Any]

_BLANK = re.compile(r"\s*(?:[-*+]\s+)?(.{1,80}?)\s{0,9}:?\s{0,9}_{3,}")
_BOX = re.compile(r"\s*(?:[-*+]\s+)?(?:\[([ xX])\]|([\u2610\u2611\u2612]))\s*(.+)$")


def fields(markdown: str) -> list[Node]:
    """The fields of a page; a page that has any is a form."""
    if "___" not in markdown and "[" not in markdown and not _has_box(markdown):
        return []
    return [node for line in markdown.split("\n") if (node := _field(line)) is not None]


def form(markdown: str) -> Node | None:
    """Both representations of a page's form; None when it has none."""
    if not fields(markdown):
        return None
    nodes = [_field(line) or _printed(line) for line in markdown.split("\n") if line.strip()]
    lines = [{"type": "text", "md": text, "value": text} for text in map(_line, nodes)]
    md = "\n".join(f"- {line['value']}" for line in lines)
    return {
        "json": nodes,
        "list": {"type": "list", "items": lines, "md": md, "ordered": False},
    }


def _has_box(markdown: str) -> bool:
    return any(box in markdown for box in "\u2610\u2611\u2612")


def _field(line: str) -> Node | None:
    if box := _BOX.match(line):
        ticked = (box[1] or "").lower() == "x" or (box[2] or "\u2610") != "\u2610"
        return {"type": "field", "field": "checkbox", "label": plain(box[3]), "value": ticked}
    if blank := _BLANK.match(line):
        label = plain(blank[1].rstrip(": "))
        if not label.strip("_ "):
            return None
        return {"type": "field", "field": "text", "label": label, "isEmpty": True}
    return None


def _printed(line: str) -> Node:
    return {"type": "text", "value": plain(line.strip().lstrip("# "))}


def _line(node: Node) -> str:
    if node["type"] == "text":
        return str(node["value"])
    if node["field"] == "checkbox":
        return f"[{'x' if node['value'] else ' '}] {node['label']}"
    return f"{node['label']}:"
