"""Simulators of LlamaCloud, OpenAI and Supabase Storage: plain servers for anybody's client.

They run on a loopback port, alone (`python -m gristmill_simulators`), inside a test
(`server.SimulatorServer`) or as one detached process per folder (`background.ensure_running`).
They know nothing of the programs that call them: no account, no network, no secret.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gristmill")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0+unknown"
