"""What is not published or differs between servers of Supabase Storage: chosen at run time."""

from pydantic import BaseModel, ConfigDict


class Switches(BaseModel):
    """Each with the likelier value as its default, and the reason for the doubt."""

    model_config = ConfigDict(extra="forbid", frozen=True)
