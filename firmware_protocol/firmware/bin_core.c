/* The lids: one state table, one gate (may_open), one mover. The twin of lid_core.py, function by function.
 *
 * Every OPEN passes may_open(), at acceptance and again when its motion begins. Backing away from a finger asks nobody; JOG has a
 * gate of its own, which only a technician in calibration passes. */
#include "bin_core.h"

#include "bin_link.h"

#define STANDS (BIN_PHASE(OPEN) | BIN_PHASE(HALTED) | BIN_PHASE(UNKNOWN))

/* ---- small steps ---------------------------------------------------------------------------------------------------------- */

static uint16_t apart(uint16_t a, uint16_t b)
{
    return (uint16_t)(a > b ? a - b : b - a);
}

static uint16_t at_most(uint32_t value, uint16_t most)
{
    return value > most ? most : (uint16_t)value;
}

/* What is left of a span that began then. */
static uint16_t left(const struct bin_core *core, uint32_t then_ms, uint16_t span_ms)
{
    const uint32_t gone_ms = bin_since(core, then_ms);

    return gone_ms >= span_ms ? 0 : (uint16_t)(span_ms - gone_ms);
}

static void enter(const struct bin_core *core, struct bin_lid *lid, uint8_t phase)
{
    lid->phase = phase;
    lid->since_ms = core->now_ms;
    lid->settling = false;
}

static void pulse(const struct bin_core *core, struct bin_lid *lid, uint16_t pulse_us)
{
    lid->pulse_us = lid->last_us = pulse_us;
    core->hal->set_pulse_us(core->hal->ctx, lid->number, pulse_us);
}

static void detach(const struct bin_core *core, struct bin_lid *lid)
{
    lid->pulse_us = BIN_NO_PULSE;
    core->hal->set_pulse_us(core->hal->ctx, lid->number, BIN_NO_PULSE);
}

static void tell(const struct bin_core *core, const struct bin_lid *lid, enum bin_motion motion)
{
    if (core->hal->on_motion) {
        core->hal->on_motion(core->hal->ctx, lid->number, motion, lid->action_id);
    }
}

static void end_motion(struct bin_core *core, struct bin_lid *lid)
{
    lid->moved = core->moved = true;
    lid->ended_ms = core->ended_ms = core->now_ms;
}

static void forget(struct bin_core *core, struct bin_lid *lid)
{
    bin_report(core, BIN_EVENT_KIND_TIMEOUT, lid->number, lid->action_id, BIN_TIMEOUT_REASON_NOT_STARTED);
    lid->action_id = 0;
    enter(core, lid, BIN_LID_PHASE_CLOSED);
}

unsigned bin_lids_phases(const struct bin_core *core)
{
    unsigned phases = 0;
    uint8_t i;

    for (i = 0; i < core->lid_count; i++) {
        phases |= 1u << core->lids[i].phase;
    }
    return phases;
}

bool bin_cal_fits(const struct bin_cal *cal)
{
    return cal->open_us >= BIN_PULSE_MIN_US && cal->open_us <= BIN_PULSE_MAX_US && cal->closed_us >= BIN_PULSE_MIN_US &&
           cal->closed_us <= BIN_PULSE_MAX_US && apart(cal->open_us, cal->closed_us) >= BIN_CAL_TRAVEL_MIN_US &&
           cal->speed_us_per_20ms > 0 && cal->jam_ma <= BIN_JAM_MAX_MA;
}

/* ---- the gate ------------------------------------------------------------------------------------------------------------- */

static bool supply_ok(const struct bin_core *core)
{
    uint16_t vin_mv, vservo_mv;

    if (!(core->identity->caps & BIN_CAPS_SUPPLY_SENSE)) {
        return true;
    }
    vin_mv = core->hal->vin_mv(core->hal->ctx);
    vservo_mv = core->hal->vservo_mv(core->hal->ctx);
    return vin_mv != BIN_UNKNOWN_U16 && vservo_mv != BIN_UNKNOWN_U16 && vin_mv >= BIN_VIN_MIN_MV &&
           vservo_mv >= BIN_VSERVO_MIN_MV;
}

