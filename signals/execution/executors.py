"""Tasks through processes, one thread each: what is in flight, what remains, and what happens when one is killed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import islice
from threading import Event

from signals.common.errors import InputError
from signals.execution.fold_tasks import Task
from signals.execution.task_result import Outcome

__all__ = ["Remaining", "run_tasks"]


def run_tasks(
    tasks: Iterable[Task], one: Callable[..., list[Outcome]], *, at_once: int, jobs: int, n_tasks: int
) -> Generator[Outcome, None, None]:
    """Do tasks, in other processes when there are several of both; outcomes come as they are done.

    Close the generator (`contextlib.closing`) when it is not read to the end, as at an interruption: that stops the
    processes at once.

    Tasks are taken when a process is about to be free, at most as many at once as there are processes, so that what
    they hold is bounded by those in flight and not by how many there are.

    Parameters
    ----------
    tasks : iterable of Task
        Made as they are taken.
    one : callable
        Does a list of tasks.
    at_once : int
        Tasks in one such list.
    jobs : int
        Processes.
    n_tasks : int
        How many tasks there are.

    Raises
    ------
    InputError
        When a process was killed. What it had finished is kept.
    """
    chunks = _chunks(tasks, at_once)
    if jobs <= 1 or n_tasks <= at_once:
        for chunk in chunks:
            yield from one(chunk)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    failures: list[Exception] = []
    stopped = Event()

    def careful() -> Iterator[list[Task]]:
        # joblib takes tasks in a thread of its own, where an error would go unseen and the run would wait for ever
        try:
            for chunk in chunks:
                if stopped.is_set():
                    return
                yield chunk
        except Exception as error:
            failures.append(error)

    # One thread a process: two processes with one thread each train more than one with two. One task more than there
    # are processes is ready, so that none waits for its data.
    parallel = Parallel(
        n_jobs=min(jobs, -(-n_tasks // at_once)),
        return_as="generator_unordered",
        pre_dispatch="n_jobs + 1",
        batch_size=1,
        max_nbytes=None,  # arrays laid out in shared memory would stay there until the last task is done
    )
    finished = parallel(delayed(one)(chunk, single_thread=True) for chunk in careful())
    try:
        with warnings.catch_warnings():
            # loky replaces a process that holds 300 MB more than after its first task, which here is a larger fold and
            # no leak: nothing is lost but the seconds of a start. (What a fit leaves behind is bounded by a test.)
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
            for outcomes in finished:
                yield from outcomes
    except TerminatedWorkerError as error:
        raise InputError(
            "expected every training process to finish; found one killed, most often for want of memory; "
            "run again with fewer --jobs (finished networks are kept)"
        ) from error
    finally:
        # when the run is interrupted, no task is begun any more, and joblib's remarks on that are of no use
        stopped.set()
        logging.getLogger("concurrent.futures").addFilter(_unless_shut_down)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            finished.close()
    if failures:
        raise failures[0]


def _unless_shut_down(record: logging.LogRecord) -> bool:
    """Leave out of the log that a task could not be given to processes that are being stopped."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ShutdownExecutorError"


def _chunks(tasks: Iterable[Task], size: int) -> Iterator[list[Task]]:
    iterator = iter(tasks)
    while chunk := list(islice(iterator, size)):
        yield chunk


class Remaining:
    """How long the rest takes, judged by the networks that were trained so far.

    Networks that are there already take next to no time and say nothing about those that are not; a fold with twice
    the rows takes twice as long.

    Parameters
    ----------
    rows : mapping of (fold, seed) to int
        Training rows of every task.
    processes : int
        How many work at the same time.
    """

    def __init__(self, rows: Mapping[tuple[int, int], int], processes: int) -> None:
        self._open = dict(rows)
        self._processes = processes
        self._seconds = 0.0
        self._rows = 0

    def after(self, outcome: Outcome) -> float:
        """Seconds that remain after one more is done; NaN as long as none was trained.

        >>> remaining = Remaining({(0, 0): 10, (1, 0): 10, (2, 0): 30}, processes=1)
        >>> done = dict(scores=None, epochs=1, history=(), seed=0)
        >>> remaining.after(Outcome(fold=0, reused=True, seconds=0.1, **done))
        nan
        >>> remaining.after(Outcome(fold=1, reused=False, seconds=2.0, **done))
        6.0
        """
        rows = self._open.pop((outcome.fold, outcome.seed))
        if not outcome.reused:
            self._seconds += outcome.seconds
            self._rows += rows
        if not self._rows:
            return float("nan")
        at_work = max(min(self._processes, len(self._open)), 1)
        return self._seconds / self._rows * sum(self._open.values()) / at_work
