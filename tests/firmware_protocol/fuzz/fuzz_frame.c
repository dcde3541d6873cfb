/* libFuzzer on the frame parser: any bytes give the same bodies and the same counters as the naive decoder; what frame_encode() makes,
 * frame_take() gives back, and one bit of it that is wrong never passes (unless it moves a border: then the CRC's promise is void, see
 * flips.c for how often that matters). */
#include "frame.h"
#include "naive.h"

#define CHECK(x) \
    do { \
        if (!(x)) \
            __builtin_trap(); \
    } while (0)

struct expected {
    uint8_t body[4096];
    size_t len;
    enum naive_fate fate;
};

static void count(struct frame_errors *errors, enum naive_fate fate)
{
    errors->crc += fate == NAIVE_CRC;
    errors->length += fate == NAIVE_SHORT;
    errors->overrun += fate == NAIVE_OVERRUN;
}

static void any_bytes(const uint8_t *data, size_t size)
{
    static struct expected expected;
    struct frame_decoder decoder = { 0 };
    struct frame_errors errors = { 0 };
    const uint8_t *start = data;
    for (size_t n = 0; n < size; n++) {
        const uint8_t len = frame_take(&decoder, data[n]);
        if (data[n] != 0) {
            CHECK(len == 0);
            /* an overrun is counted as soon as it is one, all else at the delimiter */
            CHECK(decoder.errors.overrun == (uint8_t)(errors.overrun + (data + n - start >= (long)BIN_WIRE_MAX - 1)));
            continue;
        }
        expected.fate = naive_decode(start, (size_t)(data + n - start), expected.body, &expected.len);
        count(&errors, expected.fate);
        CHECK(memcmp(&decoder.errors, &errors, sizeof errors) == 0);
        CHECK((len != 0) == (expected.fate == NAIVE_GOOD));
        if (len != 0) {
            CHECK(len == expected.len - BIN_CRC_SIZE);
            CHECK(memcmp(decoder.held, expected.body, len) == 0);
        }
        start = data + n + 1;
    }
}

static uint8_t take_all(struct frame_decoder *decoder, const uint8_t *wire, uint8_t len)
{
    uint8_t got = 0;
    for (uint8_t n = 0; n < len; n++)
        got = frame_take(decoder, wire[n]);
    return got;
}

static bool is_border(const uint8_t *wire, size_t at)
{
    size_t code = 0;
    while (code < at)
        code += wire[code];
    return code == at;
}

static void round_trip(const uint8_t *data, size_t size)
{
    uint8_t wire[BIN_WIRE_MAX];
    const uint8_t len = (uint8_t)(size < BIN_BODY_MAX - BIN_CRC_SIZE ? size : BIN_BODY_MAX - BIN_CRC_SIZE);
    struct frame_decoder decoder = { 0 };
    if (len < BIN_HEADER_SIZE)
        return;
    memcpy(wire + 1, data, len);
    const uint8_t wire_len = frame_encode(wire, len);
    CHECK(wire_len == len + BIN_CRC_SIZE + 2);
    CHECK(memchr(wire, 0, wire_len) == wire + wire_len - 1);
    CHECK(take_all(&decoder, wire, wire_len) == len);
    CHECK(memcmp(decoder.held, data, len) == 0);
    const unsigned bit = (unsigned)(data[size - 1] | data[size - 2] << 8) % (8u * (wire_len - 1u));
    if (is_border(wire, bit / 8))
        return;
    wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
    if (wire[bit / 8] != 0)
        CHECK(take_all(&decoder, wire, wire_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    any_bytes(data, size);
    round_trip(data, size);
    return 0;
}
