#include "lamp.h"

#include <stdbool.h>
#include <avr/pgmspace.h>

#include "gpio.h"
#include "protocol.h"

#define STEP_MS 64u
#define STEPS 16u /* the lamp's rhythm is 1.02 s long and repeats; the buzzer plays its 16 steps once */
#define LAMP_BITS (GPIO_BIT(PIN_LAMP_GREEN) | GPIO_BIT(PIN_LAMP_YELLOW) | GPIO_BIT(PIN_LAMP_RED) | GPIO_BIT(PIN_BUZZER))

struct pattern {
    uint8_t colour;
    uint16_t light, sound; /* bit n = on in step n */
};

static const struct pattern patterns[] PROGMEM = {
    [BIN_PATTERN_OFF] = {0, 0, 0},
    /* steady; one short tone */
    [BIN_PATTERN_ACCEPTED] = {GPIO_BIT(PIN_LAMP_GREEN), 0xFFFF, 0x0003},
    /* half a second on, half a second off; two short tones */
    [BIN_PATTERN_UNSURE] = {GPIO_BIT(PIN_LAMP_YELLOW), 0x00FF, 0x0033},
    /* two flashes and a pause; one long tone */
    [BIN_PATTERN_FULL] = {GPIO_BIT(PIN_LAMP_RED), 0x0033, 0x0FFF},
    /* one short flash a second; silent */
    [BIN_PATTERN_WAIT] = {GPIO_BIT(PIN_LAMP_YELLOW), 0x0001, 0},
    /* quick flicker; four quick tones */
    [BIN_PATTERN_FAULT] = {GPIO_BIT(PIN_LAMP_RED), 0x5555, 0x0055},
};

static uint8_t shown, step, step_ms;
static bool first_round, ends;
static uint16_t left_ms;

static void put(void)
{
    struct pattern pattern;
    uint8_t bits = 0;

    memcpy_P(&pattern, &patterns[shown], sizeof pattern);
    if (pattern.light >> step & 1u) {
        bits |= pattern.colour;
    }
    if (first_round && (pattern.sound >> step & 1u)) {
        bits |= GPIO_BIT(PIN_BUZZER);
    }
    GPIO_PORT(PIN_LAMP_RED) = (uint8_t)((GPIO_PORT(PIN_LAMP_RED) & ~LAMP_BITS) | bits);
}

void lamp_begin(void)
{
    gpio_output(PIN_LAMP_GREEN);
    gpio_output(PIN_LAMP_YELLOW);
    gpio_output(PIN_LAMP_RED);
    gpio_output(PIN_BUZZER);
}

void lamp_show(uint8_t pattern, uint16_t duration_ms)
{
    ends = duration_ms != 0;
    left_ms = duration_ms;
    if (pattern == shown || pattern >= sizeof patterns / sizeof patterns[0]) {
        return;
    }
    shown = pattern;
    step = 0;
    step_ms = 0;
    first_round = true;
    put();
}

void lamp_tick(void)
{
    if (shown == BIN_PATTERN_OFF) {
        return;
    }
    if (ends && --left_ms == 0) {
        lamp_show(BIN_PATTERN_OFF, 0);
        return;
    }
    if (++step_ms < STEP_MS) {
        return;
    }
    step_ms = 0;
    if (++step == STEPS) {
        step = 0;
        first_round = false;
    }
    put();
}
