/* The C core built for this machine, on a board that is what the tests say. See lockstep.h. */
#include <string.h>

#include "bin_core.h"
#include "lockstep.h"

static struct bin_core core;
static struct bin_survivor survivor;
static struct inputs inputs;
static struct bin_cal cals[LIDS];
static bool stored[LIDS];
static uint32_t now_ms;
static uint64_t elapsed_us;
static struct bin_identity identity = {
    .fw_major = BIN_FW_MAJOR, .fw_minor = BIN_FW_MINOR, .fw_patch = BIN_FW_PATCH, .lids = 4};

static void put(uint8_t tag, const void *body, uint16_t len) { lockstep_put(tag, elapsed_us, body, len); }

static void set_pulse_us(void *ctx, uint8_t lid, uint16_t pulse_us) {
    (void)ctx;
    uint8_t body[5] = {lid};
    write_u32(body + 1, pulse_us == BIN_NO_PULSE ? 0 : pulse_us * 16u);
    put(TAG_PULSE, body, sizeof body);
}

static uint8_t limits(void *ctx, uint8_t lid) { return (void)ctx, inputs.lids[lid].limits; }

static uint16_t current_ma(void *ctx, uint8_t lid) { return (void)ctx, inputs.lids[lid].current_ma; }

static uint16_t fill_mm(void *ctx, uint8_t lid) { return (void)ctx, inputs.lids[lid].fill_mm; }

static bool pinch(void *ctx, uint16_t *lids) {
    (void)ctx;
    *lids = inputs.pinch;
    return inputs.pinch_known;
}

static uint16_t vin_mv(void *ctx) { return (void)ctx, inputs.vin_mv; }

static uint16_t vservo_mv(void *ctx) { return (void)ctx, inputs.vservo_mv; }

static int8_t temp_c(void *ctx) { return (void)ctx, inputs.temp_c; }

static bool stop_pressed(void *ctx) { return (void)ctx, inputs.stop; }

static void indicate(void *ctx, uint8_t pattern, uint16_t duration_ms) {
    (void)ctx;
    uint8_t body[3] = {pattern};
    write_u16(body + 1, duration_ms);
    put(TAG_SHOWN, body, sizeof body);
}

static bool load_cal(void *ctx, uint8_t lid, struct bin_cal *cal) {
    (void)ctx;
    *cal = cals[lid];
    return stored[lid];
}

static void save_cal(void *ctx, uint8_t lid, const struct bin_cal *cal) {
    (void)ctx;
    cals[lid] = *cal;
    stored[lid] = true;
    uint8_t body[8] = {lid};
    write_u16(body + 1, cal->open_us);
    write_u16(body + 3, cal->closed_us);
    body[5] = cal->speed_us_per_20ms;
    write_u16(body + 6, cal->jam_ma);
    put(TAG_SAVED, body, sizeof body);
}

/* As large as reference.py's output. */
static uint16_t output_room;

static bool send(void *ctx, const uint8_t *data, uint8_t len) {
    (void)ctx;
    if (len > output_room) {
        return false;
    }
    output_room = (uint16_t)(output_room - len);
    put(TAG_TX, data, len);
    return true;
}

static void restart(void *ctx, bool bootloader) {
    (void)ctx;
    uint8_t body = bootloader;
    put(TAG_RESTART, &body, 1);
}

static void on_motion(void *ctx, uint8_t lid, enum bin_motion motion, uint32_t action_id) {
    (void)ctx;
    uint8_t body[6] = {lid, (uint8_t)motion};
    write_u32(body + 2, action_id);
    put(TAG_MOTION, body, sizeof body);
}

static const struct bin_hal hal = {
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
    .on_motion = on_motion,
};

static void configure(const struct request *request) {
    if (request->len != 9) {
        die("CONFIG has another length");
    }
    identity.lids = request->data[0];
    identity.caps = read_u32(request->data + 1);
    now_ms = read_u32(request->data + 5);
}

static void reset(const struct request *request) {
    if (request->len != 5) {
        die("RESET has another length");
    }
    uint8_t cause = request->data[0];
    fill_with_noise(&core, sizeof core, read_u32(request->data + 1));
    if (cause == BIN_RESET_CAUSE_POWER_ON) {
        fill_with_noise(&survivor, sizeof survivor, read_u32(request->data + 1));
    }
    output_room = 4096;
    bin_core_init(&core, &hal, &identity, &survivor, cause, now_ms);
}

/* Bytes are heard before the tick; a step of no time is no tick. */
static void step(const struct request *request) {
    if (request->len < 4) {
        die("STEP is too short");
    }
    uint32_t us = read_u32(request->data);
    elapsed_us += us;
    now_ms += us / 1000;
    if (request->len > 4) {
        bin_core_receive(&core, request->data + 4, request->len - 4, now_ms);
    }
    if (us > 0) {
        bin_core_tick(&core, now_ms);
    }
    lockstep_reply();
    output_room = 4096;
}

static void store(const struct request *request) {
    if (request->len != 9 || read_u16(request->data) >= LIDS) {
        die("STORE has another length or lid");
    }
    const uint8_t *at = request->data + 2;
    uint16_t lid = read_u16(request->data);
    cals[lid] = (struct bin_cal){read_u16(at), read_u16(at + 2), at[4], read_u16(at + 5)};
    stored[lid] = true;
}

static void spoil(const struct request *request) {
    if (request->len != 4) {
        die("NOISE has another length");
    }
    fill_with_noise(&survivor, sizeof survivor, read_u32(request->data));
}

int main(void) {
    struct request request;
    while (lockstep_read(&request)) {
        switch (request.op) {
        case OP_CONFIG: configure(&request); break;
        case OP_RESET: reset(&request); break;
        case OP_INPUTS: lockstep_inputs(&request, &inputs); break;
        case OP_STEP: step(&request); break;
        case OP_NOISE: spoil(&request); break;
        case OP_STORE: store(&request); break;
        default: die("unknown request");
        }
    }
    return 0;
}
