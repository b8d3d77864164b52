"""What a token costs, in whole nano-dollars: the vendor's price table, read 2026-11-23."""

_NANO_DOLLARS = {
    "text-embedding-3-small": 20,
    "text-embedding-3-large": 130,
    "text-embedding-ada-002": 100,
}


def cost(model: str, tokens: int, *, batch: bool = False) -> int:
    """Nano-dollars for `tokens` of input; output is free, a batch costs half."""
    price = _NANO_DOLLARS[model]
    return tokens * (price // 2 if batch else price)
