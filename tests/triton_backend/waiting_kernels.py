"""Kernels whose programs wait for each other, as GPU libraries write them."""

import triton
import triton.language as tl


@triton.jit
def barrier_sum(x, partial, out, count, programs, WIDTH: tl.constexpr, MOST: tl.constexpr):
    """Every program sums a row, waits for all, and sums the sums."""
    p = tl.program_id(0)
    row = tl.load(x + p * WIDTH + tl.arange(0, WIDTH))
    tl.store(partial + p, tl.sum(row, 0))
    tl.atomic_add(count, 1)
    while tl.atomic_add(count, 0) < programs:
        pass
    total = tl.zeros((), tl.float32)
    for start in range(0, programs, MOST):
        k = start + tl.arange(0, MOST)
        total += tl.sum(tl.load(partial + k, mask=k < programs, other=0.0), 0)
    tl.store(out + p, total)
    tl.store(out + programs + p, tl.sum(row, 0))


@triton.jit
def sense_reversal(values, count, sense, rounds, programs):
    """Each round, a program reads its neighbour's number of the round before; the last to arrive turns the
    sense that the others look at."""
    p = tl.program_id(0)
    mine = 0
    for r in range(rounds):
        neighbour = tl.load(values + r * programs + (p + 1) % programs)
        tl.store(values + (r + 1) * programs + p, neighbour + 1)
        mine = 1 - mine
        if tl.atomic_add(count, 1) == programs - 1:
            tl.atomic_xchg(count, 0)
            tl.atomic_xchg(sense, mine)
        else:
            while tl.load(sense, volatile=True) != mine:
                pass


@triton.jit
def spin_lock(lock, total, order, WIDTH: tl.constexpr):
    """A read, a change and a write of a tile that a lock protects."""
    p = tl.program_id(0)
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    k = tl.arange(0, WIDTH)
    taken = tl.load(total)
    tile = tl.load(total + k)
    tl.store(total + k, tile + 1)
    tl.store(order + taken, p)
    tl.atomic_xchg(lock, 0)


@triton.jit
def ticket_lock(tickets, serving, log):
    """Programs are served in the order of their tickets, and each writes its own after the one before."""
    ticket = tl.atomic_add(tickets, 1)
    while tl.atomic_add(serving, 0) != ticket:
        pass
    before = tl.load(log + ticket)
    tl.store(log + ticket + 1, before + ticket + 1)
    tl.atomic_add(serving, 1)


@triton.jit
def chain(flags, data, out, programs):
    """Each program waits for the one after it: none is ready before all have begun. What was read before
    the wait stays what it was."""
    p = tl.program_id(0)
    k = tl.arange(0, 16)
    old = tl.load(data + (p + 1) * 16 + k)
    if p < programs - 1:
        while tl.atomic_or(flags + p + 1, 0) == 0:
            pass
    new = tl.load(data + (p + 1) * 16 + k)
    tl.store(data + p * 16 + k, new + 1)
    tl.store(out + p * 16 + k, new - old)
    tl.debug_barrier()
    tl.store(flags + p, 1)


@triton.jit
def stream_k(
    a, b, c, partial, flags, K, SPLIT: tl.constexpr, M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr
):
    """The parts of a product's inner axis are summed by the program of the first part."""
    tile, part = tl.program_id(0) // SPLIT, tl.program_id(0) % SPLIT
    m, n, k = tile * M + tl.arange(0, M), tl.arange(0, N), tl.arange(0, BK)
    total = tl.zeros((M, N), tl.float32)
    for start in range(part * BK, K, SPLIT * BK):
        left = tl.load(a + m[:, None] * K + start + k[None, :])
        right = tl.load(b + (start + k)[:, None] * N + n[None, :])
        total = tl.dot(left, right, total)
    place = tl.arange(0, M)[:, None] * N + n[None, :]
    if part > 0:
        tl.store(partial + tl.program_id(0) * M * N + place, total)
        tl.debug_barrier()
        tl.atomic_xchg(flags + tl.program_id(0), 1)
    else:
        for other in range(1, SPLIT):
            while tl.atomic_cas(flags + tile * SPLIT + other, 1, 1) != 1:
                pass
            total += tl.load(partial + (tile * SPLIT + other) * M * N + place)
        tl.store(c + m[:, None] * N + n[None, :], total)


