"""OpenAI embeddings.

adapter    the service, with the vendor's rules it relies on
batching   pure: texts into requests within the vendor's limits, and refused ones into smaller
errors     the vendor's errors as ours
"""

from gristmill.services.openai.adapter import Embed, Embeddings, ListModels, OpenAI
from gristmill.services.openai.errors import classify

__all__ = ["Embed", "Embeddings", "ListModels", "OpenAI", "classify"]
