"""The types of the public API are part of it."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_type_checker_infers_answers_and_refuses_what_does_not_fit():
    done = subprocess.run(
        [sys.executable, "-m", "mypy", HERE / "contract.py", HERE / "tracker.py"],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
