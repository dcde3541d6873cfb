/* The link: frames in and out, session, commands, events, telemetry, and what survives a reset. The twin of reference.py. */
#include "bin_link.h"

#include <string.h>

/* ---- bytes ---------------------------------------------------------------------------------------------------------------- */

static uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | (uint16_t)at[1] << 8);
}

static uint32_t get_u32(const uint8_t *at)
{
    return get_u16(at) | (uint32_t)get_u16(at + 2) << 16;
}

static void put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value & 0xFFu);
    at[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, (uint16_t)(value & 0xFFFFu));
    put_u16(at + 2, (uint16_t)(value >> 16));
}

/* One frame on its way out: a delimiter, a COBS code, the body, its CRC, a delimiter. */
struct out {
    uint8_t bytes[1 + BIN_WIRE_MAX];
};

static uint8_t *payload_of(struct out *out)
{
    return out->bytes + 2 + BIN_HEADER_SIZE;
}

/* Sends the payload in `out`. What finds no room is lost, as on any line: RESULT is asked again, events are repeated. */
static void send(struct bin_core *core, struct out *out, uint8_t type, bool again, uint16_t session, uint16_t seq)
{
    const uint8_t size = bin_payload_size(type, payload_of(out)[0]);
    const bool quiet = !core->sent || bin_since(core, core->sent_ms) >= BIN_SILENCE_MS;
    uint8_t *header = out->bytes + 2;
    uint8_t len;

    header[0] = type;
    header[1] = (uint8_t)(BIN_PROTO_MAJOR << 4 | (again ? BIN_RETRANSMIT : 0));
    put_u16(header + 2, session);
    put_u16(header + 4, seq);
    out->bytes[0] = 0; /* after a silence one delimiter flushes what noise came before */
    len = frame_encode(out->bytes + 1, (uint8_t)(BIN_HEADER_SIZE + size));
    core->sent = true;
    core->sent_ms = core->now_ms;
    if (quiet) {
        core->hal->send(core->hal->ctx, out->bytes, (uint8_t)(1 + len));
    } else {
        core->hal->send(core->hal->ctx, out->bytes + 1, len);
    }
}

/* ---- what survives a reset ------------------------------------------------------------------------------------------------ */

static uint16_t actions_crc(const struct bin_actions *actions)
{
    return frame_crc((const uint8_t *)actions, (uint8_t)(offsetof(struct bin_actions, count) + sizeof actions->count));
}

static bool whole(const struct bin_actions *actions)
{
    return actions->count <= BIN_ACTION_RING && actions->crc == actions_crc(actions);
}

/* Both copies, one after the other. Volatile: the compiler must not mix the two writes. */
static void write_actions(struct bin_survivor *survivor, const struct bin_actions *actions)
{
    const uint8_t *from = (const uint8_t *)actions;
    uint8_t copy, i;

    for (copy = 0; copy < 2; copy++) {
        volatile uint8_t *to = (volatile uint8_t *)&survivor->copies[copy];

        for (i = 0; i < sizeof *actions; i++) {
            to[i] = from[i];
        }
    }
}

static void restore_actions(struct bin_survivor *survivor, uint8_t cause)
{
    struct bin_actions actions;

    memset(&actions, 0, sizeof actions);
    actions.crc = actions_crc(&actions);
    if (cause != BIN_RESET_CAUSE_POWER_ON) { /* after a power-on the memory holds noise */
        if (whole(&survivor->copies[0])) {
            actions = survivor->copies[0];
        } else if (whole(&survivor->copies[1])) {
            actions = survivor->copies[1];
        }
    }
    write_actions(survivor, &actions);
}

void bin_begin_action(struct bin_core *core, uint32_t action_id)
{
    struct bin_actions actions = core->survivor->copies[0];

    if (actions.count == BIN_ACTION_RING) {
        memmove(actions.ids, actions.ids + 1, (BIN_ACTION_RING - 1) * sizeof actions.ids[0]);
        actions.count--;
    }
    actions.ids[actions.count++] = action_id;
    actions.crc = actions_crc(&actions);
    write_actions(core->survivor, &actions);
}

