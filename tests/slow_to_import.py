"""A module that child processes take long to import, or never finish importing."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

VARIABLE: Final = "TESTS_IMPORT_TAKES"

# Set once the test has imported it: then only its children find it.
if takes := os.environ.get(VARIABLE):
    threading.Event().wait(float(takes))


def answer(job: Any) -> Any:
    return job.data
