/* The C core from the inside: what no frame can bring about, each condition of the gate by itself, resets within a write.
 *
 * bin_link.c is part of this file so that its static functions can be called; bin_core.c and frame.c are linked. Says what is
 * wrong and exits 1, or says how much was checked. */
#include <stdio.h>
#include <stdlib.h>

#include "bin_link.c"

static unsigned checked, wrong;

#define CHECK(what) check(what, #what, __func__, __LINE__)

static void check(bool holds, const char *what, const char *where, int line)
{
    checked++;
    if (!holds) {
        printf("%s, line %d: %s\n", where, line, what);
        wrong++;
    }
}

/* ---- a board whose sensors are variables ---------------------------------------------------------------------------------- */

struct board {
    uint8_t limits[BIN_LIDS_MAX];
    uint16_t pulse_us[BIN_LIDS_MAX];
    uint16_t current_ma, vin_mv, vservo_mv, pinch;
    bool pinch_known, pressed, line_full, stored;
    struct bin_cal cal;
    unsigned sent, restarts, motions;
    uint8_t last[1 + BIN_WIRE_MAX];
    uint8_t last_len;
};

static struct board board;
static struct bin_core core;
static struct bin_survivor survivor;
static struct bin_identity identity;

static void set_pulse_us(void *ctx, uint8_t lid, uint16_t pulse_us)
{
    (void)ctx;
    board.pulse_us[lid] = pulse_us;
}

static uint8_t limits(void *ctx, uint8_t lid)
{
    (void)ctx;
    return board.limits[lid];
}

static uint16_t current_ma(void *ctx, uint8_t lid)
{
    (void)ctx;
    (void)lid;
    return board.current_ma;
}

static uint16_t fill_mm(void *ctx, uint8_t lid)
{
    (void)ctx;
    (void)lid;
    return BIN_UNKNOWN_U16;
}

static bool pinch(void *ctx, uint16_t *lids)
{
    (void)ctx;
    *lids = board.pinch;
    return board.pinch_known;
}

static uint16_t vin_mv(void *ctx)
{
    (void)ctx;
    return board.vin_mv;
}

static uint16_t vservo_mv(void *ctx)
{
    (void)ctx;
    return board.vservo_mv;
}

static int8_t temp_c(void *ctx)
{
    (void)ctx;
    return BIN_UNKNOWN_TEMP;
}

static bool stop_pressed(void *ctx)
{
    (void)ctx;
    return board.pressed;
}

static void on_indicate(void *ctx, uint8_t pattern, uint16_t duration_ms)
{
    (void)ctx;
    (void)pattern;
    (void)duration_ms;
}

static bool on_load_cal(void *ctx, uint8_t lid, struct bin_cal *cal)
{
    (void)ctx;
    (void)lid;
    *cal = board.cal;
    return board.stored;
}

static void on_save_cal(void *ctx, uint8_t lid, const struct bin_cal *cal)
{
    (void)ctx;
    (void)lid;
    board.cal = *cal;
}

static bool on_send(void *ctx, const uint8_t *data, uint8_t len)
{
    (void)ctx;
    if (board.line_full) {
        return false;
    }
    board.sent++;
    board.last_len = len;
    memcpy(board.last, data, len);
    return true;
}

static void on_restart(void *ctx, bool bootloader)
{
    (void)ctx;
    (void)bootloader;
    board.restarts++;
}

static void on_motion(void *ctx, uint8_t lid, enum bin_motion motion, uint32_t action_id)
{
    (void)ctx;
    (void)lid;
    (void)motion;
    (void)action_id;
    board.motions++;
}

static struct bin_hal hal = {NULL,     set_pulse_us, limits,       current_ma,  fill_mm,     pinch,   vin_mv,     vservo_mv,
                             temp_c,   stop_pressed, on_indicate,  on_load_cal, on_save_cal, on_send, on_restart, on_motion};

