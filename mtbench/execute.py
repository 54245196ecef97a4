"""Run work in parallel, in processes of one thread each, with progress and in order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import joblib
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from mtbench.errors import MtbenchError

Item = TypeVar("Item")
Product = TypeVar("Product")

# Shows the progress of a stage to the user. stage(title, total) is a context manager whose value is a function to call
# with the number of steps just finished and, if a step takes long, a short text on what it is doing.
Stage = Callable[[str, int], AbstractContextManager[Callable[..., None]]]


def in_processes(
    title: str, work: Callable[[Sequence[Item]], list[Product]], items: Sequence[Item], at_once: int, stage: Stage
) -> Iterator[Product]:
    """Apply `work` to the items and yield the products in order, as they become ready.

    Only a few products are in memory at once. at_once: the number of items passed to one call of `work`. Raises
    MtbenchError if a process was killed.
    """
    chunks = [items[i : i + at_once] for i in range(0, len(items), at_once)]
    with stage(title, len(items)) as advance, joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        workers = Parallel(n_jobs=min(joblib.cpu_count(), len(chunks)), return_as="generator", batch_size=1)
        try:
            for products in workers(delayed(work)(chunk) for chunk in chunks):
                advance(len(products))
                yield from products
        except TerminatedWorkerError:
            raise MtbenchError(f"{title}: a process was killed, perhaps because it ran out of memory") from None
