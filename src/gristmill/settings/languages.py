"""The codes of languages in which LlamaParse reads images of text (types of SDK 2.19)."""

from typing import Final

_CODES: Final = """
    abq ady af ang ar as ava az be bg bgc bh bho bn bs ch_sim ch_tra che cs cy da dar de en es et fa
    fr ga gom hi hr hu id inh is it ja kbd kn ko ku la lbe lez lt lv mah mai mi mn mni mr ms mt ne
    new nl no oc pi pl pt ro rs_cyrillic rs_latin ru sa sck sk sl sq sv sw ta tab te th tjk tl tr ug
    uk ur uz vi
"""
LANGUAGES: Final = frozenset(_CODES.split())


def checked_languages(given: str) -> str:
    """The codes in order, each once, between commas; raises ValueError for an unknown one."""
    codes = list(dict.fromkeys(given.replace(",", " ").lower().split()))
    if unknown := [code for code in codes if code not in LANGUAGES]:
        raise ValueError(f"There is no language {', '.join(unknown)}.")
    return ",".join(codes)