/* A controller with a host, four lids shut and rested, nothing in the way. */
static void ready(void)
{
    memset(&board, 0, sizeof board);
    memset(board.limits, BIN_LIMITS_CLOSED, sizeof board.limits);
    board.vin_mv = board.vservo_mv = 5000;
    board.pinch_known = true;
    hal.on_motion = on_motion;
    memset(&identity, 0, sizeof identity);
    identity.lids = 4;
    identity.caps = BIN_CAPS_SUPPLY_SENSE | BIN_CAPS_INDICATOR;
    memset(&survivor, 0xA5, sizeof survivor);
    memset(&core, 0xA5, sizeof core);
    bin_core_init(&core, &hal, &identity, &survivor, BIN_RESET_CAUSE_POWER_ON, 100000);
    core.session = 7;
    core.host_alive = true;
    core.heard_ms = core.now_ms;
}

static uint8_t ask_to_open(uint16_t patience_ms)
{
    return bin_accept_open(&core, 0, 1, 1000, patience_ms).code;
}

static void later(uint32_t ms)
{
    core.heard_ms += ms; /* the host lives */
    bin_core_tick(&core, core.now_ms + ms);
}

/* ---- the gate ------------------------------------------------------------------------------------------------------------- */

/* A sound controller opens, so that each refusal below has one reason only. */
static void the_gate_opens_when_all_is_well(void)
{
    ready();
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_OPENING);
    CHECK(board.pulse_us[0] == BIN_DEFAULT_CLOSED_US);
    CHECK(board.motions == 1);
}

static void the_gate_refuses_for_each_reason(void)
{
    static const uint8_t phases[] = {BIN_LID_PHASE_UNKNOWN, BIN_LID_PHASE_OPENING,   BIN_LID_PHASE_OPEN,
                                     BIN_LID_PHASE_CLOSING, BIN_LID_PHASE_REVERSING, BIN_LID_PHASE_HALTED,
                                     BIN_LID_PHASE_HOMING,  BIN_LID_PHASE_JOGGING,   BIN_LID_PHASE_WAITING};
    size_t i;

    ready(), core.host_alive = false;
    CHECK(ask_to_open(65535) == BIN_CODE_NO_SESSION);
    CHECK(bin_accept_open(&core, 0, 1, 1000, 0).detail == 0);
    ready(), core.stop = BIN_STOP_LATCH;
    CHECK(ask_to_open(65535) == BIN_CODE_STOPPED);
    ready(), core.stop = BIN_STOP_MUSHROOM;
    CHECK(ask_to_open(65535) == BIN_CODE_STOPPED);
    ready(), board.pressed = true;
    CHECK(ask_to_open(65535) == BIN_CODE_STOPPED);
    ready(), core.lids[0].phase = BIN_LID_PHASE_FAULT;
    CHECK(ask_to_open(65535) == BIN_CODE_FAULT_LATCHED);
    ready(), core.calibrating = true, core.calibrating_ms = core.now_ms;
    CHECK(ask_to_open(65535) == BIN_CODE_BUSY);
    ready(), board.vin_mv = BIN_VIN_MIN_MV - 1;
    CHECK(ask_to_open(65535) == BIN_CODE_LOW_VOLTAGE);
    ready(), board.vservo_mv = BIN_VSERVO_MIN_MV - 1;
    CHECK(ask_to_open(65535) == BIN_CODE_LOW_VOLTAGE);
    ready(), board.vin_mv = BIN_UNKNOWN_U16;
    CHECK(ask_to_open(65535) == BIN_CODE_LOW_VOLTAGE);
    ready(), board.vservo_mv = BIN_UNKNOWN_U16;
    CHECK(ask_to_open(65535) == BIN_CODE_LOW_VOLTAGE);
    ready(), board.vin_mv = BIN_VIN_MIN_MV, board.vservo_mv = BIN_VSERVO_MIN_MV;
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    ready(), board.vin_mv = 0, identity.caps = 0; /* a board that cannot measure it */
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    for (i = 0; i < sizeof phases; i++) {
        ready(), core.lids[0].phase = phases[i];
        CHECK(ask_to_open(65535) == BIN_CODE_BUSY);
        CHECK(board.pulse_us[0] == BIN_NO_PULSE);
    }
    ready(), core.lids[3].phase = BIN_LID_PHASE_HOMING; /* another one moves */
    CHECK(ask_to_open(BIN_STAGGER_MS - 1) == BIN_CODE_BUSY);
    CHECK(ask_to_open(BIN_STAGGER_MS) == BIN_CODE_OK_ACCEPTED);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_WAITING);
}

