"""All settings, and the only reader of the environment.

The process's environment comes first, then the file `.env.{GRISTMILL_ENVIRONMENT}` in the current
folder, then the defaults. An empty variable counts as not set. Vendors' own names are honoured
(`OPENAI_API_KEY`), ours begin with `GRISTMILL_`. A secret can also be the text of a file, which
the same variable with `_FILE` behind it names.
"""

from gristmill.settings.loading import load_settings, settings_at
from gristmill.settings.model import Settings
from gristmill.settings.reference import as_markdown
from gristmill.settings.values import InvalidSettings, Problem, SettingRow, Source

__all__ = [
    "InvalidSettings",
    "Problem",
    "SettingRow",
    "Settings",
    "Source",
    "as_markdown",
    "load_settings",
    "settings_at",
]
