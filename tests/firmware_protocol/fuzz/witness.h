/* Watches a core from outside, by its bytes, pulses and sensors, and stops the program when a promise is broken.
 *
 * It knows the protocol by itself (naive.h) and reads nothing of struct bin_core. What it holds the core to:
 *  gate      an opening begins only for an accepted OPEN, in its time, of a shut lid, with a living host, no stop, a supply that suffices,
 *            not while calibrating, at most 20 in a minute, and never twice for one of the last 8 action ids since power-on
 *  pulses    500..2500 us or none; toward open only while opening, backing away, or jogging; none at all while a stop is in force
 *  one lid   at a time has a changing pulse, and the next one's changes 300 ms later
 *  shut      a shut switch that was pressed all the way proves nothing: the pulse must be there
 *  hold      no lid stands open for longer than 10 s once it could shut
 *  bytes     every frame sent is a whole one of this protocol, from the controller
 */
#ifndef FUZZ_WITNESS_H
#define FUZZ_WITNESS_H

#include <stdio.h>
#include <stdlib.h>

#include "board.h"
#include "naive.h"

#define NEVER UINT64_MAX
#define GRACE_MS 400u /* a stagger and some steps */
#define REVERSALS_NEEDED 3u

#define PROMISE(held, name) \
    do { \
        if (!(held)) { \
            fprintf(stderr, "broken promise: %s (witness.h:%d)\n", name, __LINE__); \
            abort(); \
        } \
    } while (0)

#ifdef SAY /* -DSAY: tell the story of one input */
#define TELL(...) fprintf(stderr, __VA_ARGS__)
#else
#define TELL(...) ((void)0)
#endif

enum told { TOLD_NOTHING, TOLD_OPENING, TOLD_OPEN, TOLD_CLOSING, TOLD_CLOSED, TOLD_REVERSED };

/* One lid as told by its motions. */
struct seen_lid {
    enum told told;
    uint64_t told_ms;
    unsigned reversals;
    struct bin_cal cal;
    bool goes_open; /* the present motion */
    bool unproven; /* its shut switch was pressed when the present motion began and was at every tick since */
    bool astray; /* recalibrated or jogged since it was shut: which way is open is anybody's guess */
    /* the OPEN that was accepted for it, if action_id */
    uint32_t action_id;
    uint16_t start_within_ms;
    uint64_t accepted_ms;
};

struct witness {
    struct board board;
    uint64_t now_ms; /* does not wrap */
    struct seen_lid lids[BIN_LIDS_MAX];
    /* the host's bytes */
    uint8_t rx[BIN_WIRE_MAX];
    size_t rx_len;
    uint16_t session, last_seq;
    uint64_t heard_ms;
    uint8_t payload[BIN_BODY_MAX]; /* of the command being answered; [0] = 0: none */
    uint8_t code;                  /* its answer */
    /* stops */
    bool latched;
    uint64_t jogged_ms; /* the last CALIBRATE or JOG accepted */
    uint64_t changed_ms, quiet_ms;
    uint8_t changed_lid, overdue_ticks;
    /* openings */
    int began_lid; /* in this call; -1 = none */
    uint32_t began_action;
    uint32_t begun[BIN_ACTION_RING];
    unsigned begun_count;
    uint64_t opens_ms[BIN_OPENS_MAX];
    unsigned opens;
};

static struct witness w;

static bool alive(void) { return w.heard_ms != NEVER && w.now_ms - w.heard_ms <= BIN_HOST_SILENCE_MS; }
static bool calibrating(void) { return w.jogged_ms != NEVER && w.now_ms - w.jogged_ms < BIN_CALIBRATING_MS; }

static bool supply_ok(void)
{
    const struct board *b = &w.board;
    return !(b->identity.caps & BIN_CAPS_SUPPLY_SENSE) ||
           (b->vin_mv != BIN_UNKNOWN_U16 && b->vservo_mv != BIN_UNKNOWN_U16 && b->vin_mv >= 4500 && b->vservo_mv >= 4600);
}