/* A lid that waits is not opened by a controller that lost its host in between, whatever lost it. */
static void a_waiting_lid_asks_the_gate_again(void)
{
    ready(), core.lids[3].phase = BIN_LID_PHASE_HOMING, core.lids[3].travel_ms = 65535;
    CHECK(ask_to_open(5000) == BIN_CODE_OK_ACCEPTED);
    core.lids[3].phase = BIN_LID_PHASE_CLOSED;
    core.host_alive = false;
    bin_core_tick(&core, core.now_ms + 20);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_WAITING);
    core.host_alive = true;
    later(20);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_OPENING);
}

static void twenty_openings_a_minute(void)
{
    uint8_t i;

    ready();
    for (i = 0; i < BIN_OPENS_MAX; i++) {
        CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
        CHECK(core.opens == i + 1);
        core.lids[0].phase = BIN_LID_PHASE_CLOSED;
        later(10);
    }
    CHECK(bin_accept_open(&core, 0, 2, 1000, 0).code == BIN_CODE_RATE_LIMIT);
    CHECK(bin_accept_open(&core, 0, 2, 1000, 0).detail == BIN_OPENS_WINDOW_MS - BIN_OPENS_MAX * 10u);
    core.now_ms += BIN_OPENS_WINDOW_MS - BIN_OPENS_MAX * 10u - 1; /* frames may come between two ticks */
    CHECK(bin_accept_open(&core, 0, 2, 1000, 0).detail == 1);
    core.now_ms += 1;
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    CHECK(core.opens == BIN_OPENS_MAX);
    CHECK(core.opens_at == 1);
}

/* 2^32 ms later the clock reads the same: what was over long ago must not count again. */
static void after_49_days_nothing_is_young_again(void)
{
    uint8_t i;

    ready();
    for (i = 0; i < BIN_OPENS_MAX; i++) {
        core.opens_ms[i] = core.now_ms;
    }
    core.opens = BIN_OPENS_MAX;
    core.moved = true;
    core.ended_ms = core.now_ms;
    for (i = 0; i < core.lid_count; i++) {
        core.lids[i].moved = true;
        core.lids[i].ended_ms = core.now_ms;
    }
    CHECK(ask_to_open(0) == BIN_CODE_RATE_LIMIT);
    for (i = 0; i < BIN_OPENS_MAX; i++) {
        CHECK(core.opens == BIN_OPENS_MAX - i);
        later(BIN_OPENS_WINDOW_MS);
    }
    CHECK(core.opens == 0);
    later(0u - BIN_OPENS_MAX * (uint32_t)BIN_OPENS_WINDOW_MS);
    CHECK(core.now_ms == 100000);
    CHECK(!core.moved);
    for (i = 0; i < core.lid_count; i++) {
        CHECK(!core.lids[i].moved);
    }
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
}

/* The ring is read right wherever its oldest lies. */
static void openings_are_forgotten_oldest_first(void)
{
    uint8_t at, i;

    for (at = 0; at < BIN_OPENS_MAX; at++) {
        ready();
        core.opens_at = at;
        for (i = 0; i < 3; i++) {
            core.opens_ms[(at + BIN_OPENS_MAX - 3 + i) % BIN_OPENS_MAX] = core.now_ms + i;
        }
        core.opens = 3;
        later(BIN_OPENS_WINDOW_MS - 1);
        CHECK(core.opens == 3);
        for (i = 3; i > 0; i--) {
            later(1);
            CHECK(core.opens == i - 1);
        }
        later(1);
        CHECK(core.opens == 0);
    }
}

/* ---- boards ---------------------------------------------------------------------------------------------------------------- */

static void a_board_need_not_listen_to_motions(void)
{
    ready(), hal.on_motion = NULL;
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_OPENING);
    CHECK(board.motions == 0);
}

static void no_board_has_more_lids_than_there_is_room_for(void)
{
    ready(), identity.lids = BIN_LIDS_MAX + 1;
    bin_core_init(&core, &hal, &identity, &survivor, BIN_RESET_CAUSE_EXTERNAL, 0);
    CHECK(core.lid_count == BIN_LIDS_MAX);
}

