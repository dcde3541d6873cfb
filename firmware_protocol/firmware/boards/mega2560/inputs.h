/* Limit switches, pinch strips and mushroom switch, debounced. */
#ifndef BOARD_INPUTS_H
#define BOARD_INPUTS_H

#include <stdbool.h>
#include <stdint.h>

/* A change counts when this many looks in a row have seen it, one each tick. */
#define INPUTS_LOOKS 4u

/* Until they have been looked at INPUTS_LOOKS times: no lid on a switch, all pinched, mushroom switch pressed. */
void inputs_begin(void);

/* Every 1 ms. */
void inputs_tick(void);

/* BIN_LIMITS_CLOSED | BIN_LIMITS_OPEN of one lid. */
uint8_t inputs_limits(uint8_t lid);

/* Bit n = something is caught at lid n. */
uint8_t inputs_pinch(void);

bool inputs_stop_pressed(void);

#endif