static uint32_t last_action(const struct bin_core *core)
{
    const struct bin_actions *actions = &core->survivor->copies[0];

    return actions->count > 0 ? actions->ids[actions->count - 1] : 0;
}

static bool began_lately(const struct bin_core *core, uint32_t action_id)
{
    const struct bin_actions *actions = &core->survivor->copies[0];
    uint8_t i;

    for (i = 0; i < actions->count; i++) {
        if (actions->ids[i] == action_id) {
            return true;
        }
    }
    return false;
}

/* ---- events --------------------------------------------------------------------------------------------------------------- */

/* Numbers count 1..65535 and then from 1 again. */
static uint16_t after(uint16_t seq)
{
    return (uint16_t)(seq == 0xFFFFu ? 1 : seq + 1);
}

static void send_event(struct bin_core *core, const struct bin_event *event, bool again)
{
    struct out out;
    uint8_t *payload = payload_of(&out);

    put_u16(payload + BIN_AT_EVENT_EVENT_SEQ, event->seq);
    payload[BIN_AT_EVENT_KIND] = event->kind;
    payload[BIN_AT_EVENT_LID] = event->lid;
    put_u32(payload + BIN_AT_EVENT_ACTION_ID, event->action_id);
    put_u16(payload + BIN_AT_EVENT_VALUE, event->value);
    send(core, &out, BIN_TYPE_EVENT, again, core->session, event->seq);
}

static void drop_events(struct bin_core *core, uint8_t count)
{
    core->event_count = (uint8_t)(core->event_count - count);
    memmove(core->events, core->events + count, core->event_count * sizeof core->events[0]);
}

void bin_report(struct bin_core *core, uint8_t kind, uint8_t lid, uint32_t action_id, uint16_t value)
{
    struct bin_event *event;

    if (core->event_count == BIN_EVENT_RING) {
        drop_events(core, 1);
    }
    event = &core->events[core->event_count++];
    core->event_seq = after(core->event_seq);
    event->seq = core->event_seq;
    event->kind = kind;
    event->lid = lid;
    event->action_id = action_id;
    event->value = value;
    event->due = false;
    if (core->host_alive) {
        send_event(core, event, false);
    }
}

/* Drops what the host has seen; a number that is not in the ring acknowledges nothing. */
static void forget_events(struct bin_core *core, uint16_t last_event_seq)
{
    uint8_t i;

    for (i = 0; i < core->event_count; i++) {
        if (core->events[i].seq == last_event_seq) {
            drop_events(core, (uint8_t)(i + 1));
            return;
        }
    }
}

/* Says what no PING has named, a few each tick; returns whether there was anything to say. */
static bool repeat_events(struct bin_core *core)
{
    const bool due = bin_since(core, core->repeated_ms) >= BIN_EVENT_REPEAT_MS;
    uint8_t said = 0;
    uint8_t i;

    if (due) {
        core->repeated_ms = core->now_ms;
    }
    for (i = 0; i < core->event_count; i++) {
        struct bin_event *event = &core->events[i];

        event->due = event->due || due;
        if (event->due && said < BIN_REPEATS_PER_TICK) {
            event->due = false;
            send_event(core, event, true);
            said++;
        }
    }
    return said > 0;
}

/* ---- telemetry ------------------------------------------------------------------------------------------------------------ */

/* The controller as a whole; what asks for a person comes first. */
static uint8_t state(const struct bin_core *core)
{
    const unsigned phases = bin_lids_phases(core);

    if (core->stop) {
        return BIN_CONTROLLER_STATE_STOPPED;
    }
    if (phases & BIN_PHASE(FAULT)) {
        return BIN_CONTROLLER_STATE_FAULT;
    }
    if (!core->host_alive) {
        return BIN_CONTROLLER_STATE_NO_HOST;
    }
    if (core->calibrating) {
        return BIN_CONTROLLER_STATE_CALIBRATING;
    }
    if (phases & (BIN_PHASE(HOMING) | BIN_PHASE(UNKNOWN))) {
        return BIN_CONTROLLER_STATE_HOMING;
    }
    return phases & BIN_MOVING ? BIN_CONTROLLER_STATE_MOVING : BIN_CONTROLLER_STATE_IDLE;
}