/* Rows beyond the lids that are fitted: whatever lies there, nothing looks at them or writes to them. */
static void lids_that_are_not_fitted_are_left_alone(void)
{
    static const uint8_t phases[] = {BIN_LID_PHASE_WAITING, BIN_LID_PHASE_OPENING, BIN_LID_PHASE_OPEN,
                                     BIN_LID_PHASE_FAULT,   BIN_LID_PHASE_JOGGING, BIN_LID_PHASE_HALTED};
    struct bin_lid before[BIN_LIDS_MAX];
    size_t i, n;

    for (i = 0; i < sizeof phases; i++) {
        ready();
        for (n = 4; n < BIN_LIDS_MAX; n++) {
            core.lids[n] = core.lids[0];
            core.lids[n].number = (uint8_t)n;
            core.lids[n].phase = phases[i];
            core.lids[n].moved = core.lids[n].close_due = core.lids[n].stay = true;
            core.lids[n].start_within_ms = 60000;
            core.lids[n].action_id = 1;
            board.pulse_us[n] = 1234;
        }
        memcpy(before, core.lids, sizeof before);
        CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
        later(3000);
        later(20);
        bin_halt(&core);
        later(3000);
        bin_latch(&core);
        later(20);
        CHECK(bin_clear(&core).code == BIN_CODE_OK_ACCEPTED);
        CHECK(bin_start_calibration(&core).code == BIN_CODE_OK_ACCEPTED);
        CHECK(bin_jog(&core, 1, 1500).code == BIN_CODE_OK_ACCEPTED);
        later(20);
        bin_end_calibration(&core);
        later(2000);
        bin_lids_close_all(&core);
        later(20);
        CHECK(memcmp(before + 4, core.lids + 4, (BIN_LIDS_MAX - 4) * sizeof before[0]) == 0);
        for (n = 4; n < BIN_LIDS_MAX; n++) {
            CHECK(board.pulse_us[n] == 1234);
        }
    }
}

static void a_full_line_loses_whole_frames_and_nothing_else(void)
{
    ready(), board.line_full = true;
    board.sent = 0;
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    board.limits[0] = BIN_LIMITS_OPEN;
    later(20);
    CHECK(board.sent == 0);
    CHECK(core.event_count == 1); /* OPENED is kept */
    board.line_full = false;
    later(BIN_EVENT_REPEAT_MS);
    CHECK(board.sent == 1);
}

/* A stored calibration outside of the bounds is as good as none: each bound alone. */
static void a_damaged_calibration_is_not_used(void)
{
    static const struct bin_cal bad[] = {{499, 1500, 20, 900},  {2501, 1500, 20, 900}, {1500, 499, 20, 900},
                                         {1500, 2501, 20, 900}, {1500, 1599, 20, 900}, {1500, 1401, 20, 900},
                                         {2000, 1000, 0, 900},  {2000, 1000, 20, 5001}};
    static const struct bin_cal good[] = {{500, 600, 1, 0}, {2500, 2400, 255, 5000}, {600, 500, 20, 1}, {500, 2500, 1, 900}};
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ready(), board.stored = true, board.cal = bad[i];
        bin_core_init(&core, &hal, &identity, &survivor, BIN_RESET_CAUSE_EXTERNAL, 0);
        CHECK(core.lids[0].cal.open_us == BIN_DEFAULT_OPEN_US && core.lids[0].cal.closed_us == BIN_DEFAULT_CLOSED_US);
        CHECK(core.lids[0].cal.speed_us_per_20ms == BIN_DEFAULT_SPEED_US_PER_20MS);
        CHECK(core.lids[0].cal.jam_ma == BIN_DEFAULT_JAM_MA);
    }
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        ready(), board.stored = true, board.cal = good[i];
        bin_core_init(&core, &hal, &identity, &survivor, BIN_RESET_CAUSE_EXTERNAL, 0);
        CHECK(core.lids[0].cal.open_us == good[i].open_us && core.lids[0].cal.jam_ma == good[i].jam_ma);
    }
}

/* ---- lids ------------------------------------------------------------------------------------------------------------------ */

