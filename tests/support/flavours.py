"""Lets one test body drive an SDK's asynchronous client and its synchronous twin alike."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

_WITHOUT_ASKING = frozenset({"from_", "with_options"})  # plain calls in both clients
_VALUES = (str, bytes, int, float, bool, dict, list, tuple, type(None))


class Awaited:
    """A synchronous client whose calls can be awaited: `await Awaited(client).models.list()`.

    Calls run in a thread, so that a test can do two at once. What a call returns is the SDK's own.
    """

    def __init__(self, client: object) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if isinstance(value, _VALUES):
            return value
        if name in _WITHOUT_ASKING:
            return lambda *arguments, **named: Awaited(value(*arguments, **named))
        return _AwaitedCall(value) if inspect.isroutine(value) else Awaited(value)


class _AwaitedCall:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any, **named: Any) -> "_Pending":
        return _Pending(self._function, arguments, named)


class _Pending:
    """Awaited it is the answer; iterated, as asynchronous pages are, it is every item."""

    def __init__(self, function: Callable[..., Any], arguments: Any, named: Any) -> None:
        self._call = lambda: function(*arguments, **named)

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.to_thread(self._call).__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in await asyncio.to_thread(lambda: list(self._call())):
            yield item


async def resolved(value: Any) -> Any:
    """The value, whether it must be awaited (asynchronous client) or not (synchronous twin)."""
    return await value if inspect.isawaitable(value) else value
