"""The fixed, obviously fake keys, and the environment that points an official SDK here."""

import shlex

from gristmill_simulators.jwt import sign

OPENAI_API_KEY = "sk-simulated-key-that-opens-nothing"
OPENAI_ADMIN_KEY = "sk-admin-simulated-key-that-opens-nothing"
LLAMA_CLOUD_API_KEY = "llx-simulated-key-that-opens-nothing"
LLAMA_CLOUD_EU_API_KEY = "llx-simulated-eu-key-that-opens-nothing"  # of the other region
SUPABASE_JWT_SECRET = "simulated-jwt-secret-that-protects-nothing"  # noqa: S105 — public by intent

_ISSUED = 1_767_225_600  # 2026-01-01T00:00:00Z; fixed, so that the keys never change
_EXPIRES = 4_102_444_800  # 2100-01-01T00:00:00Z


def supabase_key(role: str) -> str:
    """A project key as Supabase issues it: an HS256 token that names a Postgres role."""
    claims = {"iss": "supabase", "ref": "simulated", "role": role, "iat": _ISSUED, "exp": _EXPIRES}
    return sign(claims, SUPABASE_JWT_SECRET)


SUPABASE_SERVICE_ROLE_KEY = supabase_key("service_role")
SUPABASE_ANON_KEY = supabase_key("anon")
# the opaque keys that replace the two; only a gateway knows what they stand for
SUPABASE_SECRET_KEY = "sb_secret_simulated-key-that-opens-nothing"  # noqa: S105 — public by intent
SUPABASE_PUBLISHABLE_KEY = "sb_publishable_simulated-key-that-opens-nothing"


def openai_base_url(base_url: str) -> str:
    return f"{base_url}/openai/v1"


def llama_cloud_base_url(base_url: str) -> str:
    return f"{base_url}/llamacloud"


def supabase_url(base_url: str) -> str:
    return f"{base_url}/supabase"


def environment(base_url: str) -> dict[str, str]:
    """Names the official SDKs and gristmill read, with their values for a simulator's address.

    `base_url` has no trailing slash, as in `http://127.0.0.1:9000`. Needs no running server.
    """
    return {
        "LLAMA_CLOUD_API_KEY": LLAMA_CLOUD_API_KEY,
        "LLAMA_CLOUD_BASE_URL": llama_cloud_base_url(base_url),
        "OPENAI_ADMIN_KEY": OPENAI_ADMIN_KEY,
        "OPENAI_API_KEY": OPENAI_API_KEY,
        "OPENAI_BASE_URL": openai_base_url(base_url),
        "SUPABASE_ANON_KEY": SUPABASE_ANON_KEY,
        "SUPABASE_JWT_SECRET": SUPABASE_JWT_SECRET,
        "SUPABASE_PUBLISHABLE_KEY": SUPABASE_PUBLISHABLE_KEY,
        "SUPABASE_SECRET_KEY": SUPABASE_SECRET_KEY,
        "SUPABASE_SERVICE_ROLE_KEY": SUPABASE_SERVICE_ROLE_KEY,
        "SUPABASE_URL": supabase_url(base_url),
    }


def as_shell(base_url: str) -> str:
    """`export NAME=value` lines for `eval "$(…)"` in a POSIX shell."""
    pairs = environment(base_url).items()
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in pairs)
