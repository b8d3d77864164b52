"""The simulator's vectors: the same everywhere, of unit length, related texts near each other."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill_simulators.openai.vectors import embed

WIDTH = 1536
ODD = ["", " ", "\n\t", "?!", "é", "\U0001f9ed", "\ud800", "東京", "東", "x" * 100_000, "a\0b", "_"]
# A question, a passage that answers it, and one that does not.
RELATED = [
    ("How often is the filter cleaned?", "Clean the filter every two weeks.", "The warranty ends."),
    ("how are retries bounded", "Each call is retried three times at most", "Bees need sugar"),
    ("stolen bicycle", "Theft of bicycles is insured when locked", "Water damage is insured"),
    ("deleting old backups", "Old backups are deleted after a month", "Disks are encrypted"),
    ("time zones", "Store the name of the zone and the local time", "Prices are in dollars"),
    ("What does code E5 mean?", "E5: pressure in the circuit is too low", "The tank is full"),
    ("turning the compost heap", "Turn the heap with a fork when it cools", "The index is built"),
    ("restore one table", "pg_restore restores a single table", "Send the receipt by mail"),
    ("who pays for the hotel", "Hotel costs are paid for 100 days", "Frost damages pipes"),
    ("quota per minute", "The quotas are counted in each minute", "Honey is ripe in July"),
    ("cancel the contract", "Cancellation of contracts takes two weeks", "Fans may be loud"),
    ("webhook signature", "Signatures of webhooks are verified first", "Rows are locked in order"),
    ("embedding dimensions", "An embedding has 1536 dimensions", "The door is on the left"),
    ("circuit breakers open", "The breaker opens after five failures", "Pages are numbered"),
    ("lost luggage", "Luggage that was lost is replaced", "Lift the cover with care"),
    ("working from abroad", "Work abroad is limited to 20 days", "The keys blink twice"),
    ("humidity in the room", "Rooms should have a humidity of 50 percent", "Trains are late"),
    ("birthdays in a database", "A birthday is stored as a date", "Leaves hold carbon"),
    ("rotating secret keys", "Keys and secrets are rotated each month", "A hose fits the socket"),
    ("duplicate documents", "A document that is a duplicate is skipped", "The fan is louder"),
    ("検索エンジンの速度", "この検索は速度が速い", "今日は天気がいいです"),
    ("向量数据库", "数据库保存向量", "天气很好"),
    ("Größe der Dateien", "Die Datei hat eine Größe von 3 MB", "Der Hund schläft im Garten"),
    ("def parse_page(text)", "parse_page takes the text of a page", "class Window: pass"),
]


def test_the_same_text_has_the_same_bits_on_every_machine():
    vectors = embed(["How are retries bounded?", "", "東京 2026"], native_dimensions=WIDTH)
    assert vectors.dtype == np.float32
    digest = hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest()
    assert digest == "d867097d872e466a636aa0308497b2d1b1df53158b82396bba2f291180e0536c"
    largest = [751, 825, 906, 1132]
    assert vectors[0, largest].tolist() == pytest.approx(
        [0.09755524, 0.09755524, 0.18081895, -0.09755524], abs=1e-8
    )


def test_another_process_with_another_hash_seed_agrees():
    code = (
        "import sys; from gristmill_simulators.openai.vectors import embed;"
        "sys.stdout.buffer.write(embed(['one two', 'drei'], native_dimensions=256).tobytes())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert run.stdout == embed(["one two", "drei"], native_dimensions=256).tobytes()


@given(st.lists(st.text(), max_size=6), st.sampled_from([1, 8, 256, 1536, 3072]))
@settings(max_examples=60, deadline=None)
def test_every_text_has_a_row_of_unit_length_whatever_its_neighbours(texts, width):
    rows = embed(texts, native_dimensions=width)
    assert rows.shape == (len(texts), width)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    for text, row in zip(texts, rows, strict=True):
        assert np.array_equal(embed([text], native_dimensions=width)[0], row)


def test_odd_texts_are_told_apart():
    rows = embed(ODD, native_dimensions=WIDTH)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    apart = rows @ rows.T - np.eye(len(ODD))
    assert np.abs(apart).max() < 0.9


def test_no_prefix_of_a_vector_is_zero():
    rows = embed(["", "a", "retries", "東京"], native_dimensions=WIDTH)
    assert (rows != 0).any(axis=1).all()
    assert (rows[:, 0] != 0).all()


def near(left, right, width):
    rows = embed([left, right], native_dimensions=WIDTH)[:, :width]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return float(rows[0] @ rows[1])


@pytest.mark.parametrize(("question", "answer", "other"), RELATED)
def test_an_answer_is_nearer_to_its_question_than_another_text(question, answer, other):
    assert near(question, answer, WIDTH) > near(question, other, WIDTH) + 0.05


@pytest.mark.parametrize(("width", "wanted"), [(1024, 24), (512, 23), (256, 22)])
def test_the_first_dimensions_alone_still_tell_near_from_far(width, wanted):
    right = sum(
        near(ask, answer, width) > near(ask, other, width) for ask, answer, other in RELATED
    )
    assert right >= wanted


def test_a_prefix_keeps_the_distances_of_the_whole():
    texts = [text for row in RELATED for text in row]
    rows = embed(texts, native_dimensions=WIDTH)
    half = rows[:, :512] / np.linalg.norm(rows[:, :512], axis=1, keepdims=True)
    error = (half @ half.T - rows @ rows.T)[np.triu_indices(len(texts), 1)]
    assert np.sqrt(np.mean(error**2)) < 0.06


def test_the_forms_of_a_word_meet():
    words = ("retry", "retries", "retried", "retrying")
    rows = embed(words, native_dimensions=WIDTH)
    assert (rows @ rows.T).min() > 0.5


def test_a_common_word_changes_little_and_an_own_one_much():
    assert near("pump pressure", "the pump pressure", WIDTH) > 0.95
    assert near("pump pressure", "pump pressure valve", WIDTH) < 0.95


def test_many_threads_get_what_one_gets():
    texts = [f"document {n} about {n % 7} quotas and {n * 31} pages" for n in range(200)]
    alone = embed(texts, native_dimensions=256)
    with ThreadPoolExecutor(8) as pool:
        rows = pool.map(lambda text: embed([text], native_dimensions=256)[0], texts)
        assert np.array_equal(np.stack(list(rows)), alone)
