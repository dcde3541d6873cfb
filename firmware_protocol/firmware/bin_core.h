/* The lid controller's core: plain C99, no malloc, no globals, no floats. One context, one HAL, polled.
 *
 * The twin of lid_core.py and reference.py; SPEC.md rules. The board owns a struct bin_core, hands bytes from the line to
 * bin_core_receive() and calls bin_core_tick() every 1 to 20 ms. Both must be called from the same thread (never from an interrupt).
 * Times are unsigned milliseconds that may wrap. Lids count from 0.
 */
#ifndef BIN_CORE_H
#define BIN_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "protocol.h"

#ifndef BIN_LIDS_MAX
#define BIN_LIDS_MAX 16 /* a board may build with fewer, to save RAM */
#endif

#define BIN_NO_PULSE 0xFFFFu /* no servo signal: detached */
#define BIN_UNKNOWN_U8 0xFFu /* limits(): the board cannot tell */
#define BIN_UNKNOWN_U16 0xFFFFu /* current_ma(), fill_mm(), vin_mv(), vservo_mv(): the board cannot measure it. Never report 0 instead. */
#define BIN_UNKNOWN_TEMP (-128)

struct bin_cal {
    uint16_t open_us;
    uint16_t closed_us;
    uint8_t speed_us_per_20ms;
    uint16_t jam_ma; /* 0 = not watched */
};

enum bin_motion { BIN_MOTION_OPENING, BIN_MOTION_OPEN, BIN_MOTION_CLOSING, BIN_MOTION_CLOSED, BIN_MOTION_REVERSED };

/* What the core needs of its board. Every function but on_motion must be there; none may block longer than 0.1 ms
 * (save_cal: it may only note the values and write them to the EEPROM later, byte by byte; restart: see there). */
struct bin_hal {
    void *ctx;
    void (*set_pulse_us)(void *ctx, uint8_t lid, uint16_t pulse_us); /* every 20 ms; BIN_NO_PULSE = no signal */
    uint8_t (*limits)(void *ctx, uint8_t lid);      /* BIN_LIMITS_CLOSED | BIN_LIMITS_OPEN, or BIN_UNKNOWN_U8 */
    uint16_t (*current_ma)(void *ctx, uint8_t lid);
    uint16_t (*fill_mm)(void *ctx, uint8_t lid);
    bool (*pinch)(void *ctx, uint16_t *lids);       /* bit n = something is caught at lid n; false = the board cannot tell */
    uint16_t (*vin_mv)(void *ctx);
    uint16_t (*vservo_mv)(void *ctx);
    int8_t (*temp_c)(void *ctx);
    bool (*stop_pressed)(void *ctx);                /* the mushroom switch; it has cut the servo power by itself */
    void (*indicate)(void *ctx, uint8_t pattern, uint16_t duration_ms);
    bool (*load_cal)(void *ctx, uint8_t lid, struct bin_cal *cal); /* false: none stored, or damaged */
    void (*save_cal)(void *ctx, uint8_t lid, const struct bin_cal *cal);
    bool (*send)(void *ctx, const uint8_t *data, uint8_t len); /* the whole frame or none of it (false: no room, it is lost) */
    void (*restart)(void *ctx, bool bootloader);    /* the answer has been given to send(): let it out, then reset. May return. */
    void (*on_motion)(void *ctx, uint8_t lid, enum bin_motion motion, uint32_t action_id); /* may be NULL; for tests */
};

/* Who we are; told in HELLO_ACK and BOOT. */
struct bin_identity {
    uint8_t fw_major, fw_minor, fw_patch;
    uint32_t git; /* first 32 bits of the source commit */
    uint8_t board; /* 0 simulated, 1 mega2560 */
    uint8_t uid[6];
    uint32_t caps; /* BIN_CAPS_* */
    uint8_t lids; /* 1..BIN_LIDS_MAX */
};

/* Action ids whose motion began, oldest first. Lives in memory that a reset spares (.noinit), under its own CRC. */
struct bin_survivor {
    uint32_t actions[BIN_ACTION_RING];
    uint8_t count;
    uint16_t crc;
};

/* To be completed by the core's owner below this line: struct bin_lid, struct bin_core (all state; nothing outside it). */
struct bin_core;

/* Starts as after `cause` (a BIN_RESET_CAUSE_* value). `hal`, `identity` and `survivor` must outlive the core. Sends BOOT; every lid is
 * detached, and those not on their closed switch are homed by later ticks. */
void bin_core_init(struct bin_core *core, const struct bin_hal *hal, const struct bin_identity *identity,
                   struct bin_survivor *survivor, uint8_t cause, uint32_t now_ms);

/* Bytes from the line, in any portions. */
void bin_core_receive(struct bin_core *core, const uint8_t *data, size_t len, uint32_t now_ms);

/* Moves lids, watches them and the host, repeats events, sends telemetry. */
void bin_core_tick(struct bin_core *core, uint32_t now_ms);

#endif
