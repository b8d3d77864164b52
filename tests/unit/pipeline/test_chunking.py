"""Chunks: what must hold for any Markdown, and the cases that hurt."""

import hashlib
import pickle
import time
from bisect import bisect_right
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gristmill.pipeline.chunking import (
    MAX_HEADING_CHARACTERS,
    ChunkingOptions,
    Page,
    document_text,
    split,
)
from gristmill.pipeline.tokens import count

WORDS = [
    "grain",
    "the",
    "Mühle",
    "x=1",
    "漢字文書",
    "שלום",
    "مرحبا",
    "👩‍🌾",
    "e\u0301e\u0301",
    "a|b",
    "*so*",
]
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
titles = st.sampled_from(["Grist", "Flour and bran", "粉", "C#", "Sharp #1", "*Toll*", "a `b` c"])

atx = st.builds(
    "{}{} {}{}".format,
    st.sampled_from(["", " "]),
    st.integers(1, 6).map(lambda level: "#" * level),
    titles,
    st.sampled_from(["", "  ", " #", " ### "]),
)
setext = st.builds("{}\n{}".format, titles, st.sampled_from(["===", "---", "-", " ====  "]))
fences = st.builds(
    lambda fence, info, body: f"{fence}{info}\n{body}\n{fence}",
    st.sampled_from(["```", "~~~", "````", " ```"]),
    st.sampled_from(["", "sh", " python title=x"]),
    st.lists(st.sampled_from(["# not a heading", "x = 1", "", "Title\n---", "  ## no"])).map(
        "\n".join
    ),
)
blocks = st.one_of(
    words,
    st.lists(words, min_size=1, max_size=4).map("\n".join),
    atx,
    setext,
    fences,
    st.lists(words, min_size=1, max_size=6).map(lambda rows: "\n".join(f"- {row}" for row in rows)),
    st.lists(words, min_size=1, max_size=6).map(
        lambda rows: "| a | b |\n|---|---|\n" + "\n".join(f"| {row} | 1 |" for row in rows)
    ),
    st.sampled_from(["> quoted\n> # inside", "#hashtag", "####### seven", "***", "    # code"]),
)
markdown = st.lists(blocks, max_size=12).map("\n\n".join)
# What no Markdown parser was asked for.
noise = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda text, times: text * times,
        st.sampled_from("a漢 \n\t[*`#-\u0301👍"),
        st.integers(1, 900),
    ),
    st.sampled_from(["\r\n", "\f", "\x1c", "\0", "\ud800", "```", "\u2028", "# ", "\r"]),
)
anything = st.lists(st.one_of(blocks, noise), max_size=10).flatmap(
    lambda found: st.sampled_from(["\n\n", "\r\n", "\r\n\r\n", "\n", "\f", ""]).map(
        lambda gap: gap.join(found)
    )
)
documents = st.lists(st.one_of(anything, st.just("")), max_size=5).map(
    lambda texts: [Page(number, text) for number, text in enumerate(texts, 3)]
)
options = st.integers(16, 80).flatmap(
    lambda size: st.builds(ChunkingOptions, st.just(size), st.integers(0, size // 2))
)


def one(text: str, **sizes: int):
    return split([Page(1, text)], ChunkingOptions(**sizes))


@settings(max_examples=300, deadline=None)
@given(documents, options)
def test_chunks_are_exact_bounded_ordered_and_cover_the_text(pages, options):
    text = document_text(pages)
    chunks = split(pages, options)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    covered = 0
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text
        assert chunk.text == chunk.text.strip()
        assert 0 < chunk.tokens == count(chunk.text) <= options.max_tokens
        assert not text[covered : chunk.start].strip()
        assert chunk.end > covered
        covered = chunk.end
    assert not text[covered:].strip()
    starts = [chunk.start for chunk in chunks]
    assert starts == sorted(set(starts))


def test_overlap_between_form_feeds_does_not_panic_the_splitter():
    """With its own trimming semantic-text-splitter 0.33.1 panics here."""
    text = "\f\f\n\n\f\f0A\r\n\f\f\r\n漢0A# #"
    assert "".join(chunk.text for chunk in one(text, max_tokens=16, overlap=8)).endswith("# #")


def test_overlap_into_a_blank_run_does_not_start_two_chunks_at_one_place():
    chunks = one("\t" * 169 + "\r\ngrain\r\ngrain", max_tokens=16, overlap=2)
    assert [(chunk.start, chunk.text) for chunk in chunks] == [(171, "grain\r\ngrain")]


@settings(max_examples=150, deadline=None)
@given(documents, options)
def test_a_chunk_names_the_pages_its_text_is_on(pages, options):
    owner = []
    for page in pages:
        owner += [page.number] * len(document_text([page])) + [None, None]
    text = document_text(pages)
    for chunk in split(pages, options):
        on = [owner[i] for i in range(chunk.start, chunk.end) if not text[i].isspace()]
        assert (chunk.first_page, chunk.last_page) == (on[0], on[-1])


def outline(text: str) -> list[tuple[int, int, str]]:
    """(line, level, title) of each heading of the document itself, as markdown-it reads it."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return [
        (token.map[0], int(token.tag[1]), tokens[index + 1].content)
        for index, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


def path_at(headings: list[tuple[int, int, str]], line: int) -> tuple[str, ...]:
    path: list[tuple[int, str]] = []
    for _, level, title in headings[: bisect_right([at for at, *_ in headings], line)]:
        path = [step for step in path if step[0] < level] + [(level, title)]
    return tuple(title for _, title in path)


@settings(max_examples=200, deadline=None)
@given(markdown, options)
def test_the_heading_path_is_the_one_a_markdown_parser_finds(text, options):
    headings = outline(text)
    for chunk in one(text, max_tokens=options.max_tokens, overlap=options.overlap):
        visible = chunk.start + len(chunk.text) - len(chunk.text.lstrip())
        assert chunk.headings == path_at(headings, text.count("\n", 0, visible))


@settings(max_examples=50, deadline=None)
@given(documents, options)
def test_the_same_input_gives_the_same_chunks(pages, options):
    assert split(pages, options) == split(list(pages), options)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("# A\n\n## B ##\n\nhere", ("A", "B")),
        ("# A\r\n\r\n## B\r\n\r\nhere", ("A", "B")),
        ("# A\r## B\rhere", ("A", "B")),
        ("## B\n\n# A\n\nhere", ("A",)),
        ("# A\n\n### C\n\n## B\n\nhere", ("A", "B")),
        ("# A\n\n#\n\nhere", ()),
        ("   # A\n\n    # code\n\nhere", ("A",)),
        ("A\n=\n\nB\n---\n\nhere", ("A", "B")),
        ("---\ntitle: x\n---\n\nhere", ()),
        ("one line\nand another\n---\n\nhere", ()),
        ("1. x\n\n   ```sh\n   # no\n   ```\n\nhere", ()),
        ("10. ```sh\n    # no\n    ```\n\n# A\n\nhere", ("A",)),
        ("```` md\n```\n# no\n```\n````\n\nhere", ()),
        ("```inline``` code\n\n# A\n\nhere", ("A",)),
        ("~~~\n```\n# no\n~~~\n\n# A\n\nhere", ("A",)),
        ("# C#\n\nhere", ("C#",)),
        ("# ###\n\nhere", ()),
        ("#no\n\nhere", ()),
    ],
)
def test_headings_of_all_kinds_are_told_from_what_only_looks_like_one(text, path):
    chunks = one(text + "\n\n" + "filler " * 30, max_tokens=16, overlap=0)
    assert chunks[-1].headings == path


def test_a_heading_holds_on_later_pages_and_an_open_fence_does_not():
    pages = [Page(1, "# A\n\n```\n# no"), Page(2, ""), Page(3, "## B\n\n" + "word " * 40)]
    last = split(pages, ChunkingOptions(16, 0))[-1]
    assert (last.headings, last.first_page) == (("A", "B"), 3)


def test_a_heading_without_an_end_is_kept_short():
    chunks = one("# " + "very " * 10_000)
    assert {len(chunk.headings[0]) for chunk in chunks} == {MAX_HEADING_CHARACTERS}


def test_a_document_without_text_has_no_chunks():
    assert split([], ChunkingOptions()) == []
    assert split([Page(1, ""), Page(2, " \n\f ")], ChunkingOptions()) == []


def test_chunks_of_a_large_document_are_whole_across_the_windows_it_is_read_in():
    """Each section fits one chunk, so each chunk must be made of whole sections."""
    section = (
        "## Section {}\n\n```sh\n# a comment\n" + "echo grist\n" * 60 + "```\n\nThe end of it."
    )
    chunks = one("\n\n".join(section.format(number) for number in range(400)))
    assert len(chunks) >= 200
    assert all(chunk.text.startswith("## Section") for chunk in chunks)
    assert all(chunk.text.endswith("The end of it.") for chunk in chunks)


@pytest.mark.parametrize(
    ("bounds", "problem"),
    [
        ((15, 0), "max_tokens must be between 16 and 8192, not 15"),
        ((8193, 0), "max_tokens must be between 16 and 8192, not 8193"),
        ((512, -1), "overlap must be between 0 and half of max_tokens, 256, not -1"),
        ((512, 257), "overlap must be between 0 and half of max_tokens, 256, not 257"),
    ],
)
def test_options_out_of_bounds_are_refused_with_the_bounds(bounds, problem):
    with pytest.raises(ValueError, match=problem):
        ChunkingOptions(*bounds)


def test_fingerprints_differ_with_the_options():
    made = [ChunkingOptions(), ChunkingOptions(256), ChunkingOptions(512, 32)]
    assert len({options.fingerprint for options in made}) == 3
    assert ChunkingOptions().fingerprint == ChunkingOptions(512, 64).fingerprint


def test_chunks_stay_what_their_fingerprint_says():
    """If this fails, chunking has changed, maybe by a new splitter: raise ALGORITHM."""
    text = "\n\n".join(
        f"{'#' * (number % 3 + 1)} Part {number}\n\n"
        + f"Sentence {number} about 粉. " * (number % 17)
        + "\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |"
        for number in range(60)
    )
    chunks = one(text, max_tokens=64, overlap=16)
    spans = repr([(chunk.start, chunk.end, chunk.headings) for chunk in chunks])
    assert (len(chunks), hashlib.sha256(spans.encode()).hexdigest()[:16]) == (
        143,
        "1dccce5cd3a7dc4e",
    )


def test_chunks_can_be_made_in_a_child_process():
    pages = [Page(1, "# A\n\n" + "grist " * 2_000)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as children:
        made = children.submit(split, pages, ChunkingOptions()).result()
    assert made == split(pages, ChunkingOptions())
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 — our own bytes


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "漢" * 60_000,
        "x" + "\n" * 300_000 + "y",
        "\n" * 300_000,
        ("x" + "\n" * 8_000) * 30,
        "a" + " " * 300_000 + "b",
        "|a|b|\n|-|-|\n" + "|foo|bar|\n" * 30_000,
        "```\n" + "x = 1\n" * 50_000,
        "# # " * 70_000,
        "# a\n" * 70_000,
        "a\n-\n\n" * 50_000,
        "[" * 200_000,
        "`" * 200_000,
        "e" + "\u0301" * 100_000,
        "".join("  " * min(depth, 100) + "- x\n" for depth in range(1_000)),
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_hostile_text_takes_no_more_than_seconds_and_stays_bounded(text):
    started = time.process_time()
    chunks = one(text)
    assert (
        time.process_time() - started < 5
    )  # each takes a fraction of this; quadratic takes minutes
    assert all(chunk.tokens <= 512 for chunk in chunks)
    assert sum(len(chunk.text.split()) for chunk in chunks) >= len(text.split())
