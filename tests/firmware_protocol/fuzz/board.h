/* The board under a fuzzed core: its sensors say what they were told, its actuators are noted. scripted.c, storm.c and flips.c share it. */
#ifndef FUZZ_BOARD_H
#define FUZZ_BOARD_H

#include <string.h>

#include "bin_core.h"

#define LOG_MAX 65536u

struct log {
    size_t len;
    uint8_t data[LOG_MAX];
};

struct board {
    struct bin_core core;
    struct bin_hal hal;
    struct bin_identity identity;
    struct bin_survivor survivor;
    uint32_t now_ms;
    /* sensors */
    uint8_t limits[BIN_LIDS_MAX];
    uint16_t current_ma[BIN_LIDS_MAX], fill_mm[BIN_LIDS_MAX];
    bool pinch_known, pressed;
    bool line_full; /* send() has no room */
    uint16_t pinch, vin_mv, vservo_mv;
    int8_t temp_c;
    bool stored[BIN_LIDS_MAX];
    struct bin_cal eeprom[BIN_LIDS_MAX];
    /* actuators */
    uint16_t pulse_us[BIN_LIDS_MAX];
    struct log sent, changes, calls, motions;
};

static inline void note(struct log *log, const void *data, size_t len)
{
    if (log->len + len > LOG_MAX)
        __builtin_trap(); /* nothing may fill 64 kB between two looks */
    memcpy(log->data + log->len, data, len);
    log->len += len;
}

static inline void note_u8(struct log *log, unsigned value)
{
    note(log, &(uint8_t){ (uint8_t)value }, 1);
}

static inline void note_u16(struct log *log, unsigned value)
{
    note_u8(log, value & 0xFFu);
    note_u8(log, value >> 8);
}

static void board_set_pulse(void *ctx, uint8_t lid, uint16_t pulse_us)
{
    struct board *board = ctx;
    if (lid >= board->identity.lids)
        __builtin_trap();
    if (board->pulse_us[lid] == pulse_us)
        return;
    board->pulse_us[lid] = pulse_us;
    note_u8(&board->changes, lid);
    note_u16(&board->changes, pulse_us);
}

static uint8_t board_limits(void *ctx, uint8_t lid) { return ((struct board *)ctx)->limits[lid]; }
static uint16_t board_current(void *ctx, uint8_t lid) { return ((struct board *)ctx)->current_ma[lid]; }
static uint16_t board_fill(void *ctx, uint8_t lid) { return ((struct board *)ctx)->fill_mm[lid]; }
static uint16_t board_vin(void *ctx) { return ((struct board *)ctx)->vin_mv; }
static uint16_t board_vservo(void *ctx) { return ((struct board *)ctx)->vservo_mv; }
static int8_t board_temp(void *ctx) { return ((struct board *)ctx)->temp_c; }
static bool board_pressed(void *ctx) { return ((struct board *)ctx)->pressed; }

static bool board_pinch(void *ctx, uint16_t *lids)
{
    const struct board *board = ctx;
    *lids = board->pinch_known ? board->pinch : 0xFFFFu; /* what is not known must not be used */
    return board->pinch_known;
}

static void board_indicate(void *ctx, uint8_t pattern, uint16_t duration_ms)
{
    struct board *board = ctx;
    note_u8(&board->calls, 'i');
    note_u8(&board->calls, pattern);
    note_u16(&board->calls, duration_ms);
}

static bool board_load_cal(void *ctx, uint8_t lid, struct bin_cal *cal)
{
    const struct board *board = ctx;
    if (board->stored[lid])
        *cal = board->eeprom[lid];
    else
        memset(cal, 0x5A, sizeof *cal); /* noise: must not be used */
    return board->stored[lid];
}

static void board_save_cal(void *ctx, uint8_t lid, const struct bin_cal *cal)
{
    struct board *board = ctx;
    board->stored[lid] = true;
    board->eeprom[lid] = *cal;
    note_u8(&board->calls, 's');
    note_u8(&board->calls, lid);
    note_u16(&board->calls, cal->open_us);
    note_u16(&board->calls, cal->closed_us);
    note_u8(&board->calls, cal->speed_us_per_20ms);
    note_u16(&board->calls, cal->jam_ma);
}

static bool board_send(void *ctx, const uint8_t *data, uint8_t len)
{
    struct board *board = ctx;
    if (!board->line_full)
        note(&board->sent, data, len);
    return !board->line_full;
}

static void board_restart(void *ctx, bool bootloader)
{
    struct board *board = ctx;
    note_u8(&board->calls, 'r');
    note_u8(&board->calls, bootloader);
}

static void board_on_motion(void *ctx, uint8_t lid, enum bin_motion motion, uint32_t action_id)
{
    struct board *board = ctx;
    note_u8(&board->motions, lid);
    note_u8(&board->motions, motion);
    note_u16(&board->motions, action_id & 0xFFFFu);
    note_u16(&board->motions, action_id >> 16);
}

/* Sensors as in the Python twin: shut lids, 200 mA, 5 V, nothing caught. */
static inline void board_fresh(struct board *board, uint8_t lids, uint32_t caps, uint32_t now_ms)
{
    memset(board, 0xA5, sizeof *board); /* memory at power-on holds noise, the survivor's too */
    board->hal = (struct bin_hal){
        board, board_set_pulse, board_limits, board_current, board_fill, board_pinch, board_vin, board_vservo, board_temp,
        board_pressed, board_indicate, board_load_cal, board_save_cal, board_send, board_restart, board_on_motion,
    };
    board->identity = (struct bin_identity){
        BIN_FW_MAJOR, BIN_FW_MINOR, BIN_FW_PATCH, 0, 0, { 1, 2, 3, 4, 5, 6 }, caps, lids,
    };
    board->now_ms = now_ms;
    for (uint8_t lid = 0; lid < BIN_LIDS_MAX; lid++) {
        board->limits[lid] = BIN_LIMITS_CLOSED;
        board->current_ma[lid] = 200;
        board->fill_mm[lid] = BIN_UNKNOWN_U16;
        board->pulse_us[lid] = BIN_NO_PULSE;
        board->stored[lid] = false;
    }
    board->pinch_known = true;
    board->pressed = board->line_full = false;
    board->pinch = 0;
    board->vin_mv = board->vservo_mv = 5000;
    board->temp_c = BIN_UNKNOWN_TEMP;
    board->sent.len = board->changes.len = board->calls.len = board->motions.len = 0;
}

static inline void board_start(struct board *board, uint8_t cause)
{
    memset(&board->core, 0xA5, sizeof board->core); /* a reset leaves no known value in RAM */
    bin_core_init(&board->core, &board->hal, &board->identity, &board->survivor, cause, board->now_ms);
}

static inline uint32_t get_le(const uint8_t *data, unsigned len)
{
    uint32_t value = 0;
    for (unsigned n = 0; n < len; n++)
        value |= (uint32_t)data[n] << (8 * n);
    return value;
}

#endif
