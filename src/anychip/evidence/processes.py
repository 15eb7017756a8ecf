"""Many proofs over several processes, resumable. Flows in: subjects with dtypes, a file that
keeps what is done. Flows out: proofs, in the order in which they end; a process that dies or takes too
long becomes a failed proof of its subject, and another process goes on."""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .outcome import Proof
from .proof import dtypes_of, prove

logger = logging.getLogger(__name__)

SECONDS = 600.0
"""Time that one subject may take in one dtype."""


class Task(NamedTuple):
    """One subject in one dtype ("float32")."""

    subject: str
    dtype: str


def tasks(subjects: Sequence[str], dtypes: Sequence[str] = ()) -> list[Task]:
    """Every subject in every one of its dtypes, or in those of `dtypes`; dtype by dtype, so that what is
    compiled for one subject serves the next."""
    found = [
        Task(subject, str(dtype).removeprefix("torch."))
        for subject in subjects
        for dtype in dtypes_of(subject)
    ]
    chosen = [task for task in found if not dtypes or task.dtype in dtypes]
    order = {name: k for k, name in enumerate(dict.fromkeys(task.dtype for task in chosen))}
    return sorted(chosen, key=lambda task: order[task.dtype])


class ProofFile:
    """The file in which proofs are kept: a line of terms (the versions at work), and a line for each proof.
    The last line of a task counts. A file of other terms is begun anew."""

    def __init__(self, file: Path, terms: dict[str, Any]):
        self.file = file
        self.proofs: dict[Task, Proof] = {}
        if file.exists():
            lines = file.read_text().splitlines()
            if lines and json.loads(lines[0]) == terms:
                for line in lines[1:]:
                    proof = Proof.from_json(json.loads(line))
                    self.proofs[Task(proof.subject, proof.dtype)] = proof
                return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(terms) + "\n")

    def add(self, proof: Proof) -> None:
        """Keep a proof."""
        self.proofs[Task(proof.subject, proof.dtype)] = proof
        with self.file.open("a") as stream:
            stream.write(json.dumps(proof.to_json()) + "\n")


@dataclass(slots=True)
class _Worker:
    process: Any
    connection: Connection
    task: Task | None = None
    started: float = 0.0


def run(
    wanted: Sequence[Task],
    *,
    limit: int | None,
    jobs: int,
    budget: float | None = None,
    seconds: float = SECONDS,
) -> Iterator[Proof]:
    """Prove every task over `jobs` processes of one thread each. A proof begins no trial after `budget`
    seconds of processor time, and is given up after `seconds`."""
    context = multiprocessing.get_context("spawn")
    queue = list(reversed(wanted))
    workers: list[_Worker] = []

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, limit, budget), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def give(worker: _Worker) -> bool:
        if not queue:
            return False
        worker.task, worker.started = queue.pop(), time.monotonic()
        worker.connection.send(tuple(worker.task))
        return True

    try:
        workers = [start() for _ in range(min(jobs, len(queue)))]
        for worker in workers:
            give(worker)
        while workers:
            ready = wait([worker.connection for worker in workers], timeout=1.0)
            for worker in list(workers):
                late = time.monotonic() - worker.started > seconds
                if worker.connection not in ready and not late:
                    continue
                proof = _received(worker, late and worker.connection not in ready, seconds)
                yield proof
                if late or not worker.process.is_alive():
                    _end(worker)
                    workers.remove(worker)
                    if not queue:
                        continue
                    worker = start()
                    workers.append(worker)
                if not give(worker):
                    _end(worker)
                    workers.remove(worker)
    finally:
        for worker in workers:
            _end(worker)


def _received(worker: _Worker, late: bool, seconds: float) -> Proof:
    """What a worker has sent, or why it has not."""
    assert worker.task is not None
    task = worker.task
    if late:
        return Proof(task.subject, task.dtype, died=f"it took longer than {seconds:.0f} s", seconds=seconds)
    try:
        return Proof.from_json(worker.connection.recv())
    except EOFError:
        worker.process.join(10)
        code = worker.process.exitcode
        logger.warning("the process that ran %s in %s ended with %s", task.subject, task.dtype, code)
        return Proof(task.subject, task.dtype, died=f"the process ended with status {code}")


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.join(0.2)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _serve(connection: Connection, limit: int | None, budget: float | None) -> None:
    """A worker: takes tasks until its parent closes the pipe. An interruption is for the parent, which ends
    its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    while True:
        try:
            subject, dtype = connection.recv()
        except EOFError:
            return
        try:
            proof = prove(subject, getattr(torch, dtype), limit, seconds=budget)
        except Exception as error:
            logger.exception("the trials of %s in %s could not be made", subject, dtype)
            proof = Proof(subject, dtype, died=f"its trials could not be made: {error!r:.200}")
        connection.send(proof.to_json())
