"""Settings read again by a process that runs: keys are taken over, the rest counts from its start.

What is read again is the `.env` file and the files that hold secrets; the variables of a process
stay as they were when it began.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gristmill.errors import Misconfigured
from gristmill.settings.loading import load_settings
from gristmill.settings.model import Settings

KEYS: Final = {
    "openai": "openai_api_key",
    "llamaparse": "llama_cloud_api_key",
    "supabase": "supabase_service_role_key",
}


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What is in force from now on.

    The key of each service in `rotated` is another one. Variables in `restart` say something else
    by now, which counts when the process starts again.
    """

    settings: Settings
    rotated: tuple[str, ...]
    restart: tuple[str, ...]


def reload(settings: Settings) -> Reloaded:
    """The settings with the keys as they are where they were read.

    Raises:
        InvalidSettings: what is there by now is wrong, with everything that is.
        Misconfigured: a program gave them, and nobody can tell where they are from.
    """
    reading = settings.reading
    if reading is None or reading.environ is None:
        raise Misconfigured(
            "These settings were given by a program, and cannot be read again.",
            advice="Leave them to Gristmill, or start again with others.",
        )
    found = load_settings(reading.environ, reading.folder)
    changed = set(_changed(settings, found))
    rotated = tuple(service for service, field in KEYS.items() if field in changed)
    taken = settings.taking(found, *(KEYS[service] for service in rotated))
    words = settings.words()
    others = tuple(words[field].name for field in words if field in changed - set(KEYS.values()))
    return Reloaded(taken, rotated, others)


def _changed(before: Settings, after: Settings) -> Iterator[str]:
    return (field for field in before.words() if getattr(before, field) != getattr(after, field))
