/* The serial line to the host: UART 0, 115200 8N1, interrupts and two rings. */
#ifndef BOARD_UART_H
#define BOARD_UART_H

#include <stdbool.h>
#include <stdint.h>

#define UART_BAUD 115200UL

void uart_begin(void);

/* All of `data`, or none of it (false) when there is no room: half a frame would only cost the line's time. */
bool uart_send(const uint8_t *data, uint8_t len);

/* Takes what has come, at most `room` bytes; returns how many. */
uint8_t uart_take(uint8_t *data, uint8_t room);

/* Since the last uart_take a frame's delimiter has come: worth waking for. Single bytes can wait for the next tick. */
bool uart_frame_ended(void);

/* Nothing waits in the ring any more; the last two bytes may still be on their way (0.2 ms). */
bool uart_sent_all(void);

void uart_end(void);

#endif
