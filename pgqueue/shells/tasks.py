"""Functions that are jobs: `@queue.job()`, `task.add(…)`, `worker.register(task)`."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from functools import update_wrapper
from importlib import import_module
from pickle import PicklingError
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from pgqueue import options
from pgqueue.errors import ConfigError, UnknownOption, Unrecoverable, short
from pgqueue.shells.adding import Adding, AsyncAdding
from pgqueue.types import NewJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from pgqueue.types import Backoff, Dedup, Duration, Job, Keep

P = ParamSpec("P")
R = TypeVar("R")

CURRENT: Final[ContextVar[Any]] = ContextVar("pgqueue_job")

KINDS: Final = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


class JobOptions(TypedDict, total=False):
    """The keywords of `Queue.add`."""

    delay: Duration | None
    run_at: datetime | None
    priority: int
    lifo: bool
    attempts: int
    backoff: Backoff | Duration | str | None
    timeout: Duration | None
    expires: Duration | datetime | None
    key: str | None
    group: str | None
    dedup: Dedup | None
    remove_on_complete: Keep | None
    remove_on_fail: Keep | None
    keep_logs: int | None
    stack_limit: int | None
    size_limit: int | None
    headers: Mapping[str, str] | None
    tags: Sequence[str]
    connection: Any


NAMES: Final = frozenset(JobOptions.__annotations__)


def current_job() -> Any:
    """Return the `ActiveJob` for which a function decorated with `job` runs.

    Raises:
        LookupError: it was called directly.
    """
    try:
        return CURRENT.get()
    except LookupError:
        raise LookupError(
            "there is no current job: the function was called, not run by a worker "
            "that has it by worker.register(…)"
        ) from None


def check_function(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function whose arguments all have names."""
    signature = inspect.signature(function)
    if any(one.kind not in KINDS for one in signature.parameters.values()):
        allowed = "a function whose arguments can all be given by name"
        raise ConfigError.bad("job", function, allowed)
    return signature


