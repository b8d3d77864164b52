"""When a fault strikes, whatever its numbers; what it does to a body, however that is sent."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gristmill_simulators.delivery import Halved, Slow
from gristmill_simulators.faults import Pending

PIECES = st.lists(st.binary(max_size=9), min_size=1, max_size=5)


def pending(**facts: object) -> Pending:
    return Pending.model_validate({"id": 1, "route": "openai", "kind": "drop_after", **facts})


@given(after=st.integers(0, 9), every=st.integers(1, 5), calls=st.integers(0, 40))
def test_it_strikes_each_so_many_th_call_after_the_first_ones(after, every, calls):
    fault = pending(after=after, every=every)
    struck = [number for number in range(1, calls + 1) if fault.strikes()]
    assert struck == [n for n in range(after + every, calls + 1, every) if n <= calls]
    assert fault.seen == calls


@given(seed=st.integers(), stop=st.integers(0, 20))
def test_a_series_of_chances_goes_on_after_a_restart(seed, stop):
    whole, first = (pending(probability=0.5, seed=seed) for _ in range(2))
    expected = [whole.strikes() for _ in range(20)]
    before = [first.strikes() for _ in range(stop)]
    second = Pending.model_validate_json(first.model_dump_json())
    assert before + [second.strikes() for _ in range(20 - stop)] == expected


def sent(pieces: list[bytes], *, announced: bool, through) -> tuple[dict, bytes]:
    """What arrives of an answer in pieces: its headers, its body. The end is told once."""
    messages: list[dict] = []

    async def send(message: dict) -> None:
        messages.append(message)

    async def answer() -> None:
        length = str(len(b"".join(pieces))).encode()
        headers = [(b"content-length", length)] if announced else []
        changed = through(send)
        await changed({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in pieces:
            await changed({"type": "http.response.body", "body": piece, "more_body": True})
        await changed({"type": "http.response.body", "body": b"", "more_body": False})

    asyncio.run(answer())
    start, *bodies = messages
    ends = [not body.get("more_body", False) for body in bodies]
    assert ends == [False] * (len(ends) - 1) + [True]
    return dict(start["headers"]), b"".join(body["body"] for body in bodies)


@given(pieces=PIECES)
def test_half_of_an_announced_body_is_announced_as_half(pieces):
    whole = b"".join(pieces)
    headers, body = sent(pieces, announced=True, through=Halved)
    assert body == whole[: len(whole) // 2]
    assert int(headers[b"content-length"]) == len(body)


@given(pieces=PIECES)
def test_of_a_body_without_a_length_half_of_the_first_piece_is_left(pieces):
    first = next((piece for piece in pieces if piece), b"")
    headers, body = sent(pieces, announced=False, through=Halved)
    assert (headers, body) == ({}, first[: len(first) // 2])


@given(pieces=PIECES, announced=st.booleans())
def test_a_slow_body_loses_nothing(pieces, announced):
    _, body = sent(pieces, announced=announced, through=lambda send: Slow(send, {}, 0.0))
    assert body == b"".join(pieces)
