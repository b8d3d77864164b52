"""What a batch's input is found to hold, line by line."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_batches import jsonl, line

from gristmill_simulators.openai import batch_work
from gristmill_simulators.openai.batch_input import Checked, Limits, Span, check

ENDPOINT = "/v1/embeddings"
PLENTY = Limits(50_000, 50_000)


def checked(lines, limits: Limits = PLENTY) -> Checked:
    return check(io.BytesIO(jsonl(lines)), ENDPOINT, limits)


def codes(lines, limits: Limits = PLENTY) -> list[tuple[str, int | None]]:
    return [(error["code"], error["line"]) for error in checked(lines, limits).errors]


def test_a_good_file_tells_model_lines_inputs_and_queued_tokens():
    found = checked([line("a", "x" * 40), line("b", ["x"] * 3), line("c", [1, 2, 3])])
    assert found.errors == []
    assert found.model == "text-embedding-3-small"
    assert (len(found.spans), found.inputs) == (3, 5)
    assert found.tokens == (10 + 1) + (0 + 1) + (3 + 1)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=20), st.booleans())
def test_every_line_can_be_read_again_from_where_it_was_found(texts, blank):
    lines = [json.dumps(line(str(number), text or " ")) for number, text in enumerate(texts)]
    if blank:
        lines.insert(len(lines) // 2, "  ")
    content = jsonl(lines)
    found = check(io.BytesIO(content), ENDPOINT, PLENTY)
    read = [json.loads(content[span.offset : span.offset + span.length]) for span in found.spans]
    assert [each["custom_id"] for each in read] == [str(n) for n in range(len(texts))]
    assert found.errors == []


def test_a_line_has_one_error_and_the_others_are_looked_at_all_the_same():
    lines = ["nonsense", "[]", line("a", "x"), line("a", "y", model="other"), line("b", "z")]
    assert codes(lines) == [
        ("invalid_json_line", 1),
        ("invalid_json_line", 2),
        ("duplicate_custom_id", 4),
    ]


@pytest.mark.parametrize(
    "changes", [{"custom_id": 7}, {"body": "text"}, {"body": ["a"]}, {"custom_id": True}]
)
def test_a_field_of_another_type_is_named(changes):
    (error,) = checked([line("a", "x") | changes]).errors
    assert (error["code"], error["param"]) == ("invalid_type", next(iter(changes)))


@pytest.mark.parametrize("model", [["text-embedding-3-small"], 7, "gpt-6-astra"])
def test_a_model_of_another_kind_is_not_supported(model):
    assert codes([line("a", "x", model=model)]) == [("model_not_found", 1)]


@given(st.integers(1, 30), st.integers(1, 30))
def test_one_line_or_input_too_many_is_the_only_error_told(lines, inputs):
    requests = [line(str(number), ["x"] * inputs) for number in range(lines)]
    assert codes(requests, Limits(lines, lines * inputs)) == []
    assert codes(requests, Limits(lines - 1, lines * inputs)) == [("too_many_tasks", None)]
    assert codes(requests, Limits(lines, lines * inputs - 1)) == [("too_many_inputs", None)]


def test_errors_are_told_up_to_a_thousand():
    assert len(checked(["nonsense"] * 1500).errors) == 1000


def test_an_empty_file_says_so():
    assert codes(["", "  "]) == [("empty_file", None)]


@given(st.lists(st.integers(1, 400_000), min_size=1, max_size=300), st.data())
def test_chunks_take_every_line_once_up_to_where_they_may(lengths, data):
    spans = [Span(0, length) for length in lengths]
    end = data.draw(st.integers(0, len(spans)))
    taken = 0
    while taken < end:
        part = batch_work.chunk(spans, taken, end)
        assert 1 <= len(part) <= 64
        assert sum(span.length for span in part[:-1]) < 256 * 1024
        taken += len(part)
    assert taken == end


def test_the_order_of_a_batch_is_its_own_and_always_the_same():
    spans = [Span(number, 1) for number in range(100)]
    first = batch_work.shuffled(spans, "batch_a")
    assert first == batch_work.shuffled(spans, "batch_a") != batch_work.shuffled(spans, "batch_b")
    assert sorted(first, key=lambda span: span.offset) == spans != first
