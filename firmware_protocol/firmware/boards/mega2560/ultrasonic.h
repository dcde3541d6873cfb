/* Four HC-SR04 distance sensors, one at a time, nothing waits for them. */
#ifndef BOARD_ULTRASONIC_H
#define BOARD_ULTRASONIC_H

#include <stdint.h>

void ultrasonic_begin(void);

/* Every 1 ms. */
void ultrasonic_tick(void);

/* Median of the last three measurements, mm; BIN_UNKNOWN_U16 when two of them had no answer. */
uint16_t ultrasonic_mm(uint8_t lid);

void ultrasonic_end(void);

#endif