static void put_slots(const struct bin_core *core, uint8_t *at, uint8_t first)
{
    const struct bin_hal *hal = core->hal;
    uint8_t number;

    for (number = first; number < first + BIN_SLOTS; number++, at += BIN_SIZE_LID_TELEMETRY) {
        if (number >= core->lid_count) {
            memset(at, 0xFF, BIN_SIZE_LID_TELEMETRY); /* ABSENT, and all else unknown */
            continue;
        }
        at[BIN_AT_LID_TELEMETRY_STATE] = core->lids[number].phase;
        put_u16(at + BIN_AT_LID_TELEMETRY_POS_US, core->lids[number].pulse_us);
        at[BIN_AT_LID_TELEMETRY_LIMITS] = hal->limits(hal->ctx, number);
        put_u16(at + BIN_AT_LID_TELEMETRY_CURRENT_MA, hal->current_ma(hal->ctx, number));
        put_u16(at + BIN_AT_LID_TELEMETRY_FILL_MM, hal->fill_mm(hal->ctx, number));
    }
}

static uint8_t pinch_of(const struct bin_core *core, uint8_t first)
{
    uint16_t lids = 0;

    return (uint8_t)(core->hal->pinch(core->hal->ctx, &lids) ? (unsigned)lids >> first & 0x0Fu : BIN_UNKNOWN_U8);
}

static void send_telemetry(struct bin_core *core)
{
    const struct bin_hal *hal = core->hal;
    struct out out;
    uint8_t *payload = payload_of(&out);

    put_u32(payload + BIN_AT_TELEMETRY_UPTIME_MS, bin_since(core, core->booted_ms));
    payload[BIN_AT_TELEMETRY_STATE] = state(core);
    payload[BIN_AT_TELEMETRY_STOP] = core->stop;
    put_u16(payload + BIN_AT_TELEMETRY_VIN_MV, hal->vin_mv(hal->ctx));
    put_u16(payload + BIN_AT_TELEMETRY_VSERVO_MV, hal->vservo_mv(hal->ctx));
    put_slots(core, payload + BIN_AT_TELEMETRY_SLOTS, 0);
    payload[BIN_AT_TELEMETRY_PINCH] = pinch_of(core, 0);
    payload[BIN_AT_TELEMETRY_TEMP_C] = (uint8_t)hal->temp_c(hal->ctx);
    payload[BIN_AT_TELEMETRY_CRC_ERRORS] = core->decoder.errors.crc;
    payload[BIN_AT_TELEMETRY_LENGTH_ERRORS] = core->decoder.errors.length;
    payload[BIN_AT_TELEMETRY_SEQ_ERRORS] = core->decoder.errors.seq;
    payload[BIN_AT_TELEMETRY_OVERRUNS] = core->decoder.errors.overrun;
    send(core, &out, BIN_TYPE_TELEMETRY, false, core->session, 0);
}

static void send_telemetry_more(struct bin_core *core, uint8_t first)
{
    struct out out;
    uint8_t *payload = payload_of(&out);

    payload[BIN_AT_TELEMETRY_MORE_FIRST_LID] = first;
    put_slots(core, payload + BIN_AT_TELEMETRY_MORE_SLOTS, first);
    payload[BIN_AT_TELEMETRY_MORE_PINCH] = pinch_of(core, first);
    send(core, &out, BIN_TYPE_TELEMETRY_MORE, false, core->session, 0);
}

