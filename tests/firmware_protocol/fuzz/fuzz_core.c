/* libFuzzer on the whole core. The input is a list of acts: frames with a true CRC, raw bytes, time, sensors, fingers, resets. witness.h
 * watches; at the end all troubles are taken away and the dead-man must have shut every lid that no stop and no fault holds. */
#include "witness.h"

static const uint8_t *in;
static size_t left;
static uint16_t next_action;

struct plant {
    int at_us, us_per_ms;
    bool stuck, lies;
};
static struct plant plants[BIN_LIDS_MAX];

static uint8_t byte(void)
{
    if (left == 0)
        return 0;
    left--;
    return *in++;
}

static unsigned of(unsigned count) { return byte() % count; }

/* ---- lids ---- */

static bool near(int at_us, int goal_us) { return at_us - goal_us <= 2 && goal_us - at_us <= 2; }

static void sense(uint8_t lid)
{
    const struct plant *plant = &plants[lid];
    const struct bin_cal *cal = &w.lids[lid].cal;
    if (plant->lies || w.board.limits[lid] == BIN_UNKNOWN_U8)
        return;
    w.board.limits[lid] = (uint8_t)((near(plant->at_us, cal->closed_us) ? BIN_LIMITS_CLOSED : 0) |
                                    (near(plant->at_us, cal->open_us) ? BIN_LIMITS_OPEN : 0));
}

static void move(uint8_t lid, uint32_t ms)
{
    struct plant *plant = &plants[lid];
    const int most_us = (int)(ms < 3000 ? ms : 3000) * plant->us_per_ms;
    if (w.board.pulse_us[lid] != BIN_NO_PULSE && !plant->stuck && !w.board.pressed) {
        const int way_us = w.board.pulse_us[lid] - plant->at_us;
        plant->at_us += way_us > most_us ? most_us : way_us < -most_us ? -most_us : way_us;
    }
    if (!plant->lies)
        w.board.current_ma[lid] = plant->stuck ? 1500 : 200;
    sense(lid);
}

static void pass(uint32_t ms)
{
    for (uint8_t lid = 0; lid < w.board.identity.lids; lid++)
        move(lid, ms);
    witness_tick(ms);
}

/* ---- frames ---- */

static uint8_t put(uint8_t *at, uint32_t value, uint8_t len)
{
    for (uint8_t n = 0; n < len; n++)
        at[n] = (uint8_t)(value >> (8 * n));
    return len;
}

static void send_frame(uint8_t type, uint16_t session, uint16_t seq, const uint8_t *payload, uint8_t len)
{
    uint8_t wire[BIN_WIRE_MAX];
    put(wire + 1, type, 1);
    put(wire + 2, 0x10, 1);
    put(wire + 3, session, 2);
    put(wire + 5, seq, 2);
    if (len)
        memcpy(wire + 7, payload, len);
    witness_receive(wire, frame_encode(wire, (uint8_t)(6 + len)));
}

static void hello(void)
{
    const uint8_t telemetry = byte();
    const uint8_t payload[] = { (uint8_t)(telemetry == 255 ? 2 : 1), 0, (uint8_t)(telemetry * 8), (uint8_t)(telemetry >> 5) };
    send_frame(BIN_TYPE_HELLO, (uint16_t)(1 + of(3)), 0, payload, 4);
}

static void ping(void)
{
    uint8_t payload[6] = { 0 };
    put(payload + 4, w.board.core.event_seq, 2);
    send_frame(BIN_TYPE_PING, w.session, 0, payload, 6);
}