static bool moves(uint8_t lid)
{
    const enum told told = w.lids[lid].told;
    return w.board.pulse_us[lid] != BIN_NO_PULSE && (told == TOLD_OPENING || told == TOLD_CLOSING || told == TOLD_REVERSED);
}

/* ---- motions ---- */

static bool arrived_at(uint8_t lid, uint8_t limits, uint16_t pulse_us)
{
    const struct board *b = &w.board;
    return b->limits[lid] == BIN_UNKNOWN_U8 ? b->pulse_us[lid] == pulse_us : b->limits[lid] == limits;
}

static bool on_shut_switch(uint8_t lid)
{
    return w.board.limits[lid] != BIN_UNKNOWN_U8 && w.board.limits[lid] & BIN_LIMITS_CLOSED;
}

/* What can be said in the moment itself; whether it was accepted is known when the answer is (settle). */
static void gate(uint8_t lid, uint32_t action_id)
{
    PROMISE(alive(), "opens only for a living host");
    PROMISE(!w.board.pressed && !w.latched, "opens only without a stop");
    PROMISE(supply_ok(), "opens only with supply enough");
    PROMISE(!calibrating(), "opens not while calibrating");
    PROMISE(w.lids[lid].told == TOLD_CLOSED, "opens only a shut lid");
    PROMISE(w.began_lid < 0, "opens one lid at a time");
    for (unsigned n = 0; n < BIN_ACTION_RING && n < w.begun_count; n++)
        PROMISE(w.begun[n] != action_id, "opens once for an action id");
    if (w.opens >= 20)
        PROMISE(w.now_ms - w.opens_ms[w.opens % 20] >= 60000, "opens 20 times a minute");
    w.begun[w.begun_count++ % BIN_ACTION_RING] = action_id;
    w.opens_ms[w.opens++ % 20] = w.now_ms;
    w.began_lid = lid;
    w.began_action = action_id;
}

static void witness_motion(void *ctx, uint8_t lid, enum bin_motion motion, uint32_t action_id)
{
    struct seen_lid *seen = &w.lids[lid];
    const enum told before = seen->told;
    (void)ctx;
    seen->told_ms = w.now_ms;
    if (motion == BIN_MOTION_OPENING || motion == BIN_MOTION_CLOSING || motion == BIN_MOTION_REVERSED)
        seen->unproven = on_shut_switch(lid);
    TELL("%llu lid %d motion %d action %u\n", (unsigned long long)w.now_ms, lid, motion, action_id);
    switch (motion) {
    case BIN_MOTION_OPENING:
        gate(lid, action_id);
        seen->goes_open = true;
        seen->told = TOLD_OPENING;
        break;
    case BIN_MOTION_OPEN:
        PROMISE(before == TOLD_OPENING || before == TOLD_REVERSED, "open follows opening");
        PROMISE(arrived_at(lid, BIN_LIMITS_OPEN, seen->cal.open_us), "open is what its switch says");
        seen->told = TOLD_OPEN;
        break;
    case BIN_MOTION_CLOSING:
        seen->goes_open = false;
        seen->told = TOLD_CLOSING;
        break;
    case BIN_MOTION_CLOSED:
        PROMISE(before == TOLD_CLOSING || before == TOLD_REVERSED, "shut follows shutting");
        PROMISE(arrived_at(lid, BIN_LIMITS_CLOSED, seen->cal.closed_us), "shut is what its switch says");
        PROMISE(!seen->unproven || seen->astray || w.board.pulse_us[lid] == seen->cal.closed_us, "a switch that may be stuck proves nothing");
        if (before == TOLD_CLOSING)
            seen->reversals = 0;
        seen->told = TOLD_CLOSED;
        seen->astray = false;
        break;
    case BIN_MOTION_REVERSED:
        PROMISE(before == TOLD_OPENING || before == TOLD_CLOSING || before == TOLD_REVERSED, "backs away only from a motion");
        if (seen->goes_open && w.board.limits[lid] == (BIN_LIMITS_CLOSED | BIN_LIMITS_OPEN) && seen->reversals < REVERSALS_NEEDED - 1)
            seen->reversals = REVERSALS_NEEDED - 1; /* a broken switch: this one is the last */
        seen->goes_open = !seen->goes_open;
        PROMISE(++seen->reversals <= REVERSALS_NEEDED, "three reversals in a row, then a fault");
        seen->told = TOLD_REVERSED;
        break;
    }
}

