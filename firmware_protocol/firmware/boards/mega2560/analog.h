/* Servo currents, servo supply and the board's own supply, each the mean over one servo frame. */
#ifndef BOARD_ANALOG_H
#define BOARD_ANALOG_H

#include <stdbool.h>
#include <stdint.h>

void analog_begin(void);

/* The first means are there, about 20 ms after the start; all is unknown before. */
bool analog_ready(void);

uint16_t analog_current_ma(uint8_t lid); /* or BIN_UNKNOWN_U16 */
uint16_t analog_vservo_mv(void);
uint16_t analog_vin_mv(void);

/* 16 bits of noise from the open input; before analog_begin, blocks 27 ms. */
uint16_t analog_noise(void);

void analog_end(void);

#endif