static void the_hold_time_is_clamped(void)
{
    static const uint16_t asked[] = {0, 999, 1000, 1001, 9999, 10000, 10001, 65535};
    static const uint16_t given[] = {1000, 1000, 1000, 1001, 9999, 10000, 10000, 10000};
    size_t i;

    for (i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        ready();
        CHECK(bin_accept_open(&core, 0, 1, asked[i], 0).code == BIN_CODE_OK_ACCEPTED);
        CHECK(core.lids[0].hold_ms == given[i]);
    }
}

/* Above the limit, not at it; 0 is not watched; unknown is no stall. In an opening of 200 ms, past the inrush. */
static bool stalls(uint16_t jam_ma, uint16_t drawn_ma)
{
    ready(), board.current_ma = drawn_ma;
    core.lids[0].cal.jam_ma = jam_ma;
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    board.limits[0] = 0;
    later(BIN_INRUSH_MS);
    later(BIN_JAM_MS);
    return core.lids[0].phase == BIN_LID_PHASE_REVERSING;
}

static void the_stall_limit(void)
{
    CHECK(!stalls(0, 5000));
    CHECK(stalls(1, 2));
    CHECK(!stalls(1, 1));
    CHECK(stalls(900, 901));
    CHECK(!stalls(900, 900));
    CHECK(!stalls(900, BIN_UNKNOWN_U16));
}

/* A lid that was open once and is jogged later was not open: CLOSED carries no time then. */
static void shut_ends_having_been_open(void)
{
    ready();
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    board.limits[0] = BIN_LIMITS_OPEN;
    later(20);
    CHECK(core.lids[0].opened && core.events[0].kind == BIN_EVENT_KIND_OPENED);
    later(2000);
    board.limits[0] = BIN_LIMITS_CLOSED;
    later(20);
    CHECK(core.events[1].kind == BIN_EVENT_KIND_CLOSED && core.events[1].value == 2020);
    CHECK(!core.lids[0].opened && core.lids[0].action_id == 0);
}

/* What STOP left behind is no stall of the jog that follows, even when the next tick is late. */
static void a_jog_begins_without_a_stall(void)
{
    ready(), board.current_ma = 1500;
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    board.limits[0] = 0;
    later(BIN_INRUSH_MS);
    CHECK(core.lids[0].over);
    bin_halt(&core);
    CHECK(bin_start_calibration(&core).code == BIN_CODE_OK_ACCEPTED);
    CHECK(bin_jog(&core, 0, 1500).code == BIN_CODE_OK_ACCEPTED);
    later(BIN_INRUSH_MS);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_JOGGING);
    later(BIN_JAM_MS);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_UNKNOWN && !core.calibrating);
}

static uint16_t travel_told(uint32_t ms)
{
    ready();
    CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
    board.limits[0] = BIN_LIMITS_OPEN;
    later(ms);
    return core.events[core.event_count - 1].value;
}

static uint16_t open_told(uint32_t ms)
{
    travel_told(20);
    core.lids[0].stay = true; /* as after a stop */
    later(ms - 20);
    core.lids[0].phase = BIN_LID_PHASE_CLOSING;
    board.limits[0] = BIN_LIMITS_CLOSED;
    core.lids[0].goal = BIN_LIMITS_CLOSED;
    later(20);
    CHECK(core.events[core.event_count - 1].kind == BIN_EVENT_KIND_CLOSED);
    return core.events[core.event_count - 1].value;
}

/* 65535 means unknown: a longer time stops below it. */
static void times_in_events_stop_at_65534(void)
{
    CHECK(travel_told(65533) == 65533);
    CHECK(travel_told(65534) == 65534);
    CHECK(travel_told(65535) == 65534);
    CHECK(open_told(65533) == 65533);
    CHECK(open_told(65534) == 65534);
    CHECK(open_told(65535) == 65534);
}

static void a_lid_that_backed_away_waits_2_s(void)
{
    ready(), core.lids[0].phase = BIN_LID_PHASE_CLOSING;
    core.lids[0].travel_ms = 65535;
    core.lids[0].pulse_us = core.lids[0].last_us = 1500;
    board.limits[0] = 0;
    board.pinch = 1;
    later(20);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_REVERSING);
    board.pinch = 0;
    board.limits[0] = BIN_LIMITS_OPEN;
    later(20);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_OPEN);
    CHECK(bin_accept_close(&core, 0, 5).code == BIN_CODE_OK_ACCEPTED); /* nor does a CLOSE hasten it */
    later(BIN_REVERSED_HOLD_MS - 1);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_OPEN);
    later(1);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_CLOSING);
}