/* ---- pulses ---- */

static void witness_pulse(void *ctx, uint8_t lid, uint16_t pulse_us)
{
    const struct seen_lid *seen = &w.lids[lid];
    const uint16_t before_us = w.board.pulse_us[lid];
    board_set_pulse(ctx, lid, pulse_us);
    if (pulse_us == before_us || pulse_us == BIN_NO_PULSE)
        return;
    PROMISE(pulse_us >= 500 && pulse_us <= 2500, "pulses of 500..2500 us");
    PROMISE(!w.latched, "no pulse while stopped");
    if (!calibrating() && w.changed_ms != NEVER && lid != w.changed_lid)
        PROMISE(w.now_ms - w.changed_ms >= 300, "one lid at a time");
    w.changed_ms = w.now_ms;
    w.changed_lid = lid;
    if (before_us == BIN_NO_PULSE || calibrating() || seen->astray)
        return;
    if ((pulse_us > before_us) == (seen->cal.open_us > seen->cal.closed_us))
        PROMISE(seen->told == TOLD_OPENING || seen->told == TOLD_REVERSED, "no pulse toward open but to open or to back away");
}

static void witness_save_cal(void *ctx, uint8_t lid, const struct bin_cal *cal)
{
    board_save_cal(ctx, lid, cal);
    w.lids[lid].cal = *cal;
    w.lids[lid].astray = true;
}

/* ---- the controller's bytes ---- */

static uint8_t exact_length(const uint8_t *body)
{
    static const uint8_t of_command[32] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 6, 1, 1, 5, 4, 2, 0, 0, 0, 9, 2, 3, 0, 4, 0, 0, 0, 0, 0, 5, 5 };
    static const uint8_t of_ours[9] = { 0, 26, 3, 10, 48, 8, 8, 9, 34 };
    if (body[0] == 0x02)
        return body[6] < 32 ? of_command[body[6]] : 0;
    if (body[0] >= 0x81 && body[0] <= 0x88)
        return of_ours[body[0] & 0x0F];
    return body[0] == 0x01 ? 4 : body[0] == 0x03 ? 6 : 0;
}

static void sent_frame(const uint8_t *body, size_t len)
{
    PROMISE(body[0] >= 0x81 && len - 8 == exact_length(body), "sends only its own messages, of their length");
    PROMISE((body[1] & 0xFE) == 0x10, "sends this major");
    if (body[0] == BIN_TYPE_RESULT && !(body[1] & 1))
        w.code = body[6];
    if (body[0] == BIN_TYPE_EVENT && body[8] == BIN_EVENT_KIND_JAM && get_le(body + 14, 2) == 0xFFFF)
        w.jogged_ms = NEVER; /* a jog ended, and calibration with it */
}

static bool witness_send(void *ctx, const uint8_t *data, uint8_t len)
{
    const struct board *b = ctx;
    uint8_t body[256];
    size_t body_len = 0;
    if (len && data[0] == 0)
        data++, len--;
    PROMISE(len > 2 && len <= BIN_WIRE_MAX && data[len - 1] == 0 && !memchr(data, 0, len - 1u), "sends one frame at a time");
    PROMISE(naive_decode(data, len - 1u, body, &body_len) == NAIVE_GOOD, "sends sound frames");
    sent_frame(body, body_len);
    return !b->line_full;
}

/* ---- the host's bytes ---- */

