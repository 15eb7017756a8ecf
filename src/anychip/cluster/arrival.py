"""How the ranks of one start of a job find each other, and not those of the start before. Flows in: the
job's store. Flows out: a name for this start, equal on all its ranks, under which all they tell is kept.

torchrun's agent holds one store through all restarts (`--max-restarts`), so that a rank that comes before
the others reads the addresses of dead ones. Counting restarts does not help: agents of several hosts count
their own. So rank 0 calls each rank by a name that this rank's process has drawn, which only that process
answers."""

from __future__ import annotations

import secrets
import time

from torch._C._distributed_c10d import Store

from .errors import ClusterError

LOOK = 0.5
"""Seconds after which rank 0 looks whether a rank that does not answer has come under another name."""
PAUSE = 0.01
"""Seconds between two looks at the store."""


def start_of(store: Store, rank: int, size: int, seconds: float) -> str:
    """The name of this start, drawn by rank 0. Raises ClusterError where a rank does not come within
    `seconds`."""
    own = secrets.token_hex(8)
    limit = time.monotonic() + seconds
    if rank:
        store.set(f"came/{rank}", own)
        _require(store, f"called/{own}", limit, "rank 0 did not call this rank")
        name = store.get(f"called/{own}").decode()
        store.set(f"answered/{name}/{rank}", own)
        return name
    for other in range(1, size):
        _call(store, other, own, limit)
    return own


def _call(store: Store, rank: int, name: str, limit: float) -> None:
    """Call a rank by the name that it last came under, until it answers."""
    _require(store, f"came/{rank}", limit, f"rank {rank} did not come")
    while True:
        store.set(f"called/{store.get(f'came/{rank}').decode()}", name)
        if _is_there(store, f"answered/{name}/{rank}", time.monotonic() + LOOK):
            return
        if time.monotonic() > limit:
            raise _late(f"rank {rank} came and did not answer")


def _is_there(store: Store, key: str, limit: float) -> bool:
    while not store.check([key]):
        if time.monotonic() > limit:
            return False
        time.sleep(PAUSE)
    return True


def _require(store: Store, key: str, limit: float, otherwise: str) -> None:
    if not _is_there(store, key, limit):
        raise _late(otherwise)


def _late(what: str) -> ClusterError:
    return ClusterError(
        f"the job did not begin: {what} within the time-out.",
        "Its process is gone or was not started: see its log. Longer: init_process_group(timeout=...).",
    )