static uint16_t opens_left(const struct bin_core *core)
{
    /* Of a full ring the oldest lies where the next one goes. */
    return core->opens < BIN_OPENS_MAX ? 0 : left(core, core->opens_ms[core->opens_at], BIN_OPENS_WINDOW_MS);
}

/* How long this lid must wait at least before it may begin a motion. */
static uint16_t rest_left(const struct bin_core *core, const struct bin_lid *lid)
{
    uint16_t wait_ms = 0;
    uint16_t left_ms;

    if (bin_lids_phases(core) & BIN_MOVING) {
        return BIN_STAGGER_MS; /* and its travel, which nobody knows yet */
    }
    if (core->moved) {
        wait_ms = left(core, core->ended_ms, BIN_STAGGER_MS);
    }
    if (lid->moved && (left_ms = left(core, lid->ended_ms, BIN_REST_MS)) > wait_ms) {
        wait_ms = left_ms;
    }
    if (lid->phase == BIN_LID_PHASE_OPEN && lid->backed &&
        (left_ms = left(core, lid->since_ms, lid->hold_ms)) > wait_ms) {
        wait_ms = left_ms; /* a finger was there a moment ago */
    }
    return wait_ms;
}

/* Somebody holds a shut lid up: its first pulse, that of the shut lid, would throw it down on that hand. */
static bool lifted(const struct bin_core *core, const struct bin_lid *lid)
{
    const uint8_t limits = core->hal->limits(core->hal->ctx, lid->number);

    return limits != BIN_UNKNOWN_U8 && limits != BIN_LIMITS_CLOSED;
}

/* The only gate before an opening pulse: OK_ACCEPTED only when all is well; what it does not know, it refuses.
 * `patience_ms`: how long the motion may wait to begin; 0 asks whether it may begin now. */
static struct bin_verdict may_open(const struct bin_core *core, const struct bin_lid *lid, uint16_t patience_ms)
{
    uint16_t wait_ms;

    if (!core->host_alive) {
        return bin_verdict(BIN_CODE_NO_SESSION, 0);
    }
    if (core->stop || core->hal->stop_pressed(core->hal->ctx)) { /* pressed since the last tick counts too */
        return bin_verdict(BIN_CODE_STOPPED, 0);
    }
    if (lid->phase == BIN_LID_PHASE_FAULT) {
        return bin_verdict(BIN_CODE_FAULT_LATCHED, 0);
    }
    if (core->calibrating) {
        return bin_verdict(BIN_CODE_BUSY, left(core, core->calibrating_ms, BIN_CALIBRATING_MS));
    }
    if (!supply_ok(core)) {
        return bin_verdict(BIN_CODE_LOW_VOLTAGE, 0);
    }
    wait_ms = opens_left(core);
    if (wait_ms > patience_ms) {
        return bin_verdict(BIN_CODE_RATE_LIMIT, wait_ms);
    }
    if (!bin_lid_in(lid, BIN_PHASE(CLOSED) | BIN_PHASE(WAITING)) || lifted(core, lid)) {
        return bin_verdict(BIN_CODE_BUSY, BIN_REST_MS);
    }
    wait_ms = rest_left(core, lid);
    if (wait_ms > patience_ms) {
        return bin_verdict(BIN_CODE_BUSY, wait_ms);
    }
    return bin_verdict(BIN_CODE_OK_ACCEPTED, 0);
}

/* ---- one motion ----------------------------------------------------------------------------------------------------------- */

static uint16_t target_us(const struct bin_lid *lid)
{
    return lid->goal == BIN_LIMITS_OPEN ? lid->cal.open_us : lid->cal.closed_us;
}

static bool on_shut_switch(const struct bin_core *core, const struct bin_lid *lid)
{
    const uint8_t limits = core->hal->limits(core->hal->ctx, lid->number);

    return limits != BIN_UNKNOWN_U8 && limits & BIN_LIMITS_CLOSED;
}