/* A lid that waited for a person after a stop, and was then jogged and shut, ends its next opening by itself. */
static void what_a_stop_left_behind_ends_with_the_next_motion(void)
{
    travel_told(20);
    bin_latch(&core);
    CHECK(bin_clear(&core).code == BIN_CODE_OK_ACCEPTED);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_HALTED && core.lids[0].stay);
    CHECK(bin_start_calibration(&core).code == BIN_CODE_OK_ACCEPTED);
    CHECK(bin_jog(&core, 0, 1500).code == BIN_CODE_OK_ACCEPTED);
    bin_end_calibration(&core);
    board.limits[0] = BIN_LIMITS_CLOSED;
    later(BIN_REST_MS);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_HOMING);
    later(20);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_CLOSED);
    later(BIN_REST_MS);
    CHECK(bin_accept_open(&core, 0, 2, 1000, 0).code == BIN_CODE_OK_ACCEPTED);
    board.limits[0] = BIN_LIMITS_OPEN;
    later(20);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_OPEN && !core.lids[0].stay);
    later(1000);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_CLOSING);
}

static void a_shut_lid_is_held_for_300_ms(void)
{
    travel_told(20);
    later(2000);
    board.limits[0] = BIN_LIMITS_CLOSED;
    core.lids[0].unproven = false;
    later(20);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_CLOSED);
    later(BIN_DETACH_MS - 1);
    CHECK(board.pulse_us[0] != BIN_NO_PULSE);
    later(1);
    CHECK(board.pulse_us[0] == BIN_NO_PULSE);
}

static uint16_t first_pulse_of_homing(uint32_t after_ms)
{
    ready();
    CHECK(bin_start_calibration(&core).code == BIN_CODE_OK_ACCEPTED);
    CHECK(bin_jog(&core, 0, 1500).code == BIN_CODE_OK_ACCEPTED);
    board.limits[0] = 0;
    bin_end_calibration(&core);
    later(after_ms);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_HOMING);
    return board.pulse_us[0];
}

static void a_jog_is_a_moment_ago_for_1300_ms(void)
{
    CHECK(first_pulse_of_homing(BIN_JOGGED_MS) == 1500);
    CHECK(first_pulse_of_homing(BIN_JOGGED_MS + 1) == BIN_DEFAULT_OPEN_US);
}

/* Where a lid stands that leaves its shut switch so long after a reset. */
static uint8_t phase_of_one_off_its_switch(uint32_t after_ms)
{
    ready();
    later(after_ms - 1);
    board.limits[0] = 0;
    later(1);
    later(20); /* afterwards it makes no difference */
    return core.lids[0].phase;
}

static void a_lid_runs_on_for_a_second_at_most(void)
{
    CHECK(phase_of_one_off_its_switch(1) == BIN_LID_PHASE_HOMING);
    CHECK(phase_of_one_off_its_switch(BIN_RAN_ON_MS - 1) == BIN_LID_PHASE_HOMING);
    CHECK(phase_of_one_off_its_switch(BIN_RAN_ON_MS) == BIN_LID_PHASE_CLOSED);
    ready();
    later(BIN_RAN_ON_MS);
    later(0u - BIN_RAN_ON_MS); /* 49 days on, the clock reads as at the reset */
    board.limits[0] = 0;
    later(20);
    CHECK(core.lids[0].phase == BIN_LID_PHASE_CLOSED);
}

static void calibration_ends_after_30_s(void)
{
    ready();
    CHECK(bin_start_calibration(&core).code == BIN_CODE_OK_ACCEPTED);
    later(BIN_CALIBRATING_MS - 1);
    CHECK(core.calibrating);
    later(1);
    CHECK(!core.calibrating);
}

/* ---- the link -------------------------------------------------------------------------------------------------------------- */

/* protocol.h may learn a command before bin_link.c does. */
static void an_unknown_command_does_nothing(void)
{
    const uint8_t wish[BIN_BODY_MAX] = {99};
    struct bin_core before;

    ready();
    before = core;
    CHECK(execute(&core, wish).code == BIN_CODE_UNSUPPORTED);
    CHECK(memcmp(&before, &core, sizeof core) == 0);
}

