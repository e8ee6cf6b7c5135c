"""The options that BullMQ knows, and what is said of one that it does not; pure."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from pgqueue.errors import ConfigError, UnknownOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLIENT: Final = (
    *("backend", "blockingConnection", "blockingTimeout", "connection", "prefix"),
    *("skipMetasUpdate", "skipVersionCheck", "skipWaitingForReady"),
)
"""The options of every object; those that begin with "skip" or "block" mean nothing."""

OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "job": (
        *("attempts", "backoff", "continueParentOnFailure", "deduplication", "delay"),
        *("failParentOnFailure", "ignoreDependencyOnFailure", "jobId", "keepLogs"),
        *("lifo", "parent", "prevMillis", "priority", "removeDependencyOnFailure"),
        *("removeOnComplete", "removeOnFail", "repeatJobKey", "sizeLimit"),
        *("stackTraceLimit", "timestamp"),
    ),
    "queue": (*CLIENT, "defaultJobOptions"),
    "worker": (
        *CLIENT,
        *("autorun", "concurrency", "defaultJobOptions", "drainDelay", "lockDuration"),
        *("lockRenewTime", "maxStalledCount", "maximumRateLimitDelay", "name"),
        *("removeOnComplete", "removeOnFail", "runRetryDelay", "settings"),
        "stalledInterval",
    ),
    "queue events": (*CLIENT, "autorun", "lastEventId"),
    "queue events producer": CLIENT,
    "flow producer": (*CLIENT, "defaultJobOptions"),
    "settings": ("backoffStrategy",),
    "deduplication": ("extend", "id", "keepLastIfActive", "replace", "ttl"),
    "backoff": ("delay", "jitter", "type"),
    "repeat": (
        *("count", "endDate", "every", "immediately", "limit", "offset", "pattern"),
        *("startDate", "tz"),
    ),
    "addBulk": ("data", "name", "opts"),
    "flow": ("children", "data", "name", "opts", "prefix", "queueName"),
    "retryJobs": ("count", "state", "timestamp"),
    "promoteJobs": ("count",),
    "retry": ("resetAttemptsMade", "resetAttemptsStarted"),
    "remove": ("removeChildren",),
    "changePriority": ("lifo", "priority"),
}
"""The options of BullMQ's, beside those that are refused with a reason."""


def meant(name: str, known: Sequence[str]) -> str:
    """Say which of the known names may have been meant, or which there are."""
    words = {one.replace("_", "").lower(): one for one in known}
    close = difflib.get_close_matches(
        name.replace("_", "").lower(), words, n=1, cutoff=0.8
    )
    if close:
        return f"did you mean {words[close[0]]!r}?"
    return f"there are {', '.join(sorted(known))}"


def check_options(
    what: str,
    opts: Mapping[str, Any] | None,
    unsupported: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """Return the options, or raise if one of them would be without effect.

    Raises:
        ConfigError: one is not supported; the text says what to do instead.
        UnknownOption: BullMQ has none of that name.
    """
    given, refused = opts or {}, unsupported or {}
    for name, instead in refused.items():
        if given.get(name) not in (None, False):
            raise ConfigError(f"the {what} option {name!r} is not supported: {instead}")
    known = OPTIONS.get(what, ())
    for name in given if known else ():
        if name not in known and name not in refused:
            text = meant(str(name), known)
            raise UnknownOption(f"there is no {what} option {name!r}: {text}")
    return given


def check_backend(opts: Mapping[str, Any]) -> None:
    """Raise if another backend than PostgreSQL is asked for."""
    backend = opts.get("backend")
    if backend not in (None, "postgres"):
        raise ConfigError.bad("backend", backend, '"postgres", or nothing')