static void tell_state(struct bin_core *core)
{
    uint16_t period_ms = core->telemetry_ms;
    uint8_t first;

    if (period_ms > BIN_TELEMETRY_MOVING_MS && bin_lids_phases(core) & (BIN_MOVING | BIN_PHASE(JOGGING))) {
        period_ms = BIN_TELEMETRY_MOVING_MS;
    }
    if (period_ms == 0 || bin_since(core, core->told_ms) < period_ms) {
        return;
    }
    core->told_ms = core->now_ms;
    send_telemetry(core);
    for (first = BIN_SLOTS; first < core->lid_count; first = (uint8_t)(first + BIN_SLOTS)) {
        send_telemetry_more(core, first);
    }
}

/* A telemetry period within the device's bounds; 0 = off. */
static uint16_t clamp_period(uint16_t period_ms)
{
    if (period_ms > BIN_TELEMETRY_MAX_MS) {
        return BIN_TELEMETRY_MAX_MS;
    }
    return period_ms > 0 && period_ms < BIN_TELEMETRY_MIN_MS ? BIN_TELEMETRY_MIN_MS : period_ms;
}

/* ---- commands ------------------------------------------------------------------------------------------------------------- */

static const struct bin_verdict OK = {BIN_CODE_OK_ACCEPTED, 0};
static const struct bin_verdict BAD_ARG = {BIN_CODE_BAD_ARG, 0};
static const struct bin_verdict UNSUPPORTED = {BIN_CODE_UNSUPPORTED, 0};

static struct bin_verdict open_lid(struct bin_core *core, const uint8_t *wish)
{
    const uint32_t action_id = get_u32(wish + BIN_AT_OPEN_ACTION_ID);
    uint8_t i;

    if (action_id == 0) {
        return BAD_ARG;
    }
    if (action_id == last_action(core)) {
        return bin_verdict(BIN_CODE_DUPLICATE, 0);
    }
    for (i = 0; i < core->lid_count; i++) {
        if (core->lids[i].action_id == action_id) {
            return bin_verdict(BIN_CODE_DUPLICATE, 0);
        }
    }
    if (began_lately(core, action_id)) {
        return bin_verdict(BIN_CODE_TOO_OLD, 0);
    }
    return bin_accept_open(core, wish[BIN_AT_COMMAND_LID], action_id, get_u16(wish + BIN_AT_OPEN_HOLD_MS),
                           get_u16(wish + BIN_AT_OPEN_START_WITHIN_MS));
}

static struct bin_verdict close_lid(struct bin_core *core, const uint8_t *wish)
{
    const uint32_t action_id = get_u32(wish + BIN_AT_CLOSE_ACTION_ID);

    return action_id == 0 ? BAD_ARG : bin_accept_close(core, wish[BIN_AT_COMMAND_LID], action_id);
}

static struct bin_verdict jog(struct bin_core *core, const uint8_t *wish)
{
    const uint16_t pulse_us = get_u16(wish + BIN_AT_JOG_PULSE_US);

    if (pulse_us < BIN_PULSE_MIN_US || pulse_us > BIN_PULSE_MAX_US) {
        return BAD_ARG;
    }
    return bin_jog(core, wish[BIN_AT_COMMAND_LID], pulse_us);
}

static struct bin_verdict set_cal(struct bin_core *core, const uint8_t *wish)
{
    struct bin_lid *lid = &core->lids[wish[BIN_AT_COMMAND_LID]];
    struct bin_cal cal;

    cal.open_us = get_u16(wish + BIN_AT_SET_CAL_OPEN_US);
    cal.closed_us = get_u16(wish + BIN_AT_SET_CAL_CLOSED_US);
    cal.speed_us_per_20ms = wish[BIN_AT_SET_CAL_SPEED_US_PER_20MS];
    cal.jam_ma = get_u16(wish + BIN_AT_SET_CAL_JAM_MA);
    if (!bin_cal_fits(&cal)) {
        return BAD_ARG;
    }
    if (bin_lid_in(lid, BIN_MOVING | BIN_PHASE(WAITING))) {
        return bin_verdict(BIN_CODE_BUSY, BIN_REST_MS);
    }
    lid->cal = cal;
    core->hal->save_cal(core->hal->ctx, lid->number, &cal);
    bin_report(core, BIN_EVENT_KIND_CAL_SAVED, lid->number, 0, BIN_NO_VALUE);
    return OK;
}

