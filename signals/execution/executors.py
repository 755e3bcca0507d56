"""Execution of fold tasks in worker processes with one thread each, and the estimate of the remaining time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import islice
from threading import Event

from signals.common.errors import InputError
from signals.execution.fold_tasks import Task
from signals.execution.task_result import TaskResult

__all__ = ["RemainingTime", "run_tasks"]


def run_tasks(
    tasks: Iterable[Task], run_chunk: Callable[..., list[TaskResult]], *, at_once: int, jobs: int, n_tasks: int
) -> Generator[TaskResult, None, None]:
    """Run tasks, in worker processes when there are several tasks and jobs; yields results in order of completion.

    Close the generator (`contextlib.closing`) when it is not read to the end, such as after an interruption: this stops
    the processes immediately.

    A task is taken from the iterable only when a process is about to be free. The memory that tasks need is therefore
    bounded by the number of processes, not by the number of tasks.

    Parameters
    ----------
    tasks : iterable of Task
        Tasks, created on demand.
    run_chunk : callable
        Runs a list of tasks and returns their results.
    at_once : int
        Number of tasks in such a list.
    jobs : int
        Number of processes.
    n_tasks : int
        Total number of tasks.

    Raises
    ------
    InputError
        When a process was killed. Finished networks are kept.
    """
    chunks = _chunks(tasks, at_once)
    if jobs <= 1 or n_tasks <= at_once:
        for chunk in chunks:
            yield from run_chunk(chunk)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    failures: list[Exception] = []
    stopped = Event()

    def recorded_chunks() -> Iterator[list[Task]]:
        # joblib consumes tasks in its own thread, where an exception would be lost and the run would never end
        try:
            for chunk in chunks:
                if stopped.is_set():
                    return
                yield chunk
        except Exception as error:
            failures.append(error)

    # One thread per process: two processes with one thread each train faster than one process with two. One task more
    # than there are processes is prepared, so that no process waits for its data.
    parallel = Parallel(
        n_jobs=min(jobs, -(-n_tasks // at_once)),
        return_as="generator_unordered",
        pre_dispatch="n_jobs + 1",
        batch_size=1,
        max_nbytes=None,  # arrays in shared memory would stay there until the last task is done
    )
    finished = parallel(delayed(run_chunk)(chunk, single_thread=True) for chunk in recorded_chunks())
    try:
        with warnings.catch_warnings():
            # loky replaces a process that uses 300 MB more than after its first task. Here the cause is a larger fold
            # and not a leak (which a test excludes), and the only cost is the start of a process.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
            for results in finished:
                yield from results
    except TerminatedWorkerError as error:
        raise InputError(
            "expected every training process to finish; found one killed, most often because memory ran out; "
            "run again with fewer --jobs (finished networks are kept)"
        ) from error
    finally:
        # after an interruption no task is started, and joblib's messages about this are suppressed
        stopped.set()
        logging.getLogger("concurrent.futures").addFilter(_drop_shutdown_errors)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            finished.close()
    if failures:
        raise failures[0]


def _drop_shutdown_errors(record: logging.LogRecord) -> bool:
    """Log filter that drops errors about tasks submitted while the processes are being stopped."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ShutdownExecutorError"


def _chunks(tasks: Iterable[Task], size: int) -> Iterator[list[Task]]:
    iterator = iter(tasks)
    while chunk := list(islice(iterator, size)):
        yield chunk


class RemainingTime:
    """Estimate of the remaining time from the networks trained so far.

    The time of a task is taken to be proportional to its training rows. Networks that are reused take almost no time
    and are not used for the estimate.

    Parameters
    ----------
    rows : mapping of (fold, seed) to int
        Training rows of every task.
    processes : int
        Number of tasks that run at the same time.
    """

    def __init__(self, rows: Mapping[tuple[int, int], int], processes: int) -> None:
        self._open = dict(rows)
        self._processes = processes
        self._seconds = 0.0
        self._rows = 0

    def after(self, result: TaskResult) -> float:
        """Estimated seconds that remain after one more task; NaN until a network was trained.

        >>> remaining = RemainingTime({(0, 0): 10, (1, 0): 10, (2, 0): 30}, processes=1)
        >>> done = dict(scores=None, epochs=1, history=(), seed=0)
        >>> remaining.after(TaskResult(fold=0, reused=True, seconds=0.1, **done))
        nan
        >>> remaining.after(TaskResult(fold=1, reused=False, seconds=2.0, **done))
        6.0
        """
        rows = self._open.pop((result.fold, result.seed))
        if not result.reused:
            self._seconds += result.seconds
            self._rows += rows
        if not self._rows:
            return float("nan")
        n_parallel = max(min(self._processes, len(self._open)), 1)
        return self._seconds / self._rows * sum(self._open.values()) / n_parallel
