/* What the board remembers without power: one calibration a lid and its own id, in EEPROM. */
#ifndef BOARD_STORE_H
#define BOARD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "bin_core.h"

#define UID_SIZE 6u

/* The newest whole record of a lid; false: none. A value that store_save_cal has just been given counts, written or not. */
bool store_load_cal(uint8_t lid, struct bin_cal *cal);

/* Notes the values; store_tick writes them, 40 ms a lid. */
void store_save_cal(uint8_t lid, const struct bin_cal *cal);

/* Every 1 ms: starts at most one byte's writing (3.4 ms) and never waits. */
void store_tick(void);

/* Nothing is left to write. */
bool store_idle(void);

/* False: none yet, or damaged. */
bool store_load_uid(uint8_t uid[UID_SIZE]);

/* Blocks 30 ms: at the very first start only. */
void store_save_uid(const uint8_t uid[UID_SIZE]);

#endif