static struct bin_verdict calibrate(struct bin_core *core, uint8_t on)
{
    if (on > 1) {
        return BAD_ARG;
    }
    if (on) {
        return bin_start_calibration(core);
    }
    bin_end_calibration(core);
    return OK;
}

static struct bin_verdict set_telemetry(struct bin_core *core, uint16_t period_ms)
{
    if (period_ms != clamp_period(period_ms)) {
        return BAD_ARG;
    }
    core->telemetry_ms = period_ms;
    return OK;
}

static struct bin_verdict indicate(struct bin_core *core, const uint8_t *wish)
{
    const uint8_t pattern = wish[BIN_AT_INDICATE_PATTERN];

    if (!(core->identity->caps & BIN_CAPS_INDICATOR)) {
        return UNSUPPORTED;
    }
    if (pattern > BIN_PATTERN_FAULT) {
        return BAD_ARG;
    }
    core->hal->indicate(core->hal->ctx, pattern, get_u16(wish + BIN_AT_INDICATE_DURATION_MS));
    return OK;
}

static struct bin_verdict enter_bootloader(struct bin_core *core, uint32_t magic)
{
    if (!(core->identity->caps & BIN_CAPS_BOOTLOADER)) {
        return UNSUPPORTED;
    }
    if (magic != BIN_MAGIC) {
        return BAD_ARG;
    }
    if (bin_lids_phases(core) != BIN_PHASE(CLOSED)) {
        return bin_verdict(BIN_CODE_BUSY, BIN_REST_MS);
    }
    core->restart = BIN_RESTART_BOOTLOADER;
    return OK;
}

static struct bin_verdict reboot(struct bin_core *core, uint32_t magic)
{
    if (magic != BIN_MAGIC) {
        return BAD_ARG;
    }
    core->restart = BIN_RESTART_REBOOT;
    return OK;
}

static struct bin_verdict execute(struct bin_core *core, const uint8_t *wish)
{
    if (bin_names_lid(wish[0]) && wish[BIN_AT_COMMAND_LID] >= core->lid_count) {
        return BAD_ARG;
    }
    switch (wish[0]) {
    case BIN_CMD_OPEN:
        return open_lid(core, wish);
    case BIN_CMD_CLOSE:
        return close_lid(core, wish);
    case BIN_CMD_JOG:
        return jog(core, wish);
    case BIN_CMD_SET_CAL:
        return set_cal(core, wish);
    case BIN_CMD_GET_CAL: /* the answer brings it */
        return OK;
    case BIN_CMD_STOP:
        bin_halt(core);
        return OK;
    case BIN_CMD_STOP_LATCH:
        bin_latch(core);
        return OK;
    case BIN_CMD_STOP_CLEAR:
        return get_u32(wish + BIN_AT_STOP_CLEAR_MAGIC) == BIN_MAGIC ? bin_clear(core) : BAD_ARG;
    case BIN_CMD_CALIBRATE:
        return calibrate(core, wish[BIN_AT_CALIBRATE_ON]);
    case BIN_CMD_SET_TELEMETRY:
        return set_telemetry(core, get_u16(wish + BIN_AT_SET_TELEMETRY_PERIOD_MS));
    case BIN_CMD_INDICATE:
        return indicate(core, wish);
    case BIN_CMD_REBOOT:
        return reboot(core, get_u32(wish + BIN_AT_REBOOT_MAGIC));
    case BIN_CMD_ENTER_BOOTLOADER:
        return enter_bootloader(core, get_u32(wish + BIN_AT_ENTER_BOOTLOADER_MAGIC));
    default: /* bin_payload_size() lets no other through; a command added there but forgotten here must do nothing */
        return UNSUPPORTED;
    }
}

/* ---- frames --------------------------------------------------------------------------------------------------------------- */

struct frame {
    uint8_t type;
    uint16_t session;
    uint16_t seq;
    const uint8_t *payload;
};