static void command(void)
{
    static const uint16_t holds[] = { 0, 1000, 1500, 10000, 65535, 10001 };
    static const uint16_t waits[] = { 0, 100, 1000, 5000, 65535, 30000 };
    static const uint16_t pulses[] = { 499, 500, 1000, 1500, 1700, 2000, 2500, 2501 };
    static const uint8_t kinds[] = { 10, 10, 10, 10, 11, 12, 13, 14, 14, 15, 16, 20, 21, 22, 24, 30, 31 };
    uint8_t p[16] = { 0 }, len = 2;
    p[0] = kinds[of(sizeof kinds)];
    p[1] = (uint8_t)of(w.board.identity.lids + 1u);
    const uint8_t trick = byte();
    const uint16_t seq = trick == 255 ? w.last_seq : trick == 254 ? (uint16_t)(w.last_seq + 2) : (uint16_t)(w.last_seq % 0xFFFF + 1);
    switch (p[0]) {
    case BIN_CMD_OPEN:
    case BIN_CMD_CLOSE: {
        const uint8_t back = byte();
        len = (uint8_t)(len + put(p + len, back < 200 ? ++next_action : (uint16_t)(next_action - back % 12), 4));
        if (p[0] == BIN_CMD_OPEN) {
            len = (uint8_t)(len + put(p + len, holds[of(6)], 2));
            len = (uint8_t)(len + put(p + len, waits[of(6)], 2));
        }
        break;
    }
    case BIN_CMD_STOP:
    case BIN_CMD_STOP_LATCH:
        len = 1;
        break;
    case BIN_CMD_STOP_CLEAR:
    case BIN_CMD_REBOOT:
    case BIN_CMD_ENTER_BOOTLOADER:
        len = (uint8_t)(1 + put(p + 1, BIN_MAGIC, 4));
        break;
    case BIN_CMD_JOG:
        len = (uint8_t)(len + put(p + len, pulses[of(8)], 2));
        break;
    case BIN_CMD_CALIBRATE:
        p[1] = (uint8_t)of(3);
        break;
    case BIN_CMD_SET_CAL:
        len = (uint8_t)(len + put(p + len, 1500u + 100u * of(11), 2));
        len = (uint8_t)(len + put(p + len, 400u + 100u * of(12), 2));
        len = (uint8_t)(len + put(p + len, 10u + 5u * of(50), 1));
        len = (uint8_t)(len + put(p + len, 900u * of(3), 2));
        break;
    case BIN_CMD_SET_TELEMETRY:
        len = (uint8_t)(1 + put(p + 1, 50u * of(30), 2));
        break;
    case BIN_CMD_INDICATE:
        p[1] = (uint8_t)of(7);
        len = (uint8_t)(len + put(p + len, 500, 2));
        break;
    default:
        break;
    }
    send_frame(BIN_TYPE_CMD, trick == 253 ? 7 : w.session, seq, p, len);
}

static void raw(void)
{
    const size_t len = of(80);
    const size_t there = len < left ? len : left;
    witness_receive(in, there);
    in += there;
    left -= there;
}

/* A host that does nothing but live: how the fuzzer comes to deep states with few bytes. */
static void live(unsigned steps)
{
    for (unsigned n = 0; n < steps; n++) {
        if (n % 20 == 0)
            ping();
        pass(20);
    }
}

/* ---- trouble ---- */

static void sensors(void)
{
    static const uint16_t supplies[] = { 5000, 4500, 4499, 4600, 4599, 0, BIN_UNKNOWN_U16 };
    const uint8_t lid = (uint8_t)of(w.board.identity.lids);
    switch (of(8)) {
    case 0:
        plants[lid].stuck = !plants[lid].stuck;
        break;
    case 1:
        plants[lid].lies = !plants[lid].lies;
        w.board.limits[lid] = (uint8_t)of(4);
        w.board.current_ma[lid] = (uint16_t)(of(5) * 300);
        break;
    case 2:
        w.board.current_ma[lid] = of(2) ? BIN_UNKNOWN_U16 : 65534;
        plants[lid].lies = true;
        break;
    case 3:
        w.board.pinch ^= (uint16_t)(1u << lid);
        break;
    case 4:
        w.board.pinch_known = !w.board.pinch_known;
        break;
    case 5:
        w.board.vin_mv = supplies[of(7)];
        break;
    case 6:
        w.board.vservo_mv = supplies[of(7)];
        break;
    default:
        w.board.pressed = !w.board.pressed;
        break;
    }
}