class Handle:
    """The handler that calls a function with what a job holds.

    It is sent to a child process as the place of its task, which is imported there.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, job: Any) -> Any:
        CURRENT.set(job)
        given = arguments_of(job.data, self.function)
        try:
            return self.function(**given)
        except TypeError:
            explain(self.function, given)
            raise

    def __reduce__(self) -> tuple[Callable[[str, str], Any], tuple[str, str]]:
        place = self.function.__module__, self.function.__qualname__
        try:
            found = restore(*place)
        except (AttributeError, ImportError) as error:
            raise PicklingError(str(error)) from error
        if found.function is not self.function:
            raise PicklingError(f"{'.'.join(place)} is another function")
        return restore, place


class AsyncHandle(Handle):
    """The same for an `async def`."""

    async def __call__(self, job: Any) -> Any:
        CURRENT.set(job)
        given = arguments_of(job.data, self.function)
        try:
            running = self.function(**given)
        except TypeError:
            explain(self.function, given)
            raise
        return await running


def arguments_of(data: Any, function: Callable[..., Any]) -> dict[str, Any]:
    """Return a job's data as arguments; no data are none.

    Raises:
        Unrecoverable: the data is not an object: no version of a function takes it.
    """
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise Unrecoverable(
            f"the job's data is {short(data)}, but {called(function)} is called with an "
            "object, its arguments by name"
        )
    return data


def explain(function: Callable[..., Any], given: dict[str, Any]) -> None:
    """Raise a clearer error if the arguments of a call that raised do not fit.

    It is retried as others are: while a release is rolled out, another worker may have
    the version of the function that they are for.

    Raises:
        TypeError: they do not fit, so nothing of the function has run.
    """
    try:
        inspect.signature(function).bind(**given)
    except TypeError as error:
        names = ", ".join(given) or "nothing"
        raise TypeError(
            f"the job's data does not fit {called(function)}: {error}; it has {names}"
        ) from None


def called(function: Callable[..., Any]) -> str:
    """Return a function with the names of its arguments, as one would call it."""
    names = ", ".join(inspect.signature(function).parameters)
    return f"{getattr(function, '__name__', 'the function')}({names})"


def handler_of(function: Callable[..., Any]) -> Handle:
    """Return the handler that calls a function with what a job holds."""
    kind = AsyncHandle if inspect.iscoroutinefunction(function) else Handle
    return kind(function)


def restore(module: str, qualname: str) -> Handle:
    """Return the handler of the task at a place, importing its module if need be."""
    task: Any = import_module(module)
    for name in qualname.split("."):
        task = getattr(task, name)
    handle: Handle = task.handle
    return handle


def check_given(name: str, given: JobOptions) -> None:
    """Raise now what adding such a job would raise, where the function is defined."""
    unknown = {one: value for one, value in given.items() if one not in NAMES}
    if unknown:
        raise UnknownOption.of(Adding.add, unknown)
    stored: dict[str, Any] = {**given}
    stored.pop("connection", None)
    options.encode_job(NewJob(name, **stored))


class Task(Generic[P, R]):
    """A function that is a job: called it runs, added it runs in a worker.

    Attributes:
        name: of its jobs.
        queue: the name of their queue.
    """

    def __init__(
        self,
        queue: Adding,
        function: Callable[P, R],
        name: str | None,
        given: JobOptions,
    ) -> None:
        self._queue = queue
        self._function = function
        self._given = given
        self._signature = check_function(function)
        self.name = options.check_name(name or function.__name__)
        check_given(self.name, given)
        self.queue = queue.name
        self.handle = handler_of(function)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, here and now."""
        return self._function(*args, **kwargs)

    def add(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Add a job that calls the function with these arguments.

        They are stored by their names, as JSON.

        Raises:
            TypeError: they do not fit the function.
            PayloadError: one of them cannot be stored.
        """
        data = dict(self._signature.bind(*args, **kwargs).arguments)
        return self._queue.add(self.name, data, **self._given)

    def using(self, **given: Unpack[JobOptions]) -> Task[P, R]:
        """Return the same job with other options, as in `task.using(delay=5).add(1)`."""
        merged: JobOptions = {**self._given, **given}
        return Task(self._queue, self._function, self.name, merged)


class AsyncTask(Generic[P, R]):
    """The same, of an `AsyncQueue`: `await task.add(…)`.

    Attributes:
        name: of its jobs.
        queue: the name of their queue.
    """

    def __init__(
        self,
        queue: AsyncAdding,
        function: Callable[P, R],
        name: str | None,
        given: JobOptions,
    ) -> None:
        self._queue = queue
        self._function = function
        self._given = given
        self._signature = check_function(function)
        self.name = options.check_name(name or function.__name__)
        check_given(self.name, given)
        self.queue = queue.name
        self.handle = handler_of(function)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, here and now."""
        return self._function(*args, **kwargs)

    async def add(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Add a job that calls the function with these arguments.

        They are stored by their names, as JSON.

        Raises:
            TypeError: they do not fit the function.
            PayloadError: one of them cannot be stored.
        """
        data = dict(self._signature.bind(*args, **kwargs).arguments)
        return await self._queue.add(self.name, data, **self._given)

    def using(self, **given: Unpack[JobOptions]) -> AsyncTask[P, R]:
        """Return the same job with other options, as in `task.using(delay=5).add(1)`."""
        merged: JobOptions = {**self._given, **given}
        return AsyncTask(self._queue, self._function, self.name, merged)


class Tasks(Adding):
    """Make functions jobs."""

    @overload
    def job(self, name: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def job(
        self, name: str | None = None, **given: Unpack[JobOptions]
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def job(
        self,
        name: str | Callable[P, R] | None = None,
        **given: Unpack[JobOptions],
    ) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
        """Make the decorated function a job of this queue, with options as for `add`.

        Args:
            name: of its jobs; that of the function by default, and in a bare `@queue.job`.

        Raises:
            ConfigError: the function takes positional-only or variable arguments, or an
                option is unknown or out of its range.
        """
        if callable(name):
            return Task(self, name, None, given)
        return lambda function: Task(self, function, name, given)


class AsyncTasks(AsyncAdding):
    """The same; the task's `add` is awaited."""

    @overload
    def job(self, name: Callable[P, R], /) -> AsyncTask[P, R]: ...
    @overload
    def job(
        self, name: str | None = None, **given: Unpack[JobOptions]
    ) -> Callable[[Callable[P, R]], AsyncTask[P, R]]: ...
    def job(
        self,
        name: str | Callable[P, R] | None = None,
        **given: Unpack[JobOptions],
    ) -> AsyncTask[P, R] | Callable[[Callable[P, R]], AsyncTask[P, R]]:
        """Make the decorated function a job of this queue, with options as for `add`.

        Args:
            name: of its jobs; that of the function by default, and in a bare `@queue.job`.

        Raises:
            ConfigError: the function takes positional-only or variable arguments, or an
                option is unknown or out of its range.
        """
        if callable(name):
            return AsyncTask(self, name, None, given)
        return lambda function: AsyncTask(self, function, name, given)
