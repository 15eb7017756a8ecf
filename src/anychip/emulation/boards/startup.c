/* Start of a program on a Cortex-M board, and its way to the host: semihosting calls (Arm, Semihosting for
   AArch32 and AArch64). Units for floating point and vectors are switched on before main runs. */
#include <stddef.h>
#include <stdint.h>

extern uint32_t board_stack_top, board_data_start, board_data_end, board_data_image, board_bss_start,
    board_bss_end;
int main(void);
void board_reset(void);
void board_fault(void);

static int semihosting(int operation, const void *block) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_write(const char *text) { semihosting(0x04, text); }

void board_exit(int status) {
    semihosting(0x18, (const void *)(status ? 0x20023 : 0x20026));
    for (;;) {
    }
}

int board_open(const char *name, int for_writing) {
    size_t length = 0;
    while (name[length]) length++;
    const uintptr_t block[3] = {(uintptr_t)name, for_writing ? 5 : 1, length};
    return semihosting(0x01, block);
}

/* Returns the bytes that were not read or written. */
size_t board_transfer(int handle, void *memory, size_t bytes, int writing) {
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)memory, bytes};
    return (size_t)semihosting(writing ? 0x05 : 0x06, block);
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void)) & board_stack_top, board_reset, board_fault, board_fault,
    board_fault, board_fault, board_fault, board_fault, 0, 0, 0, board_fault, board_fault, 0, board_fault,
    board_fault,
};

void board_fault(void) {
    board_write("the processor faulted\n");
    board_exit(1);
}

__attribute__((noinline)) static void run(void) { board_exit(main()); }

void board_reset(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: coprocessors 10 and 11 */
    __asm__ volatile("dsb\n isb");
    volatile uint32_t *from = &board_data_image;
    for (volatile uint32_t *to = &board_data_start; to < &board_data_end;) *to++ = *from++;
    for (volatile uint32_t *to = &board_bss_start; to < &board_bss_end;) *to++ = 0;
    run();
}

void *memcpy(void *to, const void *from, size_t bytes) {
    for (size_t k = 0; k < bytes; k++) ((volatile uint8_t *)to)[k] = ((const uint8_t *)from)[k];
    return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
    if (to <= from) return memcpy(to, from, bytes);
    while (bytes--) ((volatile uint8_t *)to)[bytes] = ((const uint8_t *)from)[bytes];
    return to;
}

void *memset(void *to, int byte, size_t bytes) {
    for (size_t k = 0; k < bytes; k++) ((volatile uint8_t *)to)[k] = (uint8_t)byte;
    return to;
}
