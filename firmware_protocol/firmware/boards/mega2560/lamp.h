/* Lamp and buzzer for the person at the bin. Each pattern has its colour and, for those who do not see colours, its rhythm. */
#ifndef BOARD_LAMP_H
#define BOARD_LAMP_H

#include <stdint.h>

void lamp_begin(void);

/* A BIN_PATTERN_* for so long, 0 = until the next one. The pattern that shows already gets a new end and does not beep again. */
void lamp_show(uint8_t pattern, uint16_t duration_ms);

/* Every 1 ms. */
void lamp_tick(void);

#endif
