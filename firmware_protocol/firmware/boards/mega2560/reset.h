/* Why the board started, and the ways to start it again. */
#ifndef BOARD_RESET_H
#define BOARD_RESET_H

#include <stdbool.h>
#include <stdint.h>

/* A BIN_RESET_CAUSE_* value. Call once. */
uint8_t reset_cause(void);

/* 48 bits that differ from board to board and were taken from the memory as the start found it. */
const uint8_t *reset_noise(void);

/* Resets 250 ms after the last watchdog_calm(). */
void watchdog_begin(void);

/* The main loop lives. Does nothing once the stack has run into the data: then a reset is the only way out. */
void watchdog_calm(void);

/* There is something in the boot section. */
bool bootloader_there(void);

/* By the watchdog, within 16 ms. */
void reset_now(void) __attribute__((noreturn));

/* Jumps to the boot section. Every interrupt source must be off. */
void bootloader_now(void) __attribute__((noreturn));

#endif
