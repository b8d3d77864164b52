"""All settings together: how the pipeline works and what is logged, and what holds between them.

Installation > Vendors > Settings     one after the other, in the order of the pages about them
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal, Self

from pydantic import ByteSize, Field, ValidationInfo, model_validator

from gristmill.contract import ServiceMode
from gristmill.settings import rules
from gristmill.settings.addresses import mask_database_url
from gristmill.settings.installation import ANY_CASE
from gristmill.settings.rates import RateLimitSetting, rates_of
from gristmill.settings.values import (
    InvalidSettings,
    Reading,
    Setting,
    SettingRow,
    Source,
    as_text,
)
from gristmill.settings.vendors import Vendors

# Where answers do not tell. Source: LlamaCloud's page on rate limits, read 2026-10.
SMALLEST_PLANS: Final = {"llamaparse": "20/minute"}


class Settings(Vendors):
    """Every setting, checked and immutable; `load_settings` reads them from the environment.

    Raises:
        InvalidSettings: values do not go together, or money could be spent without a limit.
        pydantic.ValidationError: a value is wrong in itself; `load_settings` tells both alike.
    """

    chunk_tokens: Annotated[
        int,
        Field(ge=16, le=8192),
        Setting(
            "GRISTMILL_CHUNK_TOKENS",
            "Tokens that a chunk has at most.",
            "a whole number from 16 to 8192",
            "512",
        ),
    ] = 512
    chunk_overlap: Annotated[
        int,
        Field(ge=0, le=4096),
        Setting(
            "GRISTMILL_CHUNK_OVERLAP",
            "Tokens that a chunk repeats of the one before it, less than it has in all.",
            "a whole number from 0 to 4096",
            "64",
        ),
    ] = 64
    max_file_bytes: Annotated[
        ByteSize,
        Field(ge=1),
        Setting(
            "GRISTMILL_MAX_FILE_SIZE", "Largest file taken in.", "a size with its unit", "300MB"
        ),
    ] = ByteSize(300 * 10**6)
    child_memory_bytes: Annotated[
        ByteSize,
        Field(ge=256 * 2**20),
        Setting(
            "GRISTMILL_CHILD_MEMORY",
            "Memory of a process that reads files.",
            "a size with its unit, at least 256MiB",
            "2GiB",
        ),
    ] = ByteSize(2 * 2**30)
    child_seconds: Annotated[
        float,
        Field(ge=1, le=3600, allow_inf_nan=False),
        Setting(
            "GRISTMILL_CHILD_SECONDS",
            "Seconds that such a process may work on one file.",
            "a number from 1 to 3600",
            "120",
        ),
    ] = 120.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        ANY_CASE,
        Setting(
            "GRISTMILL_LOG_LEVEL",
            "What is logged: this and everything graver.",
            "debug, info, warning, error or critical",
            "debug",
        ),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "console", "json"],
        ANY_CASE,
        Setting(
            "GRISTMILL_LOG_FORMAT",
            "How it is logged; `auto` is `console` on a terminal, else `json`.",
            "auto, console or json",
            "json",
        ),
    ] = "auto"

    @model_validator(mode="after")
    def _values_go_together(self, info: ValidationInfo) -> Self:
        self._reading = info.context
        if problems := tuple(rules.problems(self)):
            raise InvalidSettings(problems)
        return self

    def mode_of(self, service: str) -> ServiceMode:
        """The mode of `openai`, `llamaparse` or `supabase`; the environment's say, no switch's."""
        own: ServiceMode | None = getattr(self, f"mode_{service}")
        return self.mode if own is None else own

    def mode_setting_of(self, service: str) -> tuple[str, Source]:
        """The variable that decides the mode of a service, and where its value is from."""
        field = "mode" if getattr(self, f"mode_{service}") is None else f"mode_{service}"
        row = self._row(field, self.words()[field])
        return row.name, row.source

    def checked_in(self, modes: Mapping[str, ServiceMode]) -> Self:
        """The same settings with other modes of these services.

        Raises:
            InvalidSettings: something is missing or wrong for these modes.
        """
        changed = self.model_copy(update={f"mode_{name}": mode for name, mode in modes.items()})
        if problems := tuple(rules.problems(changed)):
            raise InvalidSettings(problems)
        return changed

    def rates_of(self, service: str, *, is_real: bool) -> tuple[RateLimitSetting, ...]:
        """The rate limits of a service; of the smallest plan where that alone is published."""
        given: str = getattr(self, f"rate_{service}")
        if not given and is_real:
            given = SMALLEST_PLANS.get(service, "")
        return rates_of(given)

    @property
    def reading(self) -> Reading | None:
        """Where they were read; None if a program gave them."""
        return self._reading

    def taking(self, other: "Settings", *fields: str) -> "Settings":
        """The same settings, but for these fields, which are as `other` has them."""
        taken = self.model_copy(update={field: getattr(other, field) for field in fields})
        if self.reading is not None and other.reading is not None:
            own, others = self.reading.origins, other.reading.origins
            origins = {name: origin for name, origin in own.items() if name not in fields}
            origins |= {name: others[name] for name in fields if name in others}
            taken._reading = replace(self.reading, origins=origins)  # noqa: SLF001 — its own class
        return taken

    def describe(self) -> list[SettingRow]:
        """All settings with value, source and meaning, fit to be shown to anybody."""
        return [self._row(field, words) for field, words in self.words().items()]

    @classmethod
    def words(cls) -> dict[str, Setting]:
        """The words for each field, in the order in which they are explained."""
        return {
            field: next(part for part in info.metadata if isinstance(part, Setting))
            for field, info in cls.model_fields.items()
        }

    def _row(self, field: str, words: Setting) -> SettingRow:
        given = (words.name, Source.CODE if field in self.model_fields_set else Source.DEFAULT)
        variable, source = (self._reading.origins if self._reading else {}).get(field, given)
        value = getattr(self, field)
        if field == "database_url" and value is not None:
            value = mask_database_url(value.get_secret_value())
        return SettingRow(words.name, as_text(value, variable), source, words.meaning)
