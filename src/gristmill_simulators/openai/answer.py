"""What an embeddings request is answered: vectors as floats or base64, in the vendor's layout."""

from base64 import b64encode
from typing import Any

import numpy as np
import orjson

from gristmill_simulators.openai.request import NATIVE_DIMENSIONS, Embedding, echoed_model
from gristmill_simulators.openai.vectors import embed

_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


def body(request: Embedding, noise: float = 0.0) -> bytes:
    """Embed and encode; CPU work, about 1 ms for a short text."""
    return orjson.dumps(content(request, noise), option=_PRETTY)


def line(value: dict[str, Any]) -> bytes:
    """One line of a batch's output, which may hold an answer's `content`."""
    return orjson.dumps(value, option=_LINE)


def content(request: Embedding, noise: float = 0.0) -> dict[str, Any]:
    """The answer with its keys in order; vectors that are not base64 are numpy's."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": b64encode(vector.tobytes()).decode() if request.base64 else vector,
        }
        for index, vector in enumerate(_vectors(request, noise))
    ]
    usage = {"prompt_tokens": request.tokens, "total_tokens": request.tokens}
    model = echoed_model(request.model)
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _vectors(request: Embedding, noise: float) -> np.ndarray:
    native = NATIVE_DIMENSIONS[request.model]
    vectors = embed(request.texts, native_dimensions=native)
    if noise:
        generator = np.random.default_rng()
        # half, because two answers differ from each other by both
        vectors = _unit(vectors + generator.uniform(-noise / 2, noise / 2, vectors.shape))
    if request.dimensions < native:
        vectors = _unit(vectors[:, : request.dimensions])
    return np.ascontiguousarray(vectors, dtype="<f4")


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
