"""Page numbers as clients write them (`1,3,5-8`, from 1), and how many of them are wanted."""

import re
from dataclasses import dataclass

_PART = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def page_numbers(text: str) -> list[int]:
    """Sorted page numbers. Raises ValueError for bad syntax, page 0 and duplicates."""
    numbers: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"target_pages: cannot read {part.strip()!r}")
        first = int(match[1])
        last = int(match[2] or first)
        if first < 1 or last < first:
            raise ValueError(f"target_pages: {part.strip()!r} is not a range of pages from 1")
        pages = range(first, last + 1)
        if not numbers.isdisjoint(
            pages
        ):  # told at once: a range is short to write and long to keep
            raise ValueError("target_pages: duplicate pages")
        numbers.update(pages)
    return sorted(numbers)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`target` wins over `maximum`; with neither, every page."""

    target: frozenset[int] | None = None
    maximum: int | None = None

    @classmethod
    def read(cls, target_pages: str | None, max_pages: int | None) -> "Wanted":
        if target_pages:
            return cls(target=frozenset(page_numbers(target_pages)))
        return cls(maximum=max_pages)

    def has(self, number: int) -> bool:
        if self.target is not None:
            return number in self.target
        return self.maximum is None or number <= self.maximum

    def last(self) -> int | None:
        """No page after this one is wanted; None when there is no such page."""
        return max(self.target) if self.target is not None else self.maximum
