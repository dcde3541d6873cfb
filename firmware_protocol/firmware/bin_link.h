/* Between the two halves of the core: what the link asks of the lids and what the lids tell the link. Not for boards. */
#ifndef BIN_LINK_H
#define BIN_LINK_H

#include "bin_core.h"

#define BIN_NO_VALUE 0xFFFFu       /* event value: unknown */
#define BIN_EVENT_VALUE_MAX 0xFFFEu

/* Answer to a command. `detail`: retry after, ms. */
struct bin_verdict {
    uint8_t code; /* BIN_CODE_* */
    uint16_t detail;
};

/* A set of lid phases. */
#define BIN_PHASE(name) (1u << BIN_LID_PHASE_##name)
#define BIN_MOVING (BIN_PHASE(OPENING) | BIN_PHASE(CLOSING) | BIN_PHASE(REVERSING) | BIN_PHASE(HOMING))

static inline struct bin_verdict bin_verdict(uint8_t code, uint16_t detail)
{
    const struct bin_verdict verdict = {code, detail};

    return verdict;
}

/* Milliseconds since `then_ms` on the wrapping clock; right for spans below 49 days. Only here are times subtracted. */
static inline uint32_t bin_since(const struct bin_core *core, uint32_t then_ms)
{
    return core->now_ms - then_ms;
}

static inline bool bin_lid_in(const struct bin_lid *lid, unsigned phases)
{
    return ((phases >> lid->phase) & 1u) != 0;
}

/* bin_core.c: the lids. All act at core->now_ms. */
void bin_lids_boot(struct bin_core *core);      /* after a reset: no servo has a signal, what is not shut is to be homed */
void bin_lids_tick(struct bin_core *core);
void bin_lids_close_all(struct bin_core *core); /* dead-man: forget what waits, end calibration, shut what stands open */
unsigned bin_lids_phases(const struct bin_core *core); /* the phases that any lid is in */
bool bin_cal_fits(const struct bin_cal *cal);   /* within the device's bounds */
struct bin_verdict bin_accept_open(struct bin_core *core, uint8_t number, uint32_t action_id, uint16_t hold_ms,
                                   uint16_t start_within_ms);
struct bin_verdict bin_accept_close(struct bin_core *core, uint8_t number, uint32_t action_id);
void bin_halt(struct bin_core *core);           /* STOP */
void bin_latch(struct bin_core *core);          /* STOP_LATCH */
struct bin_verdict bin_clear(struct bin_core *core); /* STOP_CLEAR */
struct bin_verdict bin_start_calibration(struct bin_core *core);
void bin_end_calibration(struct bin_core *core);
struct bin_verdict bin_jog(struct bin_core *core, uint8_t number, uint16_t pulse_us);

/* bin_link.c: what the lids tell. */
void bin_report(struct bin_core *core, uint8_t kind, uint8_t lid, uint32_t action_id, uint16_t value);
void bin_begin_action(struct bin_core *core, uint32_t action_id); /* remembered over a reset when it returns */

#endif
