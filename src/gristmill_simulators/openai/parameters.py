"""Parameters of the newer routes: checked, and refused with `param` and `code`.

Texts and codes: answers of the live service quoted in public issue reports of 2025 and 2026.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill_simulators.openai.errors import InvalidRequest

MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY = 64  # characters
MAX_METADATA_VALUE = 512


def missing(name: str) -> InvalidRequest:
    message = f"Missing required parameter: '{name}'."
    return InvalidRequest(message, code="missing_required_parameter", param=name)


def wrong_type(name: str, expected: str, given: object) -> InvalidRequest:
    """`expected` and the answer have their article: "a string"."""
    message = f"Invalid type for '{name}': expected {expected}, but got {_kind(given)} instead."
    return InvalidRequest(message, code="invalid_type", param=name)


def one_of(name: str, given: object, supported: Sequence[str]) -> str:
    """`given` if it is supported. Raises InvalidRequest."""
    if given is None:
        raise missing(name)
    if not isinstance(given, str):
        raise wrong_type(name, "a string", given)
    if given not in supported:
        message = f"Invalid value: '{given}'. Supported values are: {_listed(supported)}."
        raise InvalidRequest(message, code="invalid_value", param=name)
    return given


def integer(name: str, given: object, lowest: int, highest: int | None) -> int:
    """A whole number between two bounds, from JSON or from text. Raises InvalidRequest."""
    if isinstance(given, str) and given.removeprefix("-").isdecimal() and len(given) < 19:
        given = int(given)
    if type(given) is not int:
        raise wrong_type(name, "an integer", given)
    if given < lowest:
        raise _out_of_bounds(name, "below minimum value", f">= {lowest}", given, "below_min")
    if highest is not None and given > highest:
        raise _out_of_bounds(name, "above maximum value", f"<= {highest}", given, "above_max")
    return given


def metadata(given: object) -> dict[str, str] | None:
    """At most 16 pairs of texts. Raises InvalidRequest."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise wrong_type("metadata", "an object", given)
    if len(given) > MAX_METADATA_PAIRS:
        message = (
            "Invalid 'metadata': too many properties. Expected an object with at most"
            f" {MAX_METADATA_PAIRS} properties, but got an object with {len(given)} properties"
            " instead."
        )
        raise InvalidRequest(message, code="object_above_max_properties", param="metadata")
    for key, value in given.items():
        _text(f"metadata.{key}", key, MAX_METADATA_KEY)
        _text(f"metadata.{key}", value, MAX_METADATA_VALUE)
    return given


def expiry(name: str, given: Mapping[str, Any] | None) -> int | None:
    """Seconds of `{anchor, seconds}`: an hour to 30 days. Raises InvalidRequest."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise wrong_type(name, "an object", given)
    one_of(f"{name}.anchor", given.get("anchor"), ["created_at"])
    if given.get("seconds") is None:
        raise missing(f"{name}.seconds")
    return integer(f"{name}.seconds", given["seconds"], 3600, 2_592_000)


def _text(name: str, given: object, longest: int) -> None:
    if not isinstance(given, str):
        raise wrong_type(name, "a string", given)
    if len(given) > longest:
        message = (
            f"Invalid '{name}': string too long. Expected a string with maximum length {longest},"
            f" but got a string with length {len(given)} instead."
        )
        raise InvalidRequest(message, code="string_above_max_length", param=name)


def _out_of_bounds(name: str, what: str, bound: str, given: int, code: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{name}': integer {what}. Expected a value {bound}, but got {given} instead.",
        code=f"integer_{code}_value",
        param=name,
    )


def _kind(given: object) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a decimal number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(given), "null")


def _listed(values: Sequence[str]) -> str:
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