static void heard(struct bin_core *core)
{
    core->host_alive = true;
    core->heard_ms = core->now_ms;
}

static bool in_session(const struct bin_core *core, uint16_t session)
{
    return core->host_alive && session == core->session; /* which is not 0 while a host is alive */
}

static void send_result(struct bin_core *core, uint16_t session, uint16_t seq, struct bin_verdict verdict, bool again)
{
    struct out out;
    uint8_t *payload = payload_of(&out);

    payload[BIN_AT_RESULT_CODE] = verdict.code;
    put_u16(payload + BIN_AT_RESULT_DETAIL, verdict.detail);
    send(core, &out, BIN_TYPE_RESULT, again, session, seq);
}

static void send_cal(struct bin_core *core, uint16_t seq, uint8_t number, bool again)
{
    const struct bin_cal *cal = &core->lids[number].cal;
    struct out out;
    uint8_t *payload = payload_of(&out);

    payload[0] = BIN_CMD_GET_CAL;
    payload[BIN_AT_CALIBRATION_LID] = number;
    put_u16(payload + BIN_AT_CALIBRATION_OPEN_US, cal->open_us);
    put_u16(payload + BIN_AT_CALIBRATION_CLOSED_US, cal->closed_us);
    payload[BIN_AT_CALIBRATION_SPEED_US_PER_20MS] = cal->speed_us_per_20ms;
    put_u16(payload + BIN_AT_CALIBRATION_JAM_MA, cal->jam_ma);
    send(core, &out, BIN_TYPE_DIAG, again, core->session, seq);
}

/* The answer to last_seq, for the first time or again. A calibration cannot have changed between: that takes another command. */
static void send_answer(struct bin_core *core, bool again)
{
    send_result(core, core->session, core->last_seq, bin_verdict(core->answer_code, core->answer_detail), again);
    if (core->answer_cal != BIN_NO_LID) {
        send_cal(core, core->last_seq, core->answer_cal, again);
    }
}

static void send_ack(struct bin_core *core, uint16_t session)
{
    const struct bin_identity *who = core->identity;
    struct out out;
    uint8_t *payload = payload_of(&out);

    payload[BIN_AT_HELLO_ACK_PROTO_MAJOR] = BIN_PROTO_MAJOR;
    payload[BIN_AT_HELLO_ACK_PROTO_MINOR] = BIN_PROTO_MINOR;
    payload[BIN_AT_HELLO_ACK_FW_MAJOR] = who->fw_major;
    payload[BIN_AT_HELLO_ACK_FW_MINOR] = who->fw_minor;
    payload[BIN_AT_HELLO_ACK_FW_PATCH] = who->fw_patch;
    put_u32(payload + BIN_AT_HELLO_ACK_GIT, who->git);
    payload[BIN_AT_HELLO_ACK_BOARD] = who->board;
    memcpy(payload + BIN_AT_HELLO_ACK_UID, who->uid, sizeof who->uid);
    put_u32(payload + BIN_AT_HELLO_ACK_CAPS, who->caps);
    payload[BIN_AT_HELLO_ACK_LIDS] = core->lid_count;
    payload[BIN_AT_HELLO_ACK_RESET_CAUSE] = core->cause;
    put_u32(payload + BIN_AT_HELLO_ACK_LAST_ACTION_ID, last_action(core));
    send(core, &out, BIN_TYPE_HELLO_ACK, false, session, 0);
}

static void send_boot(struct bin_core *core)
{
    const struct bin_identity *who = core->identity;
    struct out out;
    uint8_t *payload = payload_of(&out);

    payload[BIN_AT_BOOT_FW_MAJOR] = who->fw_major;
    payload[BIN_AT_BOOT_FW_MINOR] = who->fw_minor;
    payload[BIN_AT_BOOT_FW_PATCH] = who->fw_patch;
    payload[BIN_AT_BOOT_RESET_CAUSE] = core->cause;
    put_u32(payload + BIN_AT_BOOT_LAST_ACTION_ID, last_action(core));
    send(core, &out, BIN_TYPE_BOOT, false, 0, 0);
}