static void host_frame(const uint8_t *body, size_t len)
{
    const uint16_t session = (uint16_t)get_le(body + 2, 2), seq = (uint16_t)get_le(body + 4, 2);
    if ((body[1] & 0xFE) != 0x10 || len == 8 || len - 8 != exact_length(body))
        return;
    if (body[0] == BIN_TYPE_HELLO && session != 0 && seq == 0 && body[6] == 1) {
        if (session != w.session)
            w.last_seq = 0;
        w.session = session;
        w.heard_ms = w.now_ms;
    }
    if (!alive() || session != w.session)
        return;
    if (body[0] == BIN_TYPE_CMD || (body[0] == BIN_TYPE_PING && seq == 0))
        w.heard_ms = w.now_ms;
    if (body[0] == BIN_TYPE_CMD && seq == w.last_seq % 0xFFFF + 1) {
        w.last_seq = seq;
        memcpy(w.payload, body + 6, len - 8);
    }
}

static void forget_motions(bool open_too)
{
    for (uint8_t lid = 0; lid < BIN_LIDS_MAX; lid++) {
        const enum told told = w.lids[lid].told;
        if (told != TOLD_CLOSED && (told != TOLD_OPEN || open_too))
            w.lids[lid].told = TOLD_NOTHING;
    }
    w.jogged_ms = NEVER;
}

static void accepted(const uint8_t *p)
{
    switch (p[0]) {
    case BIN_CMD_OPEN:
        w.lids[p[1]].action_id = get_le(p + 2, 4);
        w.lids[p[1]].start_within_ms = (uint16_t)get_le(p + 8, 2);
        w.lids[p[1]].accepted_ms = w.now_ms;
        break;
    case BIN_CMD_STOP:
        forget_motions(false);
        break;
    case BIN_CMD_STOP_LATCH:
        w.latched = true;
        forget_motions(true);
        break;
    case BIN_CMD_STOP_CLEAR:
        w.latched = false;
        for (uint8_t lid = 0; lid < BIN_LIDS_MAX; lid++)
            if (w.lids[lid].reversals >= REVERSALS_NEEDED && w.board.pulse_us[lid] == BIN_NO_PULSE) { /* a latched fault */
                w.lids[lid].reversals = 0;
                w.lids[lid].told = TOLD_NOTHING;
            }
        break;
    case BIN_CMD_CALIBRATE:
        w.jogged_ms = p[1] ? w.now_ms : NEVER;
        break;
    case BIN_CMD_JOG:
        w.jogged_ms = w.now_ms;
        w.lids[p[1]].told = TOLD_NOTHING;
        w.lids[p[1]].astray = true;
        break;
    default:
        break;
    }
}

/* After each call: the answer is known now. */
static void settle(void)
{
    if (w.payload[0])
        TELL("%llu command %d answer %d\n", (unsigned long long)w.now_ms, w.payload[0], w.code);
    if (w.payload[0] && w.code == BIN_CODE_OK_ACCEPTED)
        accepted(w.payload);
    if (w.began_lid >= 0) {
        struct seen_lid *seen = &w.lids[w.began_lid];
        PROMISE(seen->action_id == w.began_action && w.began_action != 0, "opens only what was accepted");
        PROMISE(w.now_ms - seen->accepted_ms <= seen->start_within_ms, "opens in time or never");
        seen->action_id = 0;
    }
    w.began_lid = -1;
    w.payload[0] = 0;
    w.code = 0xFF;
    w.board.changes.len = w.board.calls.len = 0;
}

/* ---- what the fuzzer does to it ---- */

static uint32_t clock_ms(void) { return (uint32_t)(w.board.now_ms + w.now_ms); }

