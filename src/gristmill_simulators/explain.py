"""What is wrong with a request to the control plane, in sentences."""

from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One sentence for each problem, with what would be right."""
    return " ".join(_sentence(dict(problem), model) for problem in error.errors())


def _sentence(problem: dict[str, Any], model: type[BaseModel]) -> str:
    place = problem["loc"]
    name, text = ".".join(map(str, place)), str(problem["msg"]).removeprefix("Value error, ")
    match problem["type"]:
        case "extra_forbidden":
            return f"There is no {name}. There are: {', '.join(_siblings(model, place))}."
        case "missing":
            return f"{name} is missing."
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"{name or 'The body'} must be a JSON object."
        case "value_error":
            return f"{name}: {text}." if name else f"{text[:1].upper()}{text[1:]}."
    what = text.removeprefix("Input should be ").partition(", unable")[0]
    return f"{name or 'The body'} must be {what}, not {problem['input']!r}."


def _siblings(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    for name in place[:-1]:
        field = model.model_fields.get(str(name))
        inner = next((one for one in _types(field and field.annotation)), None)
        if inner is None:
            return ["none that begin so"]
        model = inner
    return list(model.model_fields)


def _types(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 — any annotation
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]
