/* Damages frames in every small way and throws noise at the core: no lid moves, a counter says so, the next frame is answered.
 *
 * `flips` reads frames on stdin, each as session u16, seq u16, length u8, wire bytes, and writes one line for each frame and damage:
 *     frame damage cases passed moved uncounted unanswered
 * passed = taken for a frame by its CRC (and for the controller's own frames: by its exact length too). `flips BYTES SEED` throws
 * that many random bytes, a third each: any bytes, many delimiters, small bytes (which look like COBS codes).
 */
#include <stdio.h>
#include <stdlib.h>

#include "board.h"
#include "frame.h"

static struct board board, ready;

struct count {
    unsigned long cases, passed, moved, uncounted, unanswered;
};

static unsigned errors(void)
{
    const struct frame_errors *e = &board.core.decoder.errors;
    return (unsigned)(e->crc + e->length + e->seq + e->overrun);
}

static void receive(const uint8_t *data, size_t len) { bin_core_receive(&board.core, data, len, board.now_ms); }

static void send_frame(uint8_t type, uint16_t session, const uint8_t *payload, uint8_t len)
{
    uint8_t wire[BIN_WIRE_MAX] = { 0, type, 0x10, (uint8_t)(session & 0xFFu), (uint8_t)(session >> 8), 0, 0 };
    memcpy(wire + 7, payload, len);
    receive(wire, frame_encode(wire, (uint8_t)(6 + len)));
}

/* A board with a session, all lids shut, for which this frame would be the next one due. */
static void prepare(uint16_t session, uint16_t seq)
{
    board_fresh(&board, 4, 0x17F, 0);
    board_start(&board, BIN_RESET_CAUSE_POWER_ON);
    send_frame(BIN_TYPE_HELLO, session ? session : 0x1234, (const uint8_t[]){ 1, 0, 0, 0 }, 4);
    if (seq > 1)
        board.core.last_seq = (uint16_t)(seq - 1);
    board.sent.len = board.changes.len = 0;
    ready = board;
    ready.hal.ctx = &board;
}

static bool moved(void)
{
    for (uint8_t lid = 0; lid < 4; lid++)
        if (board.pulse_us[lid] != BIN_NO_PULSE)
            return true;
    return board.changes.len != 0 || board.motions.len != 0;
}

static bool answers(void)
{
    const size_t before = board.sent.len;
    send_frame(BIN_TYPE_PING, board.core.session, (const uint8_t[]){ 1, 2, 3, 4, 0, 0 }, 6);
    return board.sent.len > before;
}

/* The big logs keep what the snapshot had: nothing. */
static void restore(void)
{
    board.core = ready.core;
    board.survivor = ready.survivor;
    board.sent.len = board.changes.len = board.calls.len = board.motions.len = 0;
    for (uint8_t lid = 0; lid < 4; lid++)
        board.pulse_us[lid] = BIN_NO_PULSE;
}

static void try_core(struct count *count, const uint8_t *wire, size_t len)
{
    restore();
    const unsigned before = errors();
    receive(wire, len);
    receive((const uint8_t[]){ 0 }, 1); /* what made or unmade a delimiter may cost the next one */
    count->cases++;
    count->passed += board.sent.len != 0;
    count->uncounted += board.sent.len == 0 && errors() == before;
    bin_core_tick(&board.core, board.now_ms + 20);
    count->moved += moved();
    count->unanswered += !answers();
}

static uint8_t exact_length(const uint8_t *body)
{
    static const uint8_t of_ours[] = { 0, 26, 3, 10, 48, 8, 8, 9, 34 };
    return body[0] >= 0x81 && body[0] <= 0x88 && (body[1] & 0xFE) == 0x10 ? of_ours[body[0] & 0x0F] : 0;
}

/* One of the controller's own frames, as a host sees it: only the line's two checks. */
static void try_line(struct count *count, const uint8_t *wire, size_t len)
{
    struct frame_decoder decoder = { 0 };
    bool passed = false;
    for (size_t n = 0; n <= len; n++) {
        const uint8_t body = frame_take(&decoder, n < len ? wire[n] : 0);
        passed = passed || (body > BIN_HEADER_SIZE && body - BIN_HEADER_SIZE == exact_length(decoder.held));
    }
    count->cases++;
    count->passed += passed;
}

static void tell(unsigned frame, const char *damage, const struct count *count)
{
    printf("%u %s %lu %lu %lu %lu %lu\n", frame, damage, count->cases, count->passed, count->moved, count->uncounted, count->unanswered);
}

static void damage(unsigned frame, const uint8_t *wire, size_t len, bool ours)
{
    void (*try)(struct count *, const uint8_t *, size_t) = ours ? try_line : try_core;
    struct count one = { 0 }, two = { 0 }, cut = { 0 };
    uint8_t bad[256];
    for (size_t a = 0; a < 8 * len; a++) {
        memcpy(bad, wire, len);
        bad[a / 8] ^= (uint8_t)(1u << a % 8);
        try(&one, bad, len);
        for (size_t b = a + 1; b < 8 * len; b++) {
            bad[b / 8] ^= (uint8_t)(1u << b % 8);
            try(&two, bad, len);
            bad[b / 8] ^= (uint8_t)(1u << b % 8);
        }
    }
    for (size_t at = 1; at + 1 < len; at++) {
        try(&cut, wire, at);
        try(&cut, wire + at, len - at);
    }
    tell(frame, "single", &one);
    tell(frame, "double", &two);
    tell(frame, "cut", &cut);
}

static uint64_t random_state;

static uint8_t random_byte(void)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint8_t)(random_state >> 40);
}

static void noise(unsigned long bytes)
{
    struct count count = { 0 };
    unsigned long seen = 0;
    prepare(0x1234, 1);
    for (unsigned long n = 0; n < bytes; n++) {
        const unsigned kind = (unsigned)(3 * n / bytes);
        const unsigned before = errors();
        uint8_t byte = random_byte();
        if (kind == 1 && random_byte() < 32)
            byte = 0;
        if (kind == 2)
            byte &= 15;
        receive(&byte, 1);
        seen += errors() != before;
        if (n % 1000 == 999) { /* the link lives on, and time passes */
            receive((const uint8_t[]){ 0 }, 1);
            count.unanswered += !answers();
            board.now_ms += 20;
            bin_core_tick(&board.core, board.now_ms);
            count.moved += moved();
            count.cases++;
            board.sent.len = 0;
        }
    }
    count.passed = seen; /* here: errors counted */
    tell(0, "noise", &count);
}

int main(int argc, char **argv)
{
    uint8_t head[5], wire[256];
    if (argc == 3) {
        random_state = strtoull(argv[2], NULL, 10) | 1;
        noise(strtoul(argv[1], NULL, 10));
        return 0;
    }
    for (unsigned frame = 0; fread(head, 1, sizeof head, stdin) == sizeof head; frame++) {
        if (fread(wire, 1, head[4], stdin) != head[4])
            return 2;
        const uint8_t type_at = wire[0] > 1 ? 1 : 0; /* no golden frame has a type of 0 */
        prepare((uint16_t)(head[0] | head[1] << 8), (uint16_t)(head[2] | head[3] << 8));
        damage(frame, wire, head[4], wire[type_at] >= 0x80);
    }
    return 0;
}