static void numbers_run_from_65535_to_1(void)
{
    ready();
    core.event_seq = 0xFFFE;
    bin_report(&core, BIN_EVENT_KIND_JAM, 0, 0, 1);
    bin_report(&core, BIN_EVENT_KIND_JAM, 0, 0, 2);
    CHECK(core.events[0].seq == 0xFFFF);
    CHECK(core.events[1].seq == 1);
    forget_events(&core, 0xFFFF);
    CHECK(core.event_count == 1 && core.events[0].seq == 1);
}

/* Lid slots fill their place and no byte more; lids that are not fitted are absent and all unknown. */
static void four_slots_fill_their_place(void)
{
    uint8_t at[BIN_SLOTS * BIN_SIZE_LID_TELEMETRY + 1];
    size_t i;

    ready(), identity.lids = 5;
    bin_core_init(&core, &hal, &identity, &survivor, BIN_RESET_CAUSE_EXTERNAL, 0);
    memset(at, 0x11, sizeof at);
    put_slots(&core, at, 4);
    CHECK(at[BIN_AT_LID_TELEMETRY_STATE] == BIN_LID_PHASE_CLOSED);
    for (i = BIN_SIZE_LID_TELEMETRY; i < sizeof at - 1; i++) {
        CHECK(at[i] == 0xFF);
    }
    CHECK(at[sizeof at - 1] == 0x11);
}

static uint16_t silence_told(uint32_t ms)
{
    ready();
    bin_core_tick(&core, core.now_ms + ms);
    CHECK(!core.host_alive && core.events[0].kind == BIN_EVENT_KIND_HOST_LOST);
    return core.events[0].value;
}

static void the_silence_of_a_host_stops_at_65534(void)
{
    CHECK(silence_told(2001) == 2001);
    CHECK(silence_told(65533) == 65533);
    CHECK(silence_told(65534) == 65534);
    CHECK(silence_told(65535) == 65534);
}

static void telemetry_periods(void)
{
    static const uint16_t asked[] = {0, 1, 49, 50, 51, 9999, 10000, 10001, 65535};
    static const uint16_t given[] = {0, 50, 50, 50, 51, 9999, 10000, 10000, 10000};
    size_t i;

    for (i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        CHECK(clamp_period(asked[i]) == given[i]);
    }
    for (i = 99; i < 102; i++) { /* while a lid moves: every 100 ms at least */
        ready(), core.telemetry_ms = (uint16_t)i;
        CHECK(ask_to_open(0) == BIN_CODE_OK_ACCEPTED);
        board.limits[0] = 0;
        core.told_ms = core.now_ms;
        board.sent = 0;
        later((i < 100 ? 99 : 100) - 1);
        CHECK(board.sent == 0);
        later(1);
        CHECK(board.sent == 1);
    }
}

/* Telemetry speaks only to a host; asked without one, it says so. */
static void without_a_host_the_state_is_no_host(void)
{
    ready();
    CHECK(state(&core) == BIN_CONTROLLER_STATE_IDLE);
    core.host_alive = false;
    CHECK(state(&core) == BIN_CONTROLLER_STATE_NO_HOST);
}

/* ---- what survives a reset ------------------------------------------------------------------------------------------------- */

static void restart_with(const struct bin_survivor *memory, uint8_t cause)
{
    survivor = *memory;
    memset(&core, 0xA5, sizeof core);
    bin_core_init(&core, &hal, &identity, &survivor, cause, 0);
}