/* Where a lid without signal starts. */
static uint16_t first_us(const struct bin_core *core, const struct bin_lid *lid, uint8_t phase, bool jogged)
{
    bool shut;

    if (phase == BIN_LID_PHASE_OPENING) {
        return lid->cal.closed_us;
    }
    shut = core->hal->limits(core->hal->ctx, lid->number) == BIN_LIMITS_CLOSED;
    if (jogged || (shut && lid->unproven)) {
        return lid->last_us; /* its jog ended a moment ago; or it was halted there, and only its switch says shut */
    }
    return shut ? lid->cal.closed_us : lid->cal.open_us; /* lifted by hand? a jump toward open pinches nobody */
}

static void begin(const struct bin_core *core, struct bin_lid *lid, uint8_t phase, uint8_t goal)
{
    const bool jogged =
        phase == BIN_LID_PHASE_HOMING && lid->last_us != BIN_NO_PULSE && bin_since(core, lid->since_ms) <= BIN_JOGGED_MS;
    uint16_t way_us = apart(lid->cal.open_us, lid->cal.closed_us);
    uint16_t from_us;

    lid->goal = goal;
    lid->over = false;
    lid->stay = false;
    lid->stepped_ms = core->now_ms;
    if (lid->pulse_us == BIN_NO_PULSE) {
        pulse(core, lid, first_us(core, lid, phase, jogged));
    }
    if (!jogged) {
        lid->unproven = on_shut_switch(core, lid);
    }
    from_us = apart(lid->pulse_us, target_us(lid));
    if (from_us > way_us) {
        way_us = from_us; /* it was jogged beyond its ends, or calibrated anew while it stood open */
    }
    /* At most (2000 / 1 + 1) * 20 + 1000. */
    lid->travel_ms = (uint16_t)((way_us / lid->cal.speed_us_per_20ms + 1) * BIN_STEP_MS + BIN_TRAVEL_SLACK_MS);
    enter(core, lid, phase);
}

static void begin_opening(struct bin_core *core, struct bin_lid *lid)
{
    bin_begin_action(core, lid->action_id); /* remembered over a reset BEFORE the first pulse */
    core->opens_ms[core->opens_at] = core->now_ms;
    core->opens_at = (uint8_t)(core->opens_at + 1 < BIN_OPENS_MAX ? core->opens_at + 1 : 0);
    if (core->opens < BIN_OPENS_MAX) {
        core->opens++;
    }
    lid->close_due = false;
    begin(core, lid, BIN_LID_PHASE_OPENING, BIN_LIMITS_OPEN);
    tell(core, lid, BIN_MOTION_OPENING);
}

static void begin_closing(struct bin_core *core, struct bin_lid *lid)
{
    const bool homing = lid->phase == BIN_LID_PHASE_UNKNOWN;

    begin(core, lid, homing ? BIN_LID_PHASE_HOMING : BIN_LID_PHASE_CLOSING, BIN_LIMITS_CLOSED);
    tell(core, lid, BIN_MOTION_CLOSING);
}

static void latch_fault(const struct bin_core *core, struct bin_lid *lid)
{
    detach(core, lid);
    enter(core, lid, BIN_LID_PHASE_FAULT);
}

static void slew(const struct bin_core *core, struct bin_lid *lid, uint16_t to_us)
{
    const uint32_t gone_ms = bin_since(core, lid->stepped_ms);
    const uint16_t step_us = lid->cal.speed_us_per_20ms;

    if (gone_ms < BIN_STEP_MS || lid->pulse_us == to_us) {
        return;
    }
    lid->stepped_ms += gone_ms - gone_ms % BIN_STEP_MS; /* a late tick must not become a jump: still one step */
    if (apart(lid->pulse_us, to_us) <= step_us) {
        lid->stepped_ms = core->now_ms;
        pulse(core, lid, to_us);
    } else {
        pulse(core, lid, (uint16_t)(to_us > lid->pulse_us ? lid->pulse_us + step_us : lid->pulse_us - step_us));
    }
}

