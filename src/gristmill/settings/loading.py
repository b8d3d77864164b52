"""Reading the settings: the only place that looks at the process's environment."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gristmill.settings.environments import DEFAULT, ENVIRONMENTS
from gristmill.settings.model import Settings
from gristmill.settings.sources import Found, Layer, find, read_file, unknown
from gristmill.settings.values import InvalidSettings, Problem, Reading, Source

LONGEST_ECHO: Final = 32  # a longer value may be a key in the wrong place, and is not repeated
FOLLOWS: Final = "default_factory_not_called"  # a default could not be derived from a wrong value
WORDS: Final = Settings.words()
ENVIRONMENT: Final = WORDS["environment"]


def load_settings(environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> Settings:
    """Reads, checks and freezes the settings.

    `folder` holds the `.env` file, and relative paths start there; it is the current one if None.

    Raises:
        InvalidSettings: with everything that is wrong, not only the first of it.
    """
    folder = (folder or Path.cwd()).absolute()
    layers, problems = _layers(environ, folder)
    found = {field: find(words, layers, folder) for field, words in WORDS.items()}
    problems += [each for each in found.values() if isinstance(each, Problem)]
    problems += unknown(WORDS.values(), layers)
    values = {field: each for field, each in found.items() if isinstance(each, Found)}
    settings, invalid = _validated(values, folder, environ)
    problems += _news(invalid, problems)
    if problems or settings is None:
        raise InvalidSettings(tuple(problems))
    return settings


def settings_at(database_url: str) -> Settings:
    """Defaults, but for the database; for whoever needs nothing else, whatever the environment is.

    Raises:
        InvalidSettings: that is no address of a database.
    """
    address = Found(database_url, WORDS["database_url"].name, Source.ENVIRONMENT)
    settings, problems = _validated({"database_url": address}, Path.cwd(), None)
    if problems or settings is None:
        raise InvalidSettings(tuple(problems))
    return settings


def _layers(environ: Mapping[str, str], folder: Path) -> tuple[list[Layer], list[Problem]]:
    above = Layer(Source.ENVIRONMENT, environ)
    name = above.value(ENVIRONMENT.name).lower() or DEFAULT
    if (environment := ENVIRONMENTS.get(name)) is None:  # the check of the value says so
        return [above], []
    file, problems = read_file(folder / environment.file)
    if file.value(ENVIRONMENT.name).lower() not in {"", name}:
        wrong = f"The file {environment.file} names another environment than the one that chose it."
        problems.append(ENVIRONMENT.problem(wrong, right=f"{name}, or none, in that file"))
    return [above, file], problems


def _validated(
    values: Mapping[str, Found], folder: Path, environ: Mapping[str, str] | None
) -> tuple[Settings | None, list[Problem]]:
    """The settings, or everything that is wrong with them.

    Where values are wrong in themselves, the others are checked without them.
    """
    raw = {field: found.value for field, found in values.items()}
    origins = {field: (found.variable, found.source) for field, found in values.items()}
    try:
        return Settings.model_validate(raw, context=Reading(folder, origins, environ)), []
    except InvalidSettings as error:
        return None, list(error.problems)
    except ValidationError as error:
        wrong = {str(each["loc"][0]): each for each in error.errors() if each["type"] != FOLLOWS}
        problems = [_problem(field, values.get(field), wrong[field]) for field in wrong]
        rest = {field: found for field, found in values.items() if field not in wrong}
        more = _validated(rest, folder, environ)[1] if len(rest) < len(values) else []
        return None, problems + _news(more, problems)


def _problem(field: str, found: Found | None, error: Mapping[str, Any]) -> Problem:
    """Our own checks have their own sentence; for the others the value is shown."""
    words, value = WORDS[field], found.value if found else ""
    if error["type"] == "value_error":
        wrong = str(error["ctx"]["error"])
    elif words.secret or len(value) > LONGEST_ECHO:
        wrong = f"Its {len(value)} characters are something else."
    else:
        wrong = f"It is {value!r}."
    return words.problem(wrong, variable=found.variable if found else "")


def _news(later: Iterable[Problem], earlier: list[Problem]) -> list[Problem]:
    """A setting that is wrong already need not be missed as well."""
    named = {problem.setting for problem in earlier}
    return [problem for problem in later if problem.setting not in named]
