#include "hal.h"

#include "analog.h"
#include "inputs.h"
#include "lamp.h"
#include "servo.h"
#include "store.h"
#include "uart.h"
#include "ultrasonic.h"

static enum leaving leaving;

_Static_assert(SERVO_OFF == BIN_NO_PULSE, "one code for no signal");

enum leaving hal_leaving(void)
{
    return leaving;
}

static void set_pulse_us(void *ctx, uint8_t lid, uint16_t pulse_us)
{
    (void)ctx;
    servo_set(lid, pulse_us);
}

static uint8_t limits(void *ctx, uint8_t lid)
{
    (void)ctx;
    return inputs_limits(lid);
}

static uint16_t current_ma(void *ctx, uint8_t lid)
{
    (void)ctx;
    return analog_current_ma(lid);
}

static uint16_t fill_mm(void *ctx, uint8_t lid)
{
    (void)ctx;
    return ultrasonic_mm(lid);
}

static bool pinch(void *ctx, uint16_t *lids)
{
    (void)ctx;
    *lids = inputs_pinch();
    return true;
}

static uint16_t vin_mv(void *ctx)
{
    (void)ctx;
    return analog_vin_mv();
}

static uint16_t vservo_mv(void *ctx)
{
    (void)ctx;
    return analog_vservo_mv();
}

static int8_t temp_c(void *ctx)
{
    (void)ctx;
    return BIN_UNKNOWN_TEMP; /* this chip has no thermometer */
}

static bool stop_pressed(void *ctx)
{
    (void)ctx;
    return inputs_stop_pressed();
}

static void indicate(void *ctx, uint8_t pattern, uint16_t duration_ms)
{
    (void)ctx;
    lamp_show(pattern, duration_ms);
}

static bool load_cal(void *ctx, uint8_t lid, struct bin_cal *cal)
{
    (void)ctx;
    return store_load_cal(lid, cal);
}

static void save_cal(void *ctx, uint8_t lid, const struct bin_cal *cal)
{
    (void)ctx;
    store_save_cal(lid, cal);
}

static bool send(void *ctx, const uint8_t *data, uint8_t len)
{
    (void)ctx;
    return uart_send(data, len);
}

static void restart(void *ctx, bool bootloader)
{
    (void)ctx;
    leaving = bootloader ? BOOTLOADER : REBOOT;
}

const struct bin_hal hal = {
    .set_pulse_us = set_pulse_us,
    .limits = limits,
    .current_ma = current_ma,
    .fill_mm = fill_mm,
    .pinch = pinch,
    .vin_mv = vin_mv,
    .vservo_mv = vservo_mv,
    .temp_c = temp_c,
    .stop_pressed = stop_pressed,
    .indicate = indicate,
    .load_cal = load_cal,
    .save_cal = save_cal,
    .send = send,
    .restart = restart,
};