static bool arrived(const struct bin_core *core, const struct bin_lid *lid)
{
    const uint8_t limits = core->hal->limits(core->hal->ctx, lid->number);

    if (limits != BIN_UNKNOWN_U8 && !(lid->unproven && limits == lid->goal)) {
        return limits == lid->goal;
    }
    return lid->pulse_us == target_us(lid) && bin_since(core, lid->stepped_ms) >= BIN_SETTLE_MS;
}

static bool pinched(const struct bin_core *core, const struct bin_lid *lid)
{
    uint16_t lids = 0;

    return core->hal->pinch(core->hal->ctx, &lids) && (lids >> lid->number & 1) != 0;
}

static bool jammed(const struct bin_core *core, struct bin_lid *lid)
{
    const uint16_t current_ma = core->hal->current_ma(core->hal->ctx, lid->number);
    const bool over = lid->cal.jam_ma > 0 && current_ma != BIN_UNKNOWN_U16 && current_ma > lid->cal.jam_ma;

    if (!over || bin_since(core, lid->since_ms) < BIN_INRUSH_MS) {
        lid->over = false;
    } else if (!lid->over) {
        lid->over = true;
        lid->over_ms = core->now_ms;
    }
    return lid->over && bin_since(core, lid->over_ms) >= BIN_JAM_MS;
}

static uint8_t too_late(const struct bin_core *core, const struct bin_lid *lid)
{
    return lid->goal == BIN_LIMITS_OPEN && on_shut_switch(core, lid) ? BIN_TIMEOUT_REASON_SHUT_SWITCH
                                                                      : BIN_TIMEOUT_REASON_TRAVEL;
}

/* `why`: of a TIMEOUT; else 0. */
static void reverse(struct bin_core *core, struct bin_lid *lid, uint8_t kind, uint8_t why)
{
    lid->reversals++;
    if (lid->goal == BIN_LIMITS_OPEN && lid->reversals < BIN_REVERSALS_MAX &&
        core->hal->limits(core->hal->ctx, lid->number) == (BIN_LIMITS_CLOSED | BIN_LIMITS_OPEN)) {
        /* Open by one switch and shut by the other: one is broken, and the lid is latched once it has backed away. */
        lid->reversals = BIN_REVERSALS_MAX;
    }
    bin_report(core, kind, lid->number, lid->action_id, why ? why : lid->reversals);
    end_motion(core, lid);
    if (lid->reversals > BIN_REVERSALS_MAX) {
        latch_fault(core, lid);
        return;
    }
    begin(core, lid, BIN_LID_PHASE_REVERSING, lid->goal == BIN_LIMITS_OPEN ? BIN_LIMITS_CLOSED : BIN_LIMITS_OPEN);
    tell(core, lid, BIN_MOTION_REVERSED);
}

static void arrive_open(struct bin_core *core, struct bin_lid *lid, bool reversing, uint32_t travel_ms)
{
    enter(core, lid, BIN_LID_PHASE_OPEN);
    lid->backed = reversing;
    if (reversing) {
        lid->hold_ms = BIN_REVERSED_HOLD_MS; /* even a CLOSE waits for it, see rest_left() */
    } else {
        lid->opened = true;
        lid->opened_ms = core->now_ms;
        bin_report(core, BIN_EVENT_KIND_OPENED, lid->number, lid->action_id, at_most(travel_ms, BIN_EVENT_VALUE_MAX));
    }
    tell(core, lid, BIN_MOTION_OPEN);
}

static void arrive_closed(struct bin_core *core, struct bin_lid *lid, bool reversing)
{
    enter(core, lid, BIN_LID_PHASE_CLOSED);
    bin_report(core, BIN_EVENT_KIND_CLOSED, lid->number, lid->action_id,
               lid->opened ? at_most(bin_since(core, lid->opened_ms), BIN_EVENT_VALUE_MAX) : BIN_NO_VALUE);
    tell(core, lid, BIN_MOTION_CLOSED);
    lid->action_id = 0;
    lid->opened = false;
    if (!reversing) {
        lid->reversals = 0;
    }
}