/* A reset after any byte of the write: the id is there or not, but what was there before never goes. */
static void a_reset_in_the_middle_of_a_write_loses_no_action(void)
{
    struct bin_survivor before, after_all, torn;
    size_t cut;
    uint32_t id;

    ready();
    for (id = 1; id <= BIN_ACTION_RING + 2; id++) {
        before = survivor;
        bin_begin_action(&core, id * 0x01010101u);
        after_all = survivor;
        for (cut = 0; cut <= sizeof torn; cut++) {
            const uint32_t expected = (cut < sizeof(struct bin_actions) ? id - 1 : id) * 0x01010101u;
            uint32_t found;

            torn = before;
            memcpy(&torn, &after_all, cut);
            restart_with(&torn, BIN_RESET_CAUSE_WATCHDOG);
            found = last_action(&core);
            /* The last bytes of a copy may be padding: then the new one is whole before it is written to the end. */
            CHECK(found == expected || (found == id * 0x01010101u && cut + 4 >= sizeof(struct bin_actions)));
            CHECK(id == 1 || began_lately(&core, (id - 1) * 0x01010101u));
            CHECK(memcmp(&survivor.copies[0], &survivor.copies[1], sizeof survivor.copies[0]) == 0);
        }
        restart_with(&after_all, BIN_RESET_CAUSE_WATCHDOG);
    }
    CHECK(survivor.copies[0].count == BIN_ACTION_RING);
    CHECK(!began_lately(&core, 0x02020202u) && began_lately(&core, 0x03030303u));
}

/* No cause but a power-on forgets, and no single turned bit in both copies passes. */
static void damaged_action_ids_are_forgotten(void)
{
    static const uint8_t causes[] = {BIN_RESET_CAUSE_EXTERNAL, BIN_RESET_CAUSE_BROWN_OUT, BIN_RESET_CAUSE_WATCHDOG};
    struct bin_survivor whole_one, bad;
    unsigned bit;
    size_t i;

    ready();
    bin_begin_action(&core, 77);
    whole_one = survivor;
    for (i = 0; i < sizeof causes; i++) {
        restart_with(&whole_one, causes[i]);
        CHECK(last_action(&core) == 77);
    }
    restart_with(&whole_one, BIN_RESET_CAUSE_POWER_ON);
    CHECK(last_action(&core) == 0);
    for (bit = 0; bit < 8 * (offsetof(struct bin_actions, count) + 1); bit++) {
        bad = whole_one;
        ((uint8_t *)&bad.copies[0])[bit / 8] ^= (uint8_t)(1u << bit % 8);
        restart_with(&bad, BIN_RESET_CAUSE_WATCHDOG);
        CHECK(last_action(&core) == 77); /* from the second copy */
        ((uint8_t *)&bad.copies[1])[bit / 8] ^= (uint8_t)(1u << bit % 8);
        restart_with(&bad, BIN_RESET_CAUSE_WATCHDOG);
        CHECK(last_action(&core) == 0 && survivor.copies[0].count == 0);
    }
    bad = whole_one; /* a count beyond the ring, under a CRC that fits */
    bad.copies[0].count = bad.copies[1].count = BIN_ACTION_RING + 1;
    bad.copies[0].crc = bad.copies[1].crc = actions_crc(&bad.copies[0]);
    restart_with(&bad, BIN_RESET_CAUSE_WATCHDOG);
    CHECK(last_action(&core) == 0);
}

int main(void)
{
    the_gate_opens_when_all_is_well();
    the_gate_refuses_for_each_reason();
    a_waiting_lid_asks_the_gate_again();
    twenty_openings_a_minute();
    after_49_days_nothing_is_young_again();
    openings_are_forgotten_oldest_first();
    a_board_need_not_listen_to_motions();
    no_board_has_more_lids_than_there_is_room_for();
    lids_that_are_not_fitted_are_left_alone();
    a_full_line_loses_whole_frames_and_nothing_else();
    a_damaged_calibration_is_not_used();
    the_hold_time_is_clamped();
    the_stall_limit();
    shut_ends_having_been_open();
    a_jog_begins_without_a_stall();
    times_in_events_stop_at_65534();
    a_lid_that_backed_away_waits_2_s();
    what_a_stop_left_behind_ends_with_the_next_motion();
    a_shut_lid_is_held_for_300_ms();
    a_jog_is_a_moment_ago_for_1300_ms();
    a_lid_runs_on_for_a_second_at_most();
    calibration_ends_after_30_s();
    an_unknown_command_does_nothing();
    numbers_run_from_65535_to_1();
    four_slots_fill_their_place();
    the_silence_of_a_host_stops_at_65534();
    telemetry_periods();
    without_a_host_the_state_is_no_host();
    a_reset_in_the_middle_of_a_write_loses_no_action();
    damaged_action_ids_are_forgotten();
    printf("%u checks, %u wrong\n", checked, wrong);
    return wrong > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
