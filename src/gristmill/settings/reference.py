"""The page `docs/configuration.md`, made from the settings themselves."""

from typing import Final

from pydantic_core import PydanticUndefined

from gristmill.settings.environments import DEFAULT, ENVIRONMENTS, Environment
from gristmill.settings.model import Settings
from gristmill.settings.values import Setting, as_text

# The first field of each chapter; chapters go up to the next one's.
CHAPTERS: Final = {
    "environment": "This installation",
    "mode": "Simulated or real",
    "openai_api_key": "OpenAI: embeddings",
    "llama_cloud_api_key": "LlamaParse: parsing",
    "supabase_url": "Supabase: file storage",
    "chunk_tokens": "Documents",
    "log_level": "Logs",
}
INTRODUCTION: Final = """\
# Configuration

Gristmill is configured by environment variables. What the environment does not set is looked up
in the file `.env.{GRISTMILL_ENVIRONMENT}` in the current folder (`.env.development` if nothing
else is said; see `.env.example`), and else has its default. No setting is needed to try it out.

- An empty variable counts as not set. In the file, `$` stands for itself.
- A secret can come from a file: `OPENAI_API_KEY_FILE=/run/secrets/openai_api_key`.
- Sizes have a unit: `300MB`, `1GiB`. Relative paths start in the current folder.
- Everything that is wrong is reported at once, an unknown `GRISTMILL_…` variable included.
- `gristmill config show` prints each setting with its source, and no secret.
- `gristmill config check --probe` tries each key that is set, with a call that costs nothing, and
  says what it may do; its exit code is 0 only if all keys that the modes need work.
"""
ROTATION: Final = """
## Keys that are replaced

A new key is used without stopping anything. Write it into the `.env` file, or into the file that
`…_FILE` names, then

- `gristmill config reload` has every process on the database read its keys anew, with its next call
  and within a second of it. Each reads where it read before: its own folder, its own machine.
- `kill -HUP` has one process of the command line do so. (A terminal that is closed ends what was
  started in it, as ever.) In a program it is `await mill.reload_keys()`.

New calls use the new keys; calls under way finish with the old ones, and one that was refused for
its key by then is made once more with the new one. Documents that a refused key has parked go on.
So let the vendor take both keys for a while where it can, reload, then delete the old one.

If what is there is wrong, all of it is told, in the log as `keys.kept`, and the old keys stay.
Whatever else has changed counts from the next start; it is logged as `settings.need_restart`. The
variables of a process's own environment stay as they were when it began.
"""
ENVIRONMENT_TABLE: Final = """
## Environments

| `GRISTMILL_ENVIRONMENT` | meant for | file | modes |
|---|---|---|---|
"""
SAME: Final = """
Every other default is the same in all. A setting of the process's own environment goes before the
file, so that a container needs none.
"""
TABLE: Final = "| variable | meaning | allowed | default | example |\n|---|---|---|---|---|\n"


def as_markdown() -> str:
    """The whole page, ending in a newline."""
    page = INTRODUCTION + _environments()
    for field, words in Settings.words().items():
        if field in CHAPTERS:
            page += f"\n## {CHAPTERS[field]}\n\n{TABLE}"
        page += _row(field, words)
    return page + ROTATION


def _environments() -> str:
    return ENVIRONMENT_TABLE + "".join(map(_environment, ENVIRONMENTS.values())) + SAME


def _environment(environment: Environment) -> str:
    name = f"`{environment.name}`" + (" (default)" if environment.name == DEFAULT else "")
    words = Settings.words()
    needed = environment.allowances.items()
    allowed = ", ".join(f"{mode} with `{words[field].name}=1`" for mode, field in needed)
    modes = f"real; {allowed}" if allowed else "all"
    cells = (name, environment.meant, f"`{environment.file}`", modes)
    return "| " + " | ".join(cells) + " |\n"


def _row(field: str, words: Setting) -> str:
    names = ", ".join(f"`{name}`" for name in words.variables)
    cells = (names, words.meaning, words.right, _default(field), f"`{words.example}`")
    return "| " + " | ".join(cells) + " |\n"


def _default(field: str) -> str:
    default = Settings.model_fields[field].default
    if default is PydanticUndefined:
        return "by tier"
    return "" if default is None else f"`{as_text(default, '')}`"