static void arrive(struct bin_core *core, struct bin_lid *lid)
{
    const bool reversing = lid->phase == BIN_LID_PHASE_REVERSING;
    const uint32_t travel_ms = bin_since(core, lid->since_ms);

    end_motion(core, lid);
    if (lid->goal == BIN_LIMITS_CLOSED) {
        arrive_closed(core, lid, reversing);
    } else {
        arrive_open(core, lid, reversing, travel_ms);
    }
    if (reversing && lid->reversals >= BIN_REVERSALS_MAX) {
        latch_fault(core, lid);
    }
}

/* A shut switch that lets go is not stuck. */
static void watch_shut_switch(const struct bin_core *core, struct bin_lid *lid)
{
    if (lid->unproven) {
        lid->unproven = on_shut_switch(core, lid);
    }
}

static void step(struct bin_core *core, struct bin_lid *lid)
{
    watch_shut_switch(core, lid);
    if (arrived(core, lid)) {
        arrive(core, lid);
    } else if (lid->goal == BIN_LIMITS_CLOSED && pinched(core, lid)) {
        reverse(core, lid, BIN_EVENT_KIND_PINCH_REVERSED, 0);
    } else if (jammed(core, lid)) {
        reverse(core, lid, BIN_EVENT_KIND_JAM, 0);
    } else if (bin_since(core, lid->since_ms) > lid->travel_ms) {
        reverse(core, lid, BIN_EVENT_KIND_TIMEOUT, too_late(core, lid));
    } else if (!lid->over) { /* while the current is high the pulse must not run ahead of the lid */
        slew(core, lid, target_us(lid));
    }
}

/* ---- jogging -------------------------------------------------------------------------------------------------------------- */

static void unjog(struct bin_core *core, struct bin_lid *lid)
{
    end_motion(core, lid);
    detach(core, lid);
    enter(core, lid, BIN_LID_PHASE_UNKNOWN);
    lid->close_due = true;
}

static void step_jog(struct bin_core *core, struct bin_lid *lid)
{
    bool caught;

    watch_shut_switch(core, lid);
    caught = pinched(core, lid);
    if (caught || jammed(core, lid)) {
        if (!caught && core->hal->limits(core->hal->ctx, lid->number) == BIN_LIMITS_CLOSED) {
            lid->unproven = false; /* it presses against its rim: what the technician came to find */
        }
        bin_report(core, BIN_EVENT_KIND_JAM, lid->number, 0, BIN_NO_VALUE);
        bin_end_calibration(core);
    } else if (!lid->over) {
        slew(core, lid, lid->jog_us);
    }
}

struct bin_verdict bin_start_calibration(struct bin_core *core)
{
    if (core->stop) {
        return bin_verdict(BIN_CODE_STOPPED, 0);
    }
    if (bin_lids_phases(core) & ~(BIN_PHASE(CLOSED) | BIN_PHASE(HALTED) | BIN_PHASE(JOGGING))) {
        return bin_verdict(BIN_CODE_BUSY, BIN_REST_MS);
    }
    core->calibrating = true;
    core->calibrating_ms = core->now_ms;
    return bin_verdict(BIN_CODE_OK_ACCEPTED, 0);
}

/* Calibration is over: what was jogged is shut under watch. */
void bin_end_calibration(struct bin_core *core)
{
    uint8_t i;

    core->calibrating = false;
    for (i = 0; i < core->lid_count; i++) {
        if (core->lids[i].phase == BIN_LID_PHASE_JOGGING) {
            unjog(core, &core->lids[i]);
        }
    }
}