/* On our own account: the person at the bin sees that nobody judges items. */
static void show(struct bin_core *core, uint8_t pattern)
{
    if (core->identity->caps & BIN_CAPS_INDICATOR) {
        core->hal->indicate(core->hal->ctx, pattern, 0);
    }
}

static void take_hello(struct bin_core *core, const struct frame *frame)
{
    if (frame->session == 0 || frame->seq != 0) {
        core->decoder.errors.seq++;
        return;
    }
    if (frame->payload[BIN_AT_HELLO_HOST_MAJOR] == BIN_PROTO_MAJOR) {
        if (frame->session != core->session) {
            core->session = frame->session;
            core->last_seq = 0;
        }
        core->telemetry_ms = clamp_period(get_u16(frame->payload + BIN_AT_HELLO_TELEMETRY_MS));
        heard(core);
        if (core->host_lost) {
            core->host_lost = false;
            show(core, BIN_PATTERN_OFF);
        }
        core->repeated_ms = core->now_ms - BIN_EVENT_REPEAT_MS; /* what the host has not seen is told at once */
    }
    send_ack(core, frame->session); /* to a host of another major too, so that it can say which side to update */
}

/* A frame of no session, or another. */
static void refuse(struct bin_core *core, const struct frame *frame)
{
    core->decoder.errors.seq++;
    send_result(core, frame->session, frame->seq, bin_verdict(BIN_CODE_NO_SESSION, 0), false);
}

static void take_ping(struct bin_core *core, const struct frame *frame)
{
    struct out out;
    uint8_t *payload = payload_of(&out);

    if (frame->seq != 0 || !in_session(core, frame->session)) {
        refuse(core, frame);
        return;
    }
    heard(core);
    forget_events(core, get_u16(frame->payload + BIN_AT_PING_LAST_EVENT_SEQ));
    memcpy(payload + BIN_AT_PONG_HOST_MS, frame->payload + BIN_AT_PING_HOST_MS, sizeof(uint32_t));
    put_u32(payload + BIN_AT_PONG_UPTIME_MS, bin_since(core, core->booted_ms));
    send(core, &out, BIN_TYPE_PONG, false, core->session, 0);
}

static void take_command(struct bin_core *core, const struct frame *frame)
{
    const uint16_t expected = after(core->last_seq);

    if (!in_session(core, frame->session)) {
        refuse(core, frame);
        return;
    }
    heard(core);
    if (frame->seq == expected) {
        struct bin_verdict verdict;

        core->last_seq = frame->seq;
        verdict = execute(core, frame->payload);
        core->answer_code = verdict.code;
        core->answer_detail = verdict.detail;
        core->answer_cal = frame->payload[0] == BIN_CMD_GET_CAL && verdict.code == BIN_CODE_OK_ACCEPTED
                               ? frame->payload[BIN_AT_COMMAND_LID]
                               : BIN_NO_LID;
        send_answer(core, false);
    } else if (frame->seq == core->last_seq && frame->seq != 0) { /* no command carries seq 0 */
        send_answer(core, true);
    } else {
        core->decoder.errors.seq++;
        send_result(core, core->session, frame->seq, bin_verdict(BIN_CODE_BAD_SEQ, expected), false);
    }
}

/* One body with a true CRC, `len` bytes of it without the CRC. */
static void take(struct bin_core *core, const uint8_t *body, uint8_t len)
{
    struct frame frame;

    frame.type = body[0];
    frame.session = get_u16(body + 2);
    frame.seq = get_u16(body + 4);
    frame.payload = body + BIN_HEADER_SIZE;
    if (body[1] >> 4 != BIN_PROTO_MAJOR) {
        core->decoder.errors.length++;
        if (frame.type == BIN_TYPE_HELLO) {
            send_ack(core, frame.session);
        }
        return;
    }
    if (body[1] & BIN_RESERVED_BITS || len == BIN_HEADER_SIZE || /* no message is empty */
        len - BIN_HEADER_SIZE != bin_payload_size(frame.type, frame.payload[0])) {
        core->decoder.errors.length++;
        return;
    }
    switch (frame.type) {
    case BIN_TYPE_HELLO:
        take_hello(core, &frame);
        break;
    case BIN_TYPE_PING:
        take_ping(core, &frame);
        break;
    case BIN_TYPE_CMD:
        take_command(core, &frame);
        break;
    default: /* a device's frame: our own echo, or a second controller */
        core->decoder.errors.length++;
        break;
    }
}

