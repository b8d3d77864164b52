"""Documents into a search index, through paid APIs, without losing money or documents."""