/* One lid follows a pulse at its slew limit, under stall and pinch watch. */
struct bin_verdict bin_jog(struct bin_core *core, uint8_t number, uint16_t pulse_us)
{
    struct bin_lid *lid = &core->lids[number];
    uint8_t i;

    if (!core->calibrating) {
        return bin_verdict(BIN_CODE_BUSY, 0);
    }
    if (!supply_ok(core)) {
        return bin_verdict(BIN_CODE_LOW_VOLTAGE, 0);
    }
    for (i = 0; i < core->lid_count; i++) {
        if (i != number && core->lids[i].phase == BIN_LID_PHASE_JOGGING) {
            unjog(core, &core->lids[i]);
        }
    }
    core->calibrating_ms = core->now_ms;
    if (lid->phase != BIN_LID_PHASE_JOGGING) {
        enter(core, lid, BIN_LID_PHASE_JOGGING);
        lid->stepped_ms = core->now_ms;
        lid->over = false;
        lid->stay = false;
        lid->unproven = on_shut_switch(core, lid);
        lid->action_id = 0;
    }
    lid->jog_us = pulse_us;
    if (lid->pulse_us == BIN_NO_PULSE) {
        /* Where nobody knows the place of the lid, the first pulse is a jump. */
        pulse(core, lid, lid->last_us == BIN_NO_PULSE ? pulse_us : lid->last_us);
    }
    return bin_verdict(BIN_CODE_OK_ACCEPTED, 0);
}

/* ---- wishes --------------------------------------------------------------------------------------------------------------- */

/* One lid moves at a time; shutting goes before opening, openings in the order of their acceptance. */
static void start_next(struct bin_core *core)
{
    struct bin_lid *next = NULL;
    uint8_t i;

    if (core->stop || core->calibrating) {
        return;
    }
    for (i = 0; i < core->lid_count; i++) {
        struct bin_lid *lid = &core->lids[i];

        if (lid->close_due && bin_lid_in(lid, STANDS) && rest_left(core, lid) == 0) {
            begin_closing(core, lid);
            return;
        }
    }
    for (i = 0; i < core->lid_count; i++) {
        struct bin_lid *lid = &core->lids[i];

        if (lid->phase == BIN_LID_PHASE_WAITING &&
            (next == NULL || bin_since(core, lid->since_ms) > bin_since(core, next->since_ms)) &&
            may_open(core, lid, 0).code == BIN_CODE_OK_ACCEPTED) {
            next = lid;
        }
    }
    if (next != NULL) {
        begin_opening(core, next);
    }
}

/* Takes an OPEN: the lid waits for its turn, at most start_within_ms. */
struct bin_verdict bin_accept_open(struct bin_core *core, uint8_t number, uint32_t action_id, uint16_t hold_ms,
                                   uint16_t start_within_ms)
{
    struct bin_lid *lid = &core->lids[number];
    struct bin_verdict verdict;

    if (lid->phase == BIN_LID_PHASE_WAITING) {
        return bin_verdict(BIN_CODE_BUSY, BIN_REST_MS);
    }
    verdict = may_open(core, lid, start_within_ms);
    if (verdict.code == BIN_CODE_OK_ACCEPTED) {
        lid->action_id = action_id;
        lid->hold_ms = hold_ms < BIN_HOLD_MIN_MS ? BIN_HOLD_MIN_MS : at_most(hold_ms, BIN_HOLD_MAX_MS);
        lid->start_within_ms = start_within_ms;
        enter(core, lid, BIN_LID_PHASE_WAITING);
        start_next(core);
    }
    return verdict;
}

/* Takes a CLOSE. A lid that is on its way open turns back as soon as its rest allows. */
struct bin_verdict bin_accept_close(struct bin_core *core, uint8_t number, uint32_t action_id)
{
    struct bin_lid *lid = &core->lids[number];

