/* Replays launches of kernels on another chip. `batch.bin` holds memory contents and launches in order, case
   by case; the memory that a case asks for goes to `results.bin` as soon as the case is done, so that a
   program that dies has told of all cases before. Numbers are in the chip's own byte order. */
#include <stddef.h>
#include <stdint.h>

typedef void (*kernel)(
    const uint64_t *slots, int64_t first, int64_t last, int32_t x, int32_t y, int32_t z, void *arena);

#include "kernels.h"

enum { END, UPLOAD, LAUNCH, DOWNLOAD };
enum { MEMORIES = 256, SLOTS = 256, WELL = 0x600d, ASSERTED = 0xbad };

#ifdef ANYCHIP_BARE_METAL
int board_open(const char *name, int for_writing);
size_t board_transfer(int handle, void *memory, size_t bytes, int writing);
typedef int file;
#define LARGE __attribute__((section(".large")))
static file open_file(const char *name, int for_writing) { return board_open(name, for_writing); }
static int get(file from, void *memory, size_t bytes) { return !bytes || !board_transfer(from, memory, bytes, 0); }
static int put(file to, const void *memory, size_t bytes) {
    return !bytes || !board_transfer(to, (void *)memory, bytes, 1);
}
static void flush(file to) { (void)to; }
#else
#include <stdio.h>
typedef FILE *file;
#define LARGE
static file open_file(const char *name, int for_writing) { return fopen(name, for_writing ? "wb" : "rb"); }
static int get(file from, void *memory, size_t bytes) { return fread(memory, 1, bytes, from) == bytes; }
static int put(file to, const void *memory, size_t bytes) { return fwrite(memory, 1, bytes, to) == bytes; }
static void flush(file to) { fflush(to); }
#endif

static LARGE _Alignas(64) uint8_t pool[POOL_BYTES];
static LARGE _Alignas(64) uint8_t arena[ARENA_BYTES];
static uint8_t *memories[MEMORIES];

static uint32_t number(file from) {
    uint32_t value = 0;
    get(from, &value, sizeof value);
    return value;
}

/* One launch; 0, or the number of the assertion that failed. */
static int launch(file from) {
    uint64_t slots[SLOTS];
    uint32_t which = number(from);
    int32_t x = (int32_t)number(from), y = (int32_t)number(from), z = (int32_t)number(from);
    uint32_t count = number(from);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t owner = number(from);
        get(from, &slots[k], 8);
        if (owner) slots[k] += (uintptr_t)memories[owner - 1];
    }
    *(int32_t *)arena = 0;
    kernels[which](slots, 0, (int64_t)x * y * z, x, y, z, arena);
    return *(int32_t *)arena;
}

/* One case: what it asks for, then how it ended. */
static int run_case(file from, file to, uint32_t which) {
    size_t used = 0;
    uint32_t ended = WELL;
    for (;;) {
        uint32_t kind = number(from);
        if (kind == END) break;
        if (kind == LAUNCH) {
            if (launch(from)) ended = ASSERTED;
            continue;
        }
        uint32_t memory = number(from), bytes = number(from);
        if (kind == UPLOAD) {
            if (!memories[memory]) {
                memories[memory] = pool + used;
                used += (bytes + 191u) & ~63u;
                if (used > sizeof pool) return 3;
            }
            if (!get(from, memories[memory], bytes)) return 4;
        } else if (!put(to, memories[memory], bytes)) {
            return 5;
        }
    }
    for (int k = 0; k < MEMORIES; k++) memories[k] = 0;
    uint32_t mark[2] = {ended, which};
    if (!put(to, mark, sizeof mark)) return 6;
    flush(to);
    return 0;
}

int main(void) {
    file from = open_file("batch.bin", 0), to = open_file("results.bin", 1);
    uint32_t cases = number(from);
    for (uint32_t k = 0; k < cases; k++) {
        int status = run_case(from, to, k);
        if (status) return status;
    }
    return 0;
}