static void witness_reset(uint8_t cause, bool forgotten)
{
    struct board *b = &w.board;
    if (cause == BIN_RESET_CAUSE_POWER_ON || forgotten)
        w.begun_count = 0;
    for (uint8_t lid = 0; lid < BIN_LIDS_MAX; lid++) {
        struct seen_lid *seen = &w.lids[lid];
        const struct bin_cal *cal = &b->eeprom[lid];
        const int travel_us = cal->open_us - cal->closed_us;
        const bool fits = b->stored[lid] && cal->open_us >= 500 && cal->open_us <= 2500 && cal->closed_us >= 500 && cal->closed_us <= 2500 &&
                          (travel_us >= 100 || travel_us <= -100) && cal->speed_us_per_20ms > 0 && cal->jam_ma <= 5000;
        memset(seen, 0, sizeof *seen);
        seen->cal = fits ? *cal : (struct bin_cal){ 2000, 1000, 20, 900 };
        seen->told = b->limits[lid] == BIN_LIMITS_CLOSED ? TOLD_CLOSED : TOLD_NOTHING;
    }
    TELL("%llu reset %d\n", (unsigned long long)w.now_ms, cause);
    w.rx_len = 0;
    w.session = w.last_seq = 0;
    w.heard_ms = w.jogged_ms = w.changed_ms = NEVER;
    w.latched = false;
    w.opens = 0;
    w.payload[0] = 0;
    w.began_lid = -1;
    memset(&b->core, 0xA5, sizeof b->core);
    bin_core_init(&b->core, &b->hal, &b->identity, &b->survivor, cause, clock_ms());
    for (uint8_t lid = 0; lid < b->identity.lids; lid++)
        PROMISE(b->pulse_us[lid] == BIN_NO_PULSE, "no signal after a reset");
    settle();
}

static void witness_start(uint8_t lids, uint32_t caps, uint32_t start_ms)
{
    memset(&w, 0, sizeof w);
    board_fresh(&w.board, lids, caps, start_ms);
    w.board.hal.set_pulse_us = witness_pulse;
    w.board.hal.on_motion = witness_motion;
    w.board.hal.save_cal = witness_save_cal;
    w.board.hal.send = witness_send;
    witness_reset(BIN_RESET_CAUSE_POWER_ON, true);
}

static void witness_receive(const uint8_t *data, size_t len)
{
    uint8_t body[BIN_WIRE_MAX];
    while (len) { /* one frame at most in a call, so that its answer is known */
        const uint8_t *zero = memchr(data, 0, len);
        const size_t part = zero ? (size_t)(zero - data) + 1 : len;
        if (!alive())
            w.jogged_ms = NEVER;
        for (size_t n = 0; n < part; n++) {
            size_t body_len = 0;
            if (data[n] != 0) {
                if (w.rx_len < BIN_WIRE_MAX)
                    w.rx[w.rx_len++] = data[n];
                continue;
            }
            if (naive_decode(w.rx, w.rx_len, body, &body_len) == NAIVE_GOOD)
                host_frame(body, body_len);
            w.rx_len = 0;
        }
        bin_core_receive(&w.board.core, data, part, clock_ms());
        settle();
        data += part;
        len -= part;
    }
}

static bool any_moves(void)
{
    bool any = false;
    for (uint8_t lid = 0; lid < w.board.identity.lids; lid++)
        any = any || moves(lid) || w.lids[lid].told_ms == w.now_ms;
    return any;
}

static void watch_holds(bool quiet, uint32_t ms)
{
    bool overdue = false;
    for (uint8_t lid = 0; lid < w.board.identity.lids; lid++) {
        const struct seen_lid *seen = &w.lids[lid];
        overdue = overdue || (seen->told == TOLD_OPEN && seen->reversals < REVERSALS_NEEDED && w.now_ms - seen->told_ms > 10000 + GRACE_MS);
    }
    w.quiet_ms = quiet ? w.quiet_ms + ms : 0;
    w.overdue_ticks = overdue && !w.latched && w.quiet_ms > GRACE_MS ? (uint8_t)(w.overdue_ticks + 1) : 0;
    if (overdue)
        TELL("%llu overdue, quiet for %llu\n", (unsigned long long)w.now_ms, (unsigned long long)w.quiet_ms);
    PROMISE(w.overdue_ticks < 3, "shuts after its hold time");
}

static void witness_tick(uint32_t ms)
{
    w.now_ms += ms;
    if (!alive())
        w.jogged_ms = NEVER;
    if (w.board.pressed) {
        w.latched = true;
        forget_motions(true);
    }
    for (uint8_t lid = 0; lid < w.board.identity.lids; lid++)
        w.lids[lid].unproven = w.lids[lid].unproven && on_shut_switch(lid);
    const bool moved = any_moves();
    bin_core_tick(&w.board.core, clock_ms());
    settle();
    watch_holds(!moved && !any_moves(), ms);
}

#endif
