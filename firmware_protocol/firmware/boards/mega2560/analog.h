/* Servo currents, servo supply and the board's own supply, each the mean over one servo frame. */
#ifndef BOARD_ANALOG_H
#define BOARD_ANALOG_H

#include <stdint.h>

void analog_begin(void);

/* Every tick. */
void analog_tick(void);

/* BIN_UNKNOWN_U16 until the first mean, 20 ms after the start, and whenever the sensor says what no whole one says. */
uint16_t analog_current_ma(uint8_t lid);
uint16_t analog_vservo_mv(void);
uint16_t analog_vin_mv(void);

/* 16 bits of noise from the open input; before analog_begin, blocks 27 ms. */
uint16_t analog_noise(void);

void analog_end(void);

#endif
