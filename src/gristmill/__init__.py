"""Documents into a search index, through paid APIs, without losing money or documents.

async with Gristmill() as mill:
    await mill.ingest("paper.pdf")
    answer = await mill.search("how are retries bounded?")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.contract import (
        Operation,
        Origin,
        Result,
        ServiceHealth,
        ServiceInterface,
        ServiceMode,
        Usage,
    )
    from gristmill.costs.budgets import Limit
    from gristmill.costs.calls import HeldCall
    from gristmill.errors import GristmillError
    from gristmill.library import CostTracker, Gristmill, IngestReport, Progress
    from gristmill.library.estimating import EstimateProgress
    from gristmill.pipeline.document import (
        CollectionSummary,
        DocumentDetail,
        DocumentStatus,
        DocumentSummary,
    )
    from gristmill.pipeline.estimate import Estimate
    from gristmill.policies.deadline import within
    from gristmill.router import ServiceRouter
    from gristmill.search.query import Answer, Hit
    from gristmill.settings import Settings

# Where each public name lives; it is imported when it is first used, so that the command line
# does not load the whole library to print its help.
_HOMES = {
    "Answer": "search.query",
    "CollectionSummary": "pipeline.document",
    "CostTracker": "library",
    "DocumentDetail": "pipeline.document",
    "DocumentStatus": "pipeline.document",
    "DocumentSummary": "pipeline.document",
    "Estimate": "pipeline.estimate",
    "EstimateProgress": "library.estimating",
    "Gristmill": "library",
    "GristmillError": "errors",
    "HeldCall": "costs.calls",
    "Hit": "search.query",
    "IngestReport": "library",
    "Limit": "costs.budgets",
    "Operation": "contract",
    "Origin": "contract",
    "Progress": "library",
    "Result": "contract",
    "ServiceHealth": "contract",
    "ServiceInterface": "contract",
    "ServiceMode": "contract",
    "ServiceRouter": "router",
    "Settings": "settings",
    "Usage": "contract",
    "within": "policies.deadline",
}

__all__ = [
    "Answer",
    "CollectionSummary",
    "CostTracker",
    "DocumentDetail",
    "DocumentStatus",
    "DocumentSummary",
    "Estimate",
    "EstimateProgress",
    "Gristmill",
    "GristmillError",
    "HeldCall",
    "Hit",
    "IngestReport",
    "Limit",
    "Operation",
    "Origin",
    "Progress",
    "Result",
    "ServiceHealth",
    "ServiceInterface",
    "ServiceMode",
    "ServiceRouter",
    "Settings",
    "Usage",
    "within",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 — classes of every kind
    if name not in _HOMES:
        raise AttributeError(f"module 'gristmill' has no attribute {name!r}")
    return getattr(import_module(f"gristmill.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
