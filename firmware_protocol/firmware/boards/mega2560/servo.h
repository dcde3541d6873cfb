/* Four servo signals made by the timers alone: 20 ms frames, steps of 0.5 us, no jitter. */
#ifndef BOARD_SERVO_H
#define BOARD_SERVO_H

#include <stdint.h>

#define SERVO_OFF 0xFFFFu
#define SERVO_FRAME_MS 20u

/* All pins low, no signal. */
void servo_begin(void);

/* From the next frame on: pulses of this length (500..2500 us, else clamped), or SERVO_OFF. A pulse that has begun is
 * finished. */
void servo_set(uint8_t lid, uint16_t pulse_us);

/* Every tick. */
void servo_tick(void);

/* Pins low at once; before a jump or a reset. */
void servo_end(void);

#endif
