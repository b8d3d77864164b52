"""How fast vendors may be asked: limits, and turns in them, for every process together."""
