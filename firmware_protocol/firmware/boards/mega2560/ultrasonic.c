#include "ultrasonic.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>
#include <util/delay.h>

#include "bin_core.h"
#include "gpio.h"

#define STEPS_PER_US 2u /* timer 5 runs freely in steps of 0.5 us and wraps after 32 ms */
#define STEPS_PER_CM (ECHO_US_PER_CM * STEPS_PER_US)
/* TRIG to the end of an echo from ECHO_MAX_MM is at most this long. Before the timer wraps: an echo that lasts longer would
 * look short. */
#define PATIENCE_MS 26u
#define LOOKS 3u
#define TRIGGER_US 10

enum phase { SILENT, ASKED, SOUNDING, ANSWERED };

static volatile enum phase phase;
static volatile uint16_t began, ended;
static uint8_t sensor, age_ms, look;
static uint16_t found_mm[BOARD_LIDS][LOOKS];

_Static_assert(ECHO_MAX_MM / 10 * ECHO_US_PER_CM < (PATIENCE_MS - 2u) * 1000u, "the farthest echo ends before the patience");
_Static_assert(PATIENCE_MS * 1000u * STEPS_PER_US < 0xFFFFu, "the patience ends before the timer wraps");

void ultrasonic_begin(void)
{
    gpio_output(PIN_TRIG_0);
    gpio_output(PIN_TRIG_1);
    gpio_output(PIN_TRIG_2);
    gpio_output(PIN_TRIG_3);
    gpio_input_pullup(PIN_ECHO_0);
    gpio_input_pullup(PIN_ECHO_1);
    gpio_input_pullup(PIN_ECHO_2);
    gpio_input_pullup(PIN_ECHO_3);
    for (uint8_t i = 0; i < BOARD_LIDS; i++) {
        for (uint8_t j = 0; j < LOOKS; j++) {
            found_mm[i][j] = BIN_UNKNOWN_U16;
        }
    }
    TCCR5A = 0;
    TCCR5B = _BV(CS51);
    PCICR = _BV(PCIE0);
}

/* Pins TRIG_n and ECHO_n are bit n of their ports. */
static uint8_t mask(void)
{
    return (uint8_t)(1u << sensor);
}

ISR(PCINT0_vect)
{
    const uint16_t now = TCNT5;

    if (PINB & PCMSK0) { /* only the sensor whose turn it is */
        if (phase == ASKED) {
            began = now;
            phase = SOUNDING;
        }
    } else if (phase == SOUNDING) {
        ended = now;
        phase = ANSWERED;
    }
}

static void ask(void)
{
    if (GPIO_IN(PIN_ECHO_0) & mask()) {
        return; /* already high: not fitted, or still lost in its last echo */
    }
    phase = ASKED;
    PCMSK0 = mask();
    GPIO_PORT(PIN_TRIG_0) |= mask();
    _delay_us(TRIGGER_US);
    GPIO_PORT(PIN_TRIG_0) &= (uint8_t)~mask();
}

static uint16_t answer_mm(void)
{
    const uint16_t steps = (uint16_t)(ended - began);
    const uint16_t mm = (uint16_t)(steps * 10UL / STEPS_PER_CM);

    if (phase != ANSWERED || mm < ECHO_MIN_MM || mm > ECHO_MAX_MM) {
        return BIN_UNKNOWN_U16;
    }
    return mm;
}

void ultrasonic_tick(void)
{
    if (age_ms == 0) {
        ask();
    } else if (age_ms == PATIENCE_MS) {
        PCMSK0 = 0; /* from here on no interrupt writes what answer_mm reads */
        found_mm[sensor][look] = answer_mm();
        phase = SILENT;
    }
    if (++age_ms < ECHO_SLOT_MS) {
        return;
    }
    age_ms = 0;
    if (++sensor < BOARD_LIDS) {
        return;
    }
    sensor = 0;
    if (++look == LOOKS) {
        look = 0;
    }
}

/* Unknown counts as farthest: one lost echo of three changes nothing much, two make the distance unknown. */
uint16_t ultrasonic_mm(uint8_t lid)
{
    const uint16_t a = found_mm[lid][0], b = found_mm[lid][1], c = found_mm[lid][2];
    const uint16_t low = a < b ? a : b, high = a < b ? b : a;

    if (c < low) {
        return low;
    }
    return c < high ? c : high;
}

void ultrasonic_end(void)
{
    PCICR = 0;
    PCMSK0 = 0;
    TCCR5B = 0;
}
