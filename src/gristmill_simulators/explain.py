"""What is wrong with a request to the control plane, in sentences."""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_OBJECTS = {"model_type", "dict_type", "model_attributes_type"}


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One sentence for each problem, with what would be right."""
    return " ".join(_sentence(dict(problem), model) for problem in error.errors())


def _sentence(problem: dict[str, Any], model: type[BaseModel]) -> str:
    place, kind = problem["loc"], problem["type"]
    name, text = ".".join(map(str, place)), str(problem["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"There is no {name}. There are: {', '.join(_siblings(model, place))}."
    if kind == "missing":
        return f"{name} is missing."
    if kind in _OBJECTS:
        return f"{name or 'The body'} must be a JSON object."
    if kind == "value_error":
        return f"{name}: {text}." if name else f"{text[:1].upper()}{text[1:]}."
    if kind == "union_tag_invalid":
        said = problem["ctx"]
        return f"{name}.kind must be one of {said['expected_tags']}, not {said['tag']!r}."
    must = re.sub(r", (unable|got) .*", "", text.partition(" should ")[2] or text)
    must = must.replace("valid tuple", "list")
    return f"{name or 'The body'} must {must}, not {problem['input']!r}."


def _siblings(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    """The fields that there are where an unknown one was named."""
    models = [model]
    for part in place[:-1]:
        if (deeper := _fields(models, str(part))) is not None:
            models = [one for annotation in deeper for one in _models(annotation)]
        else:  # a key, a number in a list, or the kind that tells the models of a union apart
            models = [one for one in models if _is_kind(one, part)] or models
    return list(dict.fromkeys(name for one in models for name in one.model_fields))


def _fields(models: list[type[BaseModel]], name: str) -> list[Any] | None:
    found = [one.model_fields[name].annotation for one in models if name in one.model_fields]
    return found or None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 — any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _is_kind(model: type[BaseModel], kind: str | int) -> bool:
    field = model.model_fields.get("kind")
    return field is not None and kind in get_args(field.annotation)
