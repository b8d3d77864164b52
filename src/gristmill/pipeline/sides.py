"""What a document may be given in the present modes: nothing of the other origin."""

from shlex import quote

from gristmill.contract import Origin
from gristmill.errors import Misconfigured
from gristmill.pipeline.context import Context
from gristmill.pipeline.document import Work


def refuse_other_origin(context: Context, work: Work) -> None:
    """Before anything is asked for: its collection holds vectors of one origin alone.

    Raises:
        Misconfigured: the present mode brings the other ones; once it is switched, it goes on.
    """
    space = context.options.embedding
    if space.origin is not work.origin:
        raise Misconfigured(
            f"The collection {work.collection!r} holds {work.origin} vectors, and the mode of"
            f" openai brings {space.origin} ones.",
            advice="gristmill mode openai shows why. Switch back, or make the collection real:"
            f" gristmill collection make-real {quote(work.collection)}",
        )


def refuse_simulated_repair(context: Context, work: Work) -> None:
    """A repair is worth it only where the parser reads.

    Raises:
        Misconfigured: the present mode has the simulator read.
    """
    if work.version.is_repair and context.options.parse.origin is not Origin.REAL:
        raise Misconfigured(
            "It is being repaired, and the mode of llamaparse is mock now.",
            advice="gristmill mode llamaparse real or hybrid lets it go on.",
        )
