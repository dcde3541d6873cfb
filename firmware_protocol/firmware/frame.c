#include "frame.h"

#define DELIMITER 0
#define NO_BODY 0xFF

uint16_t frame_crc(const uint8_t *data, uint8_t len)
{
    uint16_t crc = 0xFFFFu;

    /* Eight steps of the polynomial at once, without a table: a table would cost the AVR 512 bytes of RAM. */
    for (; len > 0; len--) {
        uint16_t x = (uint16_t)((crc >> 8) ^ *data++);
        x = (uint16_t)(x ^ (x >> 4));
        crc = (uint16_t)((uint16_t)(crc << 8) ^ (uint16_t)(x << 12) ^ (uint16_t)(x << 5) ^ x);
    }
    return (uint16_t)(crc ^ 0xFFFFu);
}

uint8_t frame_encode(uint8_t *wire, uint8_t len)
{
    const uint16_t crc = frame_crc(wire + 1, len);
    uint8_t code_at = 0;
    uint8_t at;

    wire[1 + len] = (uint8_t)(crc >> 8);
    wire[2 + len] = (uint8_t)(crc & 0xFFu);
    len = (uint8_t)(len + 1 + BIN_CRC_SIZE);
    /* In place: each zero becomes the distance to the next. A body is shorter than 254, so there is one byte of overhead. */
    for (at = 1; at < len; at++) {
        if (wire[at] == DELIMITER) {
            wire[code_at] = (uint8_t)(at - code_at);
            code_at = at;
        }
    }
    wire[code_at] = (uint8_t)(len - code_at);
    wire[len] = DELIMITER;
    return (uint8_t)(len + 1);
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
    if (frame_crc(held, len) != (uint16_t)((uint16_t)(held[len] << 8) | held[len + 1])) {
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
