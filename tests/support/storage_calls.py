"""What the tests of Supabase Storage say again and again: headers, and an error's two names."""

import pytest
from storage3.exceptions import StorageApiError

from gristmill_simulators import environment

TEXT = {"content-type": "text/plain"}
SERVICE = {"authorization": f"Bearer {environment.SUPABASE_SERVICE_ROLE_KEY}"}
ANON = {"authorization": f"Bearer {environment.SUPABASE_ANON_KEY}"}


def seen(error: pytest.ExceptionInfo[StorageApiError]) -> tuple[str, str]:
    """Status and code as storage3 reads them out of the body."""
    return str(error.value.status), error.value.code
