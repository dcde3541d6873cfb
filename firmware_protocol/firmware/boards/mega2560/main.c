/* The controller on an Arduino Mega 2560: from its start to the loop that drives the core. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <string.h>
#include <util/atomic.h>

#include "analog.h"
#include "bin_core.h"
#include "board.h"
#include "gpio.h"
#include "hal.h"
#include "inputs.h"
#include "lamp.h"
#include "reset.h"
#include "servo.h"
#include "store.h"
#include "uart.h"
#include "ultrasonic.h"

#define TICK_STEPS 250u /* of timer 0 at 250 kHz: 1 ms */
#define SETTLE_MS 25u   /* inputs are debounced and analog means are there before the core looks at them */
#define LEAVE_MS 500u   /* for the line and the EEPROM to finish before a restart */
#define LAST_BYTES_MS 2u
#define MOUTHFUL 16u /* bytes; 11.5 come in 1 ms */

static struct bin_core core;
static struct bin_survivor survivor __attribute__((section(".noinit")));
static volatile uint32_t clock_ms;

_Static_assert(BOARD_LIDS <= BIN_LIDS_MAX, "the core has room for the lids");

ISR(TIMER0_COMPA_vect)
{
    clock_ms++;
}

static uint32_t now_ms(void)
{
    uint32_t now;

    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        now = clock_ms;
    }
    return now;
}

static struct bin_identity identity = {
    .fw_major = BIN_FW_MAJOR,
    .fw_minor = BIN_FW_MINOR,
    .fw_patch = BIN_FW_PATCH,
    .git = BIN_GIT,
    .board = BOARD_ID,
    .caps = BIN_CAPS_LIMIT_SWITCHES | BIN_CAPS_CURRENT_SENSE | BIN_CAPS_ULTRASONIC_FILL | BIN_CAPS_PINCH | BIN_CAPS_ESTOP_SENSE |
            BIN_CAPS_SUPPLY_SENSE | BIN_CAPS_INDICATOR,
    .lids = BOARD_LIDS,
};

/* Made at the very first start, from the memory's power-on pattern and the noise of an open input, and kept. */
static void find_uid(void)
{
    if (store_load_uid(identity.uid)) {
        return;
    }
    memcpy(identity.uid, reset_noise(), UID_SIZE);
    for (uint8_t i = 0; i < UID_SIZE; i += 2u) {
        const uint16_t noise = analog_noise();

        identity.uid[i] ^= (uint8_t)noise;
        identity.uid[i + 1u] ^= (uint8_t)(noise >> 8);
    }
    store_save_uid(identity.uid);
}

static void begin_clock(void)
{
    OCR0A = TICK_STEPS - 1u;
    TCCR0A = _BV(WGM01);
    TCCR0B = _BV(CS01) | _BV(CS00);
    TIMSK0 = _BV(OCIE0A);
}

/* Sleeps until the next millisecond, or until a frame has come, if they are wanted. */
static void sleep_until_due(uint32_t done_ms, bool listens)
{
    gpio_low(PIN_BUSY);
    for (;;) {
        cli(); /* between the look and the sleep nothing may slip through: sei's next instruction still runs undisturbed */
        if (clock_ms != done_ms || (listens && uart_frame_ended())) {
            break;
        }
        sleep_enable();
        sei();
        sleep_cpu();
        sleep_disable();
    }
    sei();
    gpio_high(PIN_BUSY);
}

static void tick_board(void)
{
    inputs_tick();
    analog_tick();
    servo_tick();
    ultrasonic_tick();
    lamp_tick();
    store_tick();
}

/* The board alone for a while; the core rests, and what comes in waits in the ring. */
static void run_board(uint32_t span_ms)
{
    const uint32_t began_ms = now_ms();
    uint32_t seen_ms = began_ms;

    while (seen_ms - began_ms < span_ms) {
        sleep_until_due(seen_ms, false);
        seen_ms = now_ms();
        tick_board();
        watchdog_calm();
    }
}

static void leave(void)
{
    uint32_t waited_ms = 0;

    for (uint8_t lid = 0; lid < BOARD_LIDS; lid++) {
        servo_set(lid, SERVO_OFF);
    }
    lamp_show(BIN_PATTERN_OFF, 0);
    run_board(2u * SERVO_FRAME_MS); /* pulses end as pulses */
    while ((!uart_sent_all() || !store_idle()) && waited_ms++ < LEAVE_MS) {
        run_board(1);
    }
    run_board(LAST_BYTES_MS);
    servo_end();
    if (hal_leaving() == REBOOT) {
        reset_now();
    }
    TIMSK0 = 0;
    uart_end();
    analog_end();
    ultrasonic_end();
    bootloader_now();
}

/* One mouthful: however much comes in, a tick is due in between. */
static void hear(void)
{
    uint8_t data[MOUTHFUL];
    const uint8_t len = uart_take(data, sizeof data);

    if (len > 0) {
        bin_core_receive(&core, data, len, now_ms());
    }
}

int main(void)
{
    uint32_t done_ms;

    servo_begin(); /* first of all: no signal */
    gpio_output(PIN_BUSY);
    lamp_begin();
    inputs_begin();
    find_uid();
    watchdog_begin();
    uart_begin();
    ultrasonic_begin();
    analog_begin();
    begin_clock();
    set_sleep_mode(SLEEP_MODE_IDLE);
    sei();
    run_board(SETTLE_MS);
    if (bootloader_there()) {
        identity.caps |= BIN_CAPS_BOOTLOADER;
    }
    done_ms = now_ms();
    bin_core_init(&core, &hal, &identity, &survivor, reset_cause(), done_ms);
    for (;;) {
        sleep_until_due(done_ms, true);
        hear();
        if (hal_leaving() == STAY && now_ms() != done_ms) {
            done_ms = now_ms();
            tick_board();
            bin_core_tick(&core, done_ms);
            watchdog_calm();
        }
        if (hal_leaving() != STAY) {
            leave();
        }
    }
}
