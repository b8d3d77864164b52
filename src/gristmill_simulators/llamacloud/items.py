"""Markdown to the typed items of a page: headings, text, tables, lists, code, links, images."""

import csv
import html
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

Item = dict[str, Any]

_FENCE = re.compile(r"\s{0,3}(```+|~~~+)\s*([\w+#.-]*)\s*$")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(.*)$")
_ROW = re.compile(r"\s*\|.*\|\s*$")
_RULE = re.compile(r"\s*\|(\s*:?-+:?\s*\|)+\s*$")
_BULLET = re.compile(r"(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$")
_IMAGE = re.compile(r"\s*!\[([^\]]*)\]\(([^)\s]+)(?:\s[^)]*)?\)\s*$")
_LINK = re.compile(r"\s*\[([^\]]+)\]\(([^)\s]+)(?:\s[^)]*)?\)\s*$")
_INLINE = (  # bounded: a hostile line must not cost its length squared
    (re.compile(r"!?\[([^\]]{0,500})\]\([^)]{0,2000}\)"), r"\1"),
    (re.compile(r"(\*\*|__|~~|`)(\S.{0,500}?)\1"), r"\2"),
    (re.compile(r"(?<![\w\\])([*_])(\S.{0,500}?)\1(?!\w)"), r"\2"),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|>~-])"), r"\1"),
)
_CELL = re.compile(r"(?<!\\)\|")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")


def items(markdown: str) -> list[Item]:
    """The items of a page in reading order; each carries its own Markdown in `md`."""
    lines = deque(markdown.split("\n"))
    found: list[Item] = []
    while lines:
        if not lines[0].strip():
            lines.popleft()
            continue
        found.append(_next(lines))
    return found


def plain(markdown: str) -> str:
    """Text without the marks of links, images and emphasis."""
    for pattern, kept in _INLINE:
        markdown = pattern.sub(kept, markdown)
    return markdown


def has_table(markdown: str) -> bool:
    return any(map(_RULE.match, markdown.split("\n"))) if "|" in markdown else False


def stripped(markdown: str) -> str:
    """The words of a page alone."""
    return "\n".join(line for item in items(markdown) for line in _words(item))


def _next(lines: deque[str]) -> Item:
    """Take one block off the front."""
    for take in _BLOCKS:
        item = take(lines)
        if item is not None:
            return item
    return _text(lines)


def _code(lines: deque[str]) -> Item | None:
    fence = _FENCE.match(lines[0])
    if fence is None:
        return None
    block = [lines.popleft()]
    while lines:
        block.append(lines.popleft())
        if block[-1].strip() == fence[1]:
            break
    closed = len(block) > 1 and block[-1].strip() == fence[1]
    value = "\n".join(block[1:-1] if closed else block[1:])
    return {"type": "code", "md": "\n".join(block), "value": value, "language": fence[2] or None}


def _heading(lines: deque[str]) -> Item | None:
    match = _HEADING.match(lines[0])
    if match is None:
        return None
    value = plain(match[2].rstrip().rstrip("#").rstrip())
    return {
        "type": "heading",
        "md": lines.popleft().strip(),
        "level": len(match[1]),
        "value": value,
    }


def _table(lines: deque[str]) -> Item | None:
    if len(lines) < 2 or not _ROW.match(lines[0]) or not _RULE.match(lines[1]):
        return None
    block = _while(lines, _ROW.match)
    rows = [_cells(line) for number, line in enumerate(block) if number != 1]
    return {
        "type": "table",
        "md": "\n".join(block),
        "csv": _csv(rows),
        "html": _html(rows),
        "rows": [[_value(cell) for cell in row] for row in rows],
    }


def _list(lines: deque[str]) -> Item | None:
    if not _BULLET.match(lines[0]):
        return None
    block = _while(lines, lambda line: _BULLET.match(line) or _is_continued(line))
    return _nested([match for line in block if (match := _BULLET.match(line))], block)


def _image(lines: deque[str]) -> Item | None:
    match = _IMAGE.match(lines[0])
    if match is None:
        return None
    return {"type": "image", "md": lines.popleft().strip(), "caption": match[1], "url": match[2]}


def _link(lines: deque[str]) -> Item | None:
    match = _LINK.match(lines[0])
    if match is None:
        return None
    return {"type": "link", "md": lines.popleft().strip(), "text": match[1], "url": match[2]}


_BLOCKS: tuple[Callable[[deque[str]], Item | None], ...] = (
    _code,
    _heading,
    _table,
    _list,
    _image,
    _link,
)
_STARTS = (_FENCE, _HEADING, _BULLET, _IMAGE, _LINK)


def _text(lines: deque[str]) -> Item:
    block = [lines.popleft()]
    while lines and lines[0].strip() and not any(start.match(lines[0]) for start in _STARTS):
        if len(lines) > 1 and _ROW.match(lines[0]) and _RULE.match(lines[1]):
            break
        block.append(lines.popleft())
    md = "\n".join(block).strip()
    return {"type": "text", "md": md, "value": plain(md)}


def _while(lines: deque[str], fits: Callable[[str], object]) -> list[str]:
    block = [lines.popleft()]
    while lines and fits(lines[0]):
        block.append(lines.popleft())
    return block


def _is_continued(line: str) -> bool:
    return bool(line.strip()) and line.startswith("  ")


def _nested(bullets: list[re.Match[str]], block: list[str]) -> Item:
    """A list whose deeper indented bullets are lists of their own."""
    indent = min(len(bullet[1]) for bullet in bullets)
    entries: list[Item] = []
    deeper: list[re.Match[str]] = []
    for bullet in bullets:
        if len(bullet[1]) > indent:
            deeper.append(bullet)
            continue
        if deeper:
            entries.append(_nested(deeper, [each[0] for each in deeper]))
            deeper = []
        entries.append({"type": "text", "md": bullet[4], "value": plain(bullet[4])})
    if deeper:
        entries.append(_nested(deeper, [each[0] for each in deeper]))
    ordered = bullets[0][3] is not None
    return {"type": "list", "md": "\n".join(block), "items": entries, "ordered": ordered}


def _cells(line: str) -> list[str]:
    cells = _CELL.split(line.strip()[1:-1])
    return [cell.strip().replace("\\|", "|") for cell in cells]


def _csv(rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _html(rows: list[list[str]]) -> str:
    head, *body = rows
    parts = [f"<thead>{_html_row(head, 'th')}</thead>"]
    if body:
        parts.append(f"<tbody>{''.join(_html_row(row, 'td') for row in body)}</tbody>")
    return f"<table>{''.join(parts)}</table>"


def _html_row(cells: list[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(plain(cell))}</{tag}>' for cell in cells)}</tr>"


def _value(cell: str) -> str | float | None:
    if not cell:
        return None
    return float(cell) if _NUMBER.fullmatch(cell) else plain(cell)


def _words(item: Item) -> Iterator[str]:
    if item["type"] == "table":
        yield from item["csv"].splitlines()
    elif item["type"] == "list":
        for entry in item["items"]:
            yield from _words(entry)
    else:
        yield str(item.get("value") or item.get("text") or item.get("caption") or "")