@triton.jit
def persistent(counter, out, tiles):
    """Programs take tiles from a counter until there are none: no program waits."""
    tile = tl.atomic_add(counter, 1)
    while tile < tiles:
        tl.atomic_add(out + tile, tile)
        tile = tl.atomic_add(counter, 1)


@triton.jit
def last_block(x, partial, count, out, programs, WIDTH: tl.constexpr, MOST: tl.constexpr):
    """The program that comes last adds up what all have left: no program waits."""
    p = tl.program_id(0)
    tl.store(partial + p, tl.sum(tl.load(x + p * WIDTH + tl.arange(0, WIDTH)), 0))
    if tl.atomic_add(count, 1) == programs - 1:
        k = tl.arange(0, MOST)
        tl.store(out, tl.sum(tl.load(partial + k, mask=k < programs, other=0.0), 0))


@triton.jit
def search(sorted_values, wanted, out, size):
    """A binary search: its condition comes from memory, and it ends by itself."""
    p = tl.program_id(0)
    goal = tl.load(wanted + p)
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if tl.load(sorted_values + middle) < goal:
            low = middle + 1
        else:
            high = middle
    tl.store(out + p, low)


@triton.jit
def insert(table, keys, steps, SIZE: tl.constexpr):
    """A hash table of open addressing: where a place is taken, the next one is tried."""
    p = tl.program_id(0)
    key = tl.load(keys + p)
    place = key % SIZE
    tried = 1
    seen = tl.atomic_cas(table + place, -1, key)
    while seen != -1:
        place = (place + 1) % SIZE
        tried += 1
        seen = tl.atomic_cas(table + place, -1, key)
    tl.store(steps + p, tried)


@triton.jit
def checked_barrier(count, out, bad, programs):
    """After a barrier one program's assertion fails, while another would wait for ever."""
    p = tl.program_id(0)
    tl.atomic_add(count, 1)
    while tl.atomic_add(count, 0) < programs:
        pass
    tl.device_assert(p != bad, "bad program")
    if p != bad:
        while tl.load(out, volatile=True) == 0:
            pass


@triton.jit
def printing_barrier(count, programs):
    p = tl.program_id(0)
    tl.atomic_add(count, 1)
    while tl.atomic_add(count, 0) < programs:
        pass
    tl.device_print("passed", p)


@triton.jit
def look_back(status, out):
    """A chained scan: a program walks back over the ones before it until it finds a sum that is complete."""
    p = tl.program_id(0)
    tl.atomic_xchg(status + p, tl.where(p == 0, 2, 1))
    total = 1
    at = p - 1
    while at >= 0:
        seen = tl.atomic_add(status + at, 0)
        total += tl.where(seen == 0, 0, 1)
        at = tl.where(seen == 2, -1, tl.where(seen == 1, at - 1, at))
    tl.store(out + p, total)


@triton.jit
def until_settled(state):
    """A loop over memory of the program's own."""
    p = tl.program_id(0)
    while tl.load(state + p) > 1.0:
        tl.store(state + p, tl.load(state + p) * 0.5)


@triton.jit
def run_on(out, step):
    """A loop that ends only where the step is 0, and waits for nobody."""
    p = tl.program_id(0)
    i = 0
    while i < 1:
        tl.store(out + p % 64, tl.cast(i, tl.float32))
        i += 1 - step


@triton.jit
def stuck(flag):
    """Waits for what nobody writes."""
    while tl.atomic_add(flag, 0) == 0:
        pass


@triton.jit
def many_steps(out, steps):
    p = tl.program_id(0)
    value = 0.0
    for i in range(steps):
        value = value * 0.5 + i
    tl.store(out + p % 64, value)


@triton.jit
def count_programs(counts, steps):
    p = tl.program_id(0)
    value = 0
    for i in range(steps):
        value = (value * 3 + i) % 1000
    tl.atomic_add(counts + p % 1024, 1)
    tl.store(counts + 1024 + p % 64, value)