/* Dead-man: too long without a valid frame of the session. */
static void watch_host(struct bin_core *core)
{
    uint32_t silence_ms;

    if (!core->host_alive) {
        return;
    }
    silence_ms = bin_since(core, core->heard_ms);
    if (silence_ms > BIN_HOST_SILENCE_MS) {
        core->host_alive = false;
        bin_report(core, BIN_EVENT_KIND_HOST_LOST, BIN_NO_LID, 0,
                   (uint16_t)(silence_ms < BIN_EVENT_VALUE_MAX ? silence_ms : BIN_EVENT_VALUE_MAX));
        bin_lids_close_all(core);
        core->host_lost = true;
        show(core, BIN_PATTERN_FAULT);
    }
}

/* ---- the board's entry points --------------------------------------------------------------------------------------------- */

static struct bin_cal load_cal(const struct bin_core *core, uint8_t number)
{
    /* Until SET_CAL: common hobby servos, 1 s from end to end. */
    const struct bin_cal usual = {BIN_DEFAULT_OPEN_US, BIN_DEFAULT_CLOSED_US, BIN_DEFAULT_SPEED_US_PER_20MS,
                                  BIN_DEFAULT_JAM_MA};
    struct bin_cal cal;

    return core->hal->load_cal(core->hal->ctx, number, &cal) && bin_cal_fits(&cal) ? cal : usual;
}

void bin_core_init(struct bin_core *core, const struct bin_hal *hal, const struct bin_identity *identity,
                   struct bin_survivor *survivor, uint8_t cause, uint32_t now_ms)
{
    uint8_t i;

    memset(core, 0, sizeof *core);
    core->hal = hal;
    core->identity = identity;
    core->survivor = survivor;
    core->now_ms = core->booted_ms = core->told_ms = now_ms;
    core->cause = cause;
    core->lid_count = identity->lids < BIN_LIDS_MAX ? identity->lids : BIN_LIDS_MAX; /* whatever the board says: no overflow */
    restore_actions(survivor, cause);
    for (i = 0; i < core->lid_count; i++) {
        core->lids[i].number = i;
        core->lids[i].goal = BIN_LIMITS_CLOSED;
        core->lids[i].last_us = BIN_NO_PULSE;
        core->lids[i].cal = load_cal(core, i);
    }
    bin_lids_boot(core);
    send_boot(core);
}

void bin_core_receive(struct bin_core *core, const uint8_t *data, size_t len, uint32_t now_ms)
{
    core->now_ms = now_ms;
    watch_host(core); /* bytes that lay in a buffer for long must not pass for a living host */
    for (; len > 0; len--) {
        const uint8_t body_len = frame_take(&core->decoder, *data++);

        if (body_len > 0 && core->restart == BIN_RESTART_NONE) { /* nothing begins that a restart would leave half done */
            take(core, core->decoder.held, body_len);
        }
    }
    if (core->restart != BIN_RESTART_NONE) {
        const bool bootloader = core->restart == BIN_RESTART_BOOTLOADER;

        core->restart = BIN_RESTART_NONE;
        core->hal->restart(core->hal->ctx, bootloader);
    }
}

void bin_core_tick(struct bin_core *core, uint32_t now_ms)
{
    core->now_ms = now_ms;
    watch_host(core);
    bin_lids_tick(core);
    if (core->host_alive && !repeat_events(core)) {
        tell_state(core); /* later when events were repeated: both together are too much for a small board's 1 ms */
    }
}
