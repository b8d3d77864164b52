"""The transcripts in docs/budgets.md.

python tests/support/budgets_page.py      writes the page's outputs from a home of its own
"""

import tempfile
from typing import Final

from transcripts import ROOT, rewritten, runner

PAGE: Final = ROOT / "docs" / "budgets.md"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        PAGE.write_text(
            rewritten(PAGE.read_text("utf-8"), runner({"GRISTMILL_HOME": home})), "utf-8"
        )
