#include "frame.h"

#define DELIMITER 0
#define NO_BODY 0xFF

uint16_t frame_crc(const uint8_t *data, uint8_t len)
{
    uint8_t high = 0xFF, low = 0xFF;

    /* Eight steps of the polynomial at once. Without a table, which would cost the AVR 512 bytes of RAM; in bytes, for shifting
     * 16 bits takes that chip three times as long. */
    for (; len > 0; len--) {
        uint8_t x = (uint8_t)(high ^ *data++);

        x = (uint8_t)(x ^ (x >> 4));
        high = (uint8_t)(low ^ (uint8_t)(x << 4) ^ (x >> 3));
        low = (uint8_t)(x ^ (uint8_t)(x << 5));
    }
    return (uint16_t)((uint16_t)((uint16_t)high << 8 | low) ^ 0xFFFFu);
}

uint8_t frame_encode(uint8_t *wire, uint8_t len)
{
    const uint16_t crc = frame_crc(wire + 1, len);
    uint8_t *at = wire + 1 + len;
    uint8_t *code = wire;
    uint8_t distance = 1;

    *at++ = (uint8_t)(crc >> 8);
    *at = (uint8_t)(crc & 0xFFu);
    len = (uint8_t)(len + BIN_CRC_SIZE);
    /* In place: each zero becomes the distance to the next. A body is shorter than 254, so there is one byte of overhead. */
    for (at = wire + 1; at <= wire + len; at++) {
        if (*at == DELIMITER) {
            *code = distance;
            code = at;
            distance = 0;
        }
        distance++;
    }
    *code = distance;
    *at = DELIMITER;
    return (uint8_t)(len + 2);
}

/* Undoes COBS in place; returns the length, NO_BODY when the codes do not add up. */
static uint8_t uncobs(uint8_t *held, uint8_t len)
{
    uint8_t from = 0;
    uint8_t to = 0;

    while (from < len) {
        uint8_t code = held[from]; /* never 0: that would have ended the frame */

        if (code > len - from) {
            return NO_BODY;
        }
        if (from > 0) {
            held[to++] = 0;
        }
        for (from++; code > 1; code--) {
            held[to++] = held[from++];
        }
    }
    return to;
}

static uint8_t check(struct frame_decoder *decoder)
{
    const uint8_t *held = decoder->held;
    uint8_t len = uncobs(decoder->held, decoder->len);

    if (len == NO_BODY) {
        decoder->errors.crc++;
        return 0;
    }
    if (len < BIN_HEADER_SIZE + BIN_CRC_SIZE) {
        decoder->errors.length++;
        return 0;
    }
    len = (uint8_t)(len - BIN_CRC_SIZE);
    if (frame_crc(held, len) != (uint16_t)((uint16_t)held[len] << 8 | held[len + 1])) {
        decoder->errors.crc++;
        return 0;
    }
    return len;
}

uint8_t frame_take(struct frame_decoder *decoder, uint8_t byte)
{
    uint8_t len = 0;

    if (byte == DELIMITER) {
        if (decoder->len > 0) { /* empty frames are ignored, and what was skipped is empty too */
            len = check(decoder);
        }
        decoder->len = 0;
        decoder->skipping = false;
    } else if (decoder->len < sizeof decoder->held && !decoder->skipping) {
        decoder->held[decoder->len++] = byte;
    } else if (!decoder->skipping) {
        decoder->errors.overrun++; /* an endless frame is counted once */
        decoder->skipping = true;
        decoder->len = 0;
    }
    return len;
}