static void reset(void)
{
    static const uint8_t causes[] = { BIN_RESET_CAUSE_EXTERNAL, BIN_RESET_CAUSE_WATCHDOG, BIN_RESET_CAUSE_BROWN_OUT, BIN_RESET_CAUSE_POWER_ON };
    const uint8_t cause = causes[of(4)], damage = byte();
    const size_t half = sizeof w.board.survivor / 2;
    uint8_t *survivor = (uint8_t *)&w.board.survivor;
    if (damage >= 128) /* one copy: the other one must do */
        survivor[(damage & 1) * half + (damage >> 1) % half] ^= (uint8_t)damage;
    if (damage >= 240) /* both copies: the controller may have forgotten */
        memset(survivor, damage, 2 * half);
    if (cause == BIN_RESET_CAUSE_POWER_ON)
        memset(survivor, 0x5A, 2 * half);
    witness_reset(cause, damage >= 240);
}

static void stored(void)
{
    const uint8_t lid = (uint8_t)of(w.board.identity.lids);
    w.board.stored[lid] = of(4) != 0;
    w.board.eeprom[lid].open_us = (uint16_t)(1500 + 101 * of(11));
    w.board.eeprom[lid].closed_us = (uint16_t)(450 + 100 * of(11));
    w.board.eeprom[lid].speed_us_per_20ms = (uint8_t)(10 * of(26));
    w.board.eeprom[lid].jam_ma = (uint16_t)(1000 * of(7));
}

static void act(void)
{
    switch (of(16)) {
    case 0: case 1: case 2: pass(1u + of(20)); break;
    case 3: pass(20u * byte()); break;
    case 4: pass(275u * byte()); break;
    case 5: case 6: live(1u + byte()); break;
    case 7: case 8: case 9: case 10: command(); break;
    case 11: hello(); break;
    case 12: sensors(); break;
    case 13: reset(); break;
    case 14: of(2) ? raw() : stored(); break;
    default: w.board.line_full = byte() > 200; break;
    }
}

/* ---- the end: nobody is there, nothing is in the way ---- */

static bool shut(uint8_t lid)
{
    return w.lids[lid].told == TOLD_CLOSED && w.board.pulse_us[lid] == BIN_NO_PULSE;
}

static bool all_shut(void)
{
    bool all = true;
    for (uint8_t lid = 0; lid < w.board.identity.lids; lid++)
        all = all && shut(lid);
    return all;
}

static void leave_alone(void)
{
    uint32_t bound_ms = BIN_HOST_SILENCE_MS;
    TELL("%llu left alone\n", (unsigned long long)w.now_ms);
    w.board.pressed = false;
    w.board.pinch = 0;
    for (uint8_t lid = 0; lid < w.board.identity.lids; lid++) {
        const struct bin_cal *cal = &w.lids[lid].cal;
        plants[lid].stuck = plants[lid].lies = false;
        /* perhaps on its way open, perhaps resting from a reversal; then it shuts, then its signal goes */
        bound_ms += 2u * (uint32_t)(abs(cal->open_us - cal->closed_us) / cal->speed_us_per_20ms + 1) * 20u + 2000u + 2000u + 1000u + 300u + 300u;
        bound_ms += 2500u / (uint32_t)plants[lid].us_per_ms;
    }
    witness_receive((const uint8_t[]){ 0 }, 1);
    for (uint32_t ms = 0; ms < bound_ms && (alive() || !all_shut()); ms += 20)
        pass(20);
    for (uint8_t lid = 0; lid < w.board.identity.lids; lid++)
        if (!w.latched && w.lids[lid].reversals < REVERSALS_NEEDED)
            PROMISE(shut(lid), "a lid without a host is shut");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t lids[] = { 4, 1, 2, 3, 4, 8, 16, 4 };
    static const uint32_t starts[] = { 0, UINT32_MAX - 5000, UINT32_MAX - 60000, 0x7FFFF000 };
    in = data;
    left = size;
    next_action = 100;
    const uint8_t fitted = lids[of(8)];
    const uint8_t lacks = byte();
    const uint32_t caps = 0x17Fu & ~(lacks > 128 ? 1u << lacks % 9 : 0u);
    for (uint8_t lid = 0; lid < BIN_LIDS_MAX; lid++)
        plants[lid] = (struct plant){ 1000, lacks & 16 ? 4 : 30, false, false };
    witness_start(fitted, caps, starts[of(4)]);
    if (lacks & 32)
        memset(w.board.limits, BIN_UNKNOWN_U8, sizeof w.board.limits);
    for (unsigned acts = 0; left > 0 && acts < 400; acts++)
        act();
    leave_alone();
    return 0;
}
