/* The lid controller's core: plain C99, no malloc, no globals, no floats. One context, one HAL, polled.
 *
 * The twin of lid_core.py and reference.py; SPEC.md rules. The board owns a struct bin_core, hands bytes from the line to
 * bin_core_receive() and calls bin_core_tick() every 1 to 20 ms. Both from the same thread, never from an interrupt.
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
#define BIN_UNKNOWN_U16 0xFFFFu /* current_ma(), fill_mm(), vin_mv(), vservo_mv(): not measured. Never report 0 instead. */
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

/* Action ids whose motion began, oldest first, under a CRC. */
struct bin_actions {
    uint32_t ids[BIN_ACTION_RING]; /* those beyond count are 0 */
    uint8_t count;
    uint16_t crc;
};

/* Lives in memory that a reset spares (.noinit). Twice, written one after the other: a reset in the middle of a write
 * leaves one whole copy, so what has ever moved a lid is never forgotten. */
struct bin_survivor {
    struct bin_actions copies[2];
};

/* One row of the state table. */
struct bin_lid {
    struct bin_cal cal;
    uint8_t number;
    uint8_t phase;            /* BIN_LID_PHASE_* */
    uint8_t goal;             /* where the present motion goes: BIN_LIMITS_CLOSED or BIN_LIMITS_OPEN */
    uint8_t reversals;        /* in a row */
    uint16_t pulse_us;        /* sent now, or BIN_NO_PULSE */
    uint16_t last_us;         /* the last sent since the reset, from which a jog, or homing right after it, goes on; or BIN_NO_PULSE */
    uint16_t hold_ms;
    uint16_t start_within_ms;
    uint16_t travel_ms;       /* bound of the present motion */
    uint16_t jog_us;          /* target while jogging */
    uint32_t action_id;       /* 0 = none */
    uint32_t last_close_id;
    uint32_t since_ms;        /* when the phase began */
    uint32_t stepped_ms;
    uint32_t ended_ms;        /* when the last motion ended, if `moved` */
    uint32_t over_ms;         /* since when the current is above the stall limit, if `over` */
    uint32_t opened_ms;       /* when it was reported open, if `opened` */
    bool moved;               /* less than BIN_REST_MS ago */
    bool over;
    bool opened;
    bool backed;              /* it stands open because it backed away */
    bool unproven;            /* its shut switch was pressed when its motion began and has not let go since: it may be stuck */
    bool settling;            /* shut by its switch at a reset a moment ago: it may have been on its way open, and run on */
    bool close_due;           /* it is to be shut; says nothing while it is shut, moves or is latched */
    bool stay;                /* cleared from a stop or fault: moves again only by CLOSE or the dead-man */
};

struct bin_event {
    uint32_t action_id;
    uint16_t seq;
    uint16_t value;
    uint8_t kind;
    uint8_t lid;
    bool due; /* to be repeated in the present round */
};

enum bin_restart { BIN_RESTART_NONE, BIN_RESTART_REBOOT, BIN_RESTART_BOOTLOADER };

/* All state; nothing lies outside it. Boards and tests read it at most. */
struct bin_core {
    const struct bin_hal *hal;
    const struct bin_identity *identity;
    struct bin_survivor *survivor;
    uint32_t now_ms;          /* of the call in progress */

    /* The lids: bin_core.c. */
    struct bin_lid lids[BIN_LIDS_MAX];
    uint8_t lid_count;
    uint8_t stop;             /* BIN_STOP_* */
    bool host_alive;          /* kept by the link */
    bool host_lost;           /* the lamp tells of it */
    bool calibrating;
    uint32_t calibrating_ms;
    bool moved;               /* some lid's motion ended less than BIN_STAGGER_MS ago */
    uint32_t ended_ms;        /* when, if `moved` */
    uint32_t opens_ms[BIN_OPENS_MAX]; /* starts of the openings of the last minute, a ring */
    uint8_t opens;
    uint8_t opens_at;         /* where the next one goes */

    /* The link: bin_link.c. */
    struct frame_decoder decoder;
    struct bin_event events[BIN_EVENT_RING]; /* oldest first, none of them named by a PING yet */
    uint8_t event_count;
    uint16_t event_seq;
    uint16_t session;         /* 0 = none since the reset */
    uint16_t last_seq;        /* 0 = no command yet */
    uint16_t answer_detail;   /* answer to last_seq */
    uint8_t answer_code;
    uint8_t answer_cal;       /* lid whose DIAG belongs to that answer, or BIN_NO_LID */
    uint8_t cause;            /* BIN_RESET_CAUSE_* */
    uint8_t restart;          /* enum bin_restart: due once the answer is out */
    uint16_t telemetry_ms;    /* 0 = off */
    uint32_t booted_ms;
    uint32_t heard_ms;        /* last valid frame of the session */
    uint32_t told_ms;         /* last telemetry */
    uint32_t repeated_ms;     /* last repeat of the events */
    uint32_t sent_ms;         /* last frame, if `sent` */
    bool sent;
};

/* Starts as after `cause` (a BIN_RESET_CAUSE_* value). `hal`, `identity` and `survivor` must outlive the core. Sends BOOT; every
 * lid is detached, and those not on their closed switch are homed by later ticks. */
void bin_core_init(struct bin_core *core, const struct bin_hal *hal, const struct bin_identity *identity,
                   struct bin_survivor *survivor, uint8_t cause, uint32_t now_ms);

/* Bytes from the line, in any portions. */
void bin_core_receive(struct bin_core *core, const uint8_t *data, size_t len, uint32_t now_ms);

/* Moves lids, watches them and the host, repeats events, sends telemetry. */
void bin_core_tick(struct bin_core *core, uint32_t now_ms);

#endif
