"""The body of an embeddings answer: JSON indented by 2 spaces, floats or base64."""

from base64 import b64encode

import numpy as np
import orjson

from gristmill_simulators.openai.request import NATIVE_DIMENSIONS, Embedding, echoed_model

_LAYOUT = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


def body(request: Embedding) -> bytes:
    """Embed and encode; CPU work, about 1 ms for a short text."""
    vectors = _vectors(request)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": b64encode(vector.tobytes()).decode() if request.base64 else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": request.tokens, "total_tokens": request.tokens}
    model = echoed_model(request.model)
    answer = {"object": "list", "data": data, "model": model, "usage": usage}
    return orjson.dumps(answer, option=_LAYOUT)


def _vectors(request: Embedding) -> np.ndarray:
    from gristmill_simulators.openai.vectors import embed  # noqa: PLC0415 — loads its tables

    native = NATIVE_DIMENSIONS[request.model]
    vectors = embed(request.texts, native_dimensions=native)
    if request.dimensions < native:
        vectors = vectors[:, : request.dimensions]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return np.ascontiguousarray(vectors, dtype="<f4")
