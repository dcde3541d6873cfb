#include "reset.h"

#include <avr/boot.h>
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/wdt.h>
#include <util/atomic.h>
#include <util/crc16.h>

#include "protocol.h"
#include "store.h"

#define NOINIT __attribute__((section(".noinit")))
#define BOOT_SECTION 0x3E000UL /* bytes; fuses BOOTSZ = 00: the last 8 kB, as every Arduino Mega has them */
#define BOOT_FUSES 0x07u /* BOOTRST and BOOTSZ of the high fuse; 0 = programmed */
#define WARM 0x57A9B00Ful
#define WARM_REBOOT 0x57A9B001ul
#define PAINT 0xC5u
#define CANARY 16u /* bytes above the data that the stack must not reach */

extern uint8_t __heap_start[]; /* the linker's: where the data end */

static uint8_t flags NOINIT;
static uint8_t noise[UID_SIZE] NOINIT;
static uint32_t warmth NOINIT; /* WARM: this memory has been ours before */

/* Memory holds each chip's own pattern after a power-on. Read while no C code has written it. */
static void __attribute__((noinline, used)) start_early(void)
{
    uint8_t *const top = (uint8_t *)SP - 32;
    uint16_t crc = 0xFFFF;

    flags = MCUSR;
    MCUSR = 0; /* or the watchdog could not be switched off */
    wdt_disable(); /* after its reset it goes on at 16 ms: sooner than main() */
    for (uint8_t i = 0; i < UID_SIZE; i += 2u) {
        for (const uint8_t *p = __heap_start + i / 2u; p < top; p += 3) {
            crc = _crc_ccitt_update(crc, *p);
        }
        noise[i] = (uint8_t)crc;
        noise[i + 1u] = (uint8_t)(crc >> 8);
    }
    for (uint8_t *p = __heap_start; p < top; p++) {
        *p = PAINT; /* what is still painted later the stack never touched */
    }
}

void reset_early(void) __attribute__((naked, used, section(".init3")));
void reset_early(void)
{
    start_early(); /* the stack and the zero register are set up before .init3 */
}

/* An interrupt that nobody asked for: avr-libc would begin the program anew with the chip as it stands. The watchdog does it
 * cleanly. */
ISR(BADISR_vect)
{
    for (;;) {
    }
}

/* A bootloader may have cleared the flags (stk500v2 does; optiboot hands them on in r2, which others leave as it was, so that it
 * cannot be trusted). Then the memory decides: what has survived was no power-on. */
uint8_t reset_cause(void)
{
    const uint32_t was = warmth;

    warmth = WARM;
    if (flags & _BV(PORF)) {
        return BIN_RESET_CAUSE_POWER_ON;
    }
    if (flags & _BV(WDRF)) {
        return BIN_RESET_CAUSE_WATCHDOG;
    }
    if (flags & _BV(BORF)) {
        return BIN_RESET_CAUSE_BROWN_OUT;
    }
    if (flags & (_BV(EXTRF) | _BV(JTRF))) {
        return BIN_RESET_CAUSE_EXTERNAL;
    }
    if (was == WARM_REBOOT) {
        return BIN_RESET_CAUSE_WATCHDOG;
    }
    return was == WARM ? BIN_RESET_CAUSE_EXTERNAL : BIN_RESET_CAUSE_POWER_ON;
}

const uint8_t *reset_noise(void)
{
    return noise;
}

void watchdog_begin(void)
{
    wdt_enable(WDTO_250MS);
}

void watchdog_calm(void)
{
    for (uint8_t i = 0; i < CANARY; i++) {
        if (__heap_start[i] != PAINT) {
            return;
        }
    }
    wdt_reset();
}

/* Arduinos lock their boot section against reading, but there the fuse says that a reset begins in it. */
bool bootloader_there(void)
{
    uint8_t fuses;

    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        fuses = boot_lock_fuse_bits_get(GET_HIGH_FUSE_BITS);
    }
    return (fuses & BOOT_FUSES) == 0 || pgm_read_word_far(BOOT_SECTION) != 0xFFFFu;
}

void reset_now(void)
{
    cli();
    warmth = WARM_REBOOT;
    wdt_enable(WDTO_15MS);
    for (;;) {
    }
}

void bootloader_now(void)
{
    cli();
    wdt_disable();
    __asm__ __volatile__("jmp %0" ::"i"(BOOT_SECTION));
    __builtin_unreachable();
}
