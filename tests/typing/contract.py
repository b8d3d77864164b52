"""What the type checker must know; read by it, never run. See `test_typing.py`."""

from dataclasses import dataclass
from typing import assert_type

from gristmill.contract import Operation, Result, ServiceInterface
from gristmill.policies.layer import Layer
from gristmill.router import ServiceRouter
from gristmill.services.llamaparse import ParseJob, SubmitParse
from gristmill.services.openai import Embed, Embeddings


@dataclass(frozen=True, slots=True)
class Count(Operation[int]):
    service = "mill"


@dataclass(frozen=True, slots=True)
class Truth(Operation[bool]):
    service = "mill"


async def an_answer_has_the_type_that_its_operation_names(
    service: ServiceInterface, router: ServiceRouter, embed: Embed, submit: SubmitParse
) -> None:
    assert_type(await service.execute(embed), Result[Embeddings])
    assert_type((await router.execute(embed)).value.tokens, int)
    assert_type(await Layer(service).execute(Count()), Result[int])
    assert_type((await router.at("mill", "api.mill.test").execute(submit)).value, ParseJob)


def an_operation_with_a_narrower_answer_stands_for_a_wider_one(truth: Truth) -> Operation[int]:
    return truth


async def what_does_not_fit_is_an_error(service: ServiceInterface, result: Result[int]) -> None:
    (await service.execute(Count())).value.upper()  # type: ignore[attr-defined]
    await service.execute("count")  # type: ignore[arg-type]
    result.value = 2  # type: ignore[misc]
    ServiceInterface()  # type: ignore[abstract]
