"""Transfers of many files from and to S3, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_AT_ONCE = 8


def transfer_all(
    transfers: Sequence[Callable[[], None]], progress: Callable[[int, int], None]
) -> None:
    """
    Make all transfers; after the first that fails no further one is begun, and its error is raised.

    Args:
        progress: called with the number of those that are done, and of all.
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        work = [pool.submit(transfer) for transfer in transfers]
        try:
            for done, one in enumerate(as_completed(work), start=1):
                one.result()
                progress(done, len(work))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
