/* Timers 3 and 4 in fast PWM mode 14 count 0.5 us steps up to ICR = 20 ms. The output is inverted: high from the compare match to
 * the frame's end. So the pulse is the frame's last part, a compare value beyond the top means "never high", and since the
 * timer takes a new value over only at the frame's border, no signal is ever cut or begun in the middle of a pulse. */
#include "servo.h"

#include <avr/io.h>
#include <stdbool.h>
#include <util/atomic.h>

#include "gpio.h"
#include "protocol.h"

#define STEPS_PER_US 2u
#define TOP (SERVO_FRAME_MS * 1000u * STEPS_PER_US - 1u)
#define NEVER 0xFFFFu
#define QUIET_UNTIL (TOP - (BIN_PULSE_MAX_US + 100u) * STEPS_PER_US)

static volatile uint16_t *const compares[BOARD_LIDS] = {&OCR3A, &OCR4A, &OCR4B, &OCR4C};
static uint16_t wanted[BOARD_LIDS];
static uint8_t changed; /* bit n = lid n's value is not in its timer yet */

static void silence(void)
{
    for (uint8_t lid = 0; lid < BOARD_LIDS; lid++) {
        *compares[lid] = NEVER;
    }
}

void servo_begin(void)
{
    gpio_output(PIN_SERVO_0);
    gpio_output(PIN_SERVO_1);
    gpio_output(PIN_SERVO_2);
    gpio_output(PIN_SERVO_3);
    silence(); /* in normal mode a compare value is taken over at once ... */
    ICR3 = TOP;
    ICR4 = TOP;
    TCCR3A = _BV(WGM31);
    TCCR4A = _BV(WGM41);
    TCCR3B = _BV(WGM33) | _BV(WGM32);
    TCCR4B = _BV(WGM43) | _BV(WGM42);
    silence(); /* ... and in this one it waits in the buffer for the first frame's border: neither may hold the 0 of a reset */
    TCCR3A |= _BV(COM3A1) | _BV(COM3A0);
    TCCR4A |= _BV(COM4A1) | _BV(COM4A0) | _BV(COM4B1) | _BV(COM4B0) | _BV(COM4C1) | _BV(COM4C0);
    TCCR3B |= _BV(CS31);
    TCCR4B |= _BV(CS41);
}

static uint16_t compare_of(uint16_t pulse_us)
{
    if (pulse_us == SERVO_OFF) {
        return NEVER;
    }
    if (pulse_us < BIN_PULSE_MIN_US) {
        pulse_us = BIN_PULSE_MIN_US;
    }
    if (pulse_us > BIN_PULSE_MAX_US) {
        pulse_us = BIN_PULSE_MAX_US;
    }
    return TOP - pulse_us * STEPS_PER_US;
}

void servo_set(uint8_t lid, uint16_t pulse_us)
{
    wanted[lid] = compare_of(pulse_us);
    changed |= (uint8_t)(1u << lid);
    servo_tick();
}

/* The chip buffers compare values; emulators take them over at once. Written outside of the pulses, both do the same. */
void servo_tick(void)
{
    if (!changed || TCNT3 >= QUIET_UNTIL || TCNT4 >= QUIET_UNTIL) {
        return;
    }
    for (uint8_t lid = 0; lid < BOARD_LIDS; lid++) {
        if (changed & (1u << lid)) {
            *compares[lid] = wanted[lid];
        }
    }
    changed = 0;
}

void servo_end(void)
{
    TCCR3A = 0; /* hands the pins back to their ports, which are low */
    TCCR4A = 0;
    TCCR3B = 0;
    TCCR4B = 0;
}