    if (core->stop) {
        return bin_verdict(BIN_CODE_STOPPED, 0);
    }
    if (lid->phase == BIN_LID_PHASE_FAULT) {
        return bin_verdict(BIN_CODE_FAULT_LATCHED, 0);
    }
    if (core->calibrating) {
        return bin_verdict(BIN_CODE_BUSY, left(core, core->calibrating_ms, BIN_CALIBRATING_MS));
    }
    if (action_id == lid->last_close_id) {
        return bin_verdict(BIN_CODE_DUPLICATE, 0);
    }
    lid->last_close_id = action_id;
    if (lid->phase == BIN_LID_PHASE_WAITING) {
        forget(core, lid);
    }
    if (lid->phase == BIN_LID_PHASE_CLOSED) {
        bin_report(core, BIN_EVENT_KIND_CLOSED, number, action_id, BIN_NO_VALUE);
        return bin_verdict(BIN_CODE_OK_ACCEPTED, 0);
    }
    if (lid->action_id == 0) {
        lid->action_id = action_id;
    }
    lid->close_due = true;
    lid->stay = false;
    return bin_verdict(BIN_CODE_OK_ACCEPTED, 0);
}

void bin_lids_close_all(struct bin_core *core)
{
    uint8_t i;

    bin_end_calibration(core);
    for (i = 0; i < core->lid_count; i++) {
        struct bin_lid *lid = &core->lids[i];

        if (lid->phase == BIN_LID_PHASE_WAITING) {
            forget(core, lid);
        }
        lid->stay = false;
        if (lid->phase == BIN_LID_PHASE_OPENING) { /* so there is no stop: it would have halted this lid */
            begin_closing(core, lid); /* turns back at once: no rest for a lid without a host */
        } else {
            lid->close_due = true; /* says nothing to a lid that is shut or latched */
        }
    }
}

/* No lid moves, nothing waits; a lid halted on its way shuts by itself after its hold time. */
void bin_halt(struct bin_core *core)
{
    uint8_t i;

    bin_end_calibration(core);
    for (i = 0; i < core->lid_count; i++) {
        struct bin_lid *lid = &core->lids[i];

        if (lid->phase == BIN_LID_PHASE_WAITING) {
            forget(core, lid);
        }
        if (bin_lid_in(lid, BIN_MOVING)) {
            end_motion(core, lid);
        }
        if (bin_lid_in(lid, BIN_MOVING | BIN_PHASE(UNKNOWN) | BIN_PHASE(HALTED))) {
            if (lid->phase != BIN_LID_PHASE_OPENING) {
                lid->hold_ms = BIN_HALTED_HOLD_MS;
            }
            detach(core, lid);
            enter(core, lid, BIN_LID_PHASE_HALTED);
        }
        lid->close_due = false;
    }
}

/* As bin_halt(), no servo gets a signal, and nothing moves until bin_clear(). */
void bin_latch(struct bin_core *core)
{
    uint8_t i;

    bin_halt(core);
    core->stop |= BIN_STOP_LATCH;
    for (i = 0; i < core->lid_count; i++) {
        struct bin_lid *lid = &core->lids[i];

        detach(core, lid);
        if (lid->phase == BIN_LID_PHASE_OPEN) {
            enter(core, lid, BIN_LID_PHASE_HALTED);
        }
    }
}

/* Never moves a lid; lids that do not stand shut wait for a CLOSE. */
struct bin_verdict bin_clear(struct bin_core *core)
{
    uint8_t i;

    if (core->stop & BIN_STOP_MUSHROOM) {
        return bin_verdict(BIN_CODE_STOPPED, 0);
    }
    core->stop = 0;
    for (i = 0; i < core->lid_count; i++) {
        struct bin_lid *lid = &core->lids[i];

        if (lid->phase == BIN_LID_PHASE_FAULT) {
            lid->reversals = 0;
            enter(core, lid, BIN_LID_PHASE_HALTED);
        }
        lid->stay = lid->phase == BIN_LID_PHASE_HALTED;
        lid->close_due = lid->phase == BIN_LID_PHASE_UNKNOWN; /* no stop has halted it: it is homed as ever */
    }
    return bin_verdict(BIN_CODE_OK_ACCEPTED, 0);
}

/* ---- time ----------------------------------------------------------------------------------------------------------------- */

void bin_lids_boot(struct bin_core *core)
{
    uint8_t i;

    for (i = 0; i < core->lid_count; i++) {
        struct bin_lid *lid = &core->lids[i];
        bool shut;

        detach(core, lid);
        shut = core->hal->limits(core->hal->ctx, i) == BIN_LIMITS_CLOSED;
        enter(core, lid, shut ? BIN_LID_PHASE_CLOSED : BIN_LID_PHASE_UNKNOWN);
        lid->settling = shut;
        lid->close_due = !shut;
    }
}

static void watch_mushroom(struct bin_core *core)
{
    if (!core->hal->stop_pressed(core->hal->ctx)) {
        core->stop &= BIN_STOP_LATCH; /* the latch stays until STOP_CLEAR */
    } else if (!(core->stop & BIN_STOP_MUSHROOM)) {
        core->stop |= BIN_STOP_MUSHROOM;
        bin_latch(core);
        bin_report(core, BIN_EVENT_KIND_STOP_PRESSED, BIN_NO_LID, 0, BIN_NO_VALUE);
    }
}

/* Times that are over are forgotten, or 49 days later the wrapped clock would make them young again. */
static void expire(struct bin_core *core)
{
    const uint8_t at = core->opens_at;
    const uint8_t oldest = (uint8_t)(at >= core->opens ? at - core->opens : at + BIN_OPENS_MAX - core->opens);
    uint8_t i;

    if (core->opens > 0 && bin_since(core, core->opens_ms[oldest]) >= BIN_OPENS_WINDOW_MS) {
        core->opens--;
    }
    if (core->moved && bin_since(core, core->ended_ms) >= BIN_STAGGER_MS) {
        core->moved = false;
    }
    for (i = 0; i < core->lid_count; i++) {
        struct bin_lid *lid = &core->lids[i];

        if (lid->moved && bin_since(core, lid->ended_ms) >= BIN_REST_MS) {
            lid->moved = false;
        }
    }
}

/* Shut: its signal goes. A lid that ran on through a reset is not shut, and is homed. */
static void rest_shut(const struct bin_core *core, struct bin_lid *lid, uint32_t age_ms)
{
    if (lid->pulse_us != BIN_NO_PULSE && age_ms >= BIN_DETACH_MS) {
        detach(core, lid);
    }
    if (age_ms >= BIN_RAN_ON_MS) {
        lid->settling = false;
    } else if (lid->settling && !on_shut_switch(core, lid)) {
        enter(core, lid, BIN_LID_PHASE_UNKNOWN);
        lid->close_due = true;
    }
}

static void tick_lid(struct bin_core *core, struct bin_lid *lid)
{
    const uint32_t age_ms = bin_since(core, lid->since_ms);

    if (bin_lid_in(lid, BIN_MOVING)) {
        step(core, lid);
    } else if (lid->phase == BIN_LID_PHASE_JOGGING) {
        step_jog(core, lid);
    } else if (lid->phase == BIN_LID_PHASE_WAITING) {
        if (age_ms > lid->start_within_ms) {
            forget(core, lid);
        }
    } else if (lid->phase == BIN_LID_PHASE_CLOSED) {
        rest_shut(core, lid, age_ms);
    } else if (bin_lid_in(lid, BIN_PHASE(OPEN) | BIN_PHASE(HALTED)) && !lid->stay && age_ms >= lid->hold_ms) {
        lid->close_due = true;
    }
}

void bin_lids_tick(struct bin_core *core)
{
    uint8_t i;

    watch_mushroom(core);
    if (core->calibrating && bin_since(core, core->calibrating_ms) >= BIN_CALIBRATING_MS) {
        bin_end_calibration(core);
    }
    expire(core);
    for (i = 0; i < core->lid_count; i++) {
        tick_lid(core, &core->lids[i]);
    }
    start_next(core);
}
