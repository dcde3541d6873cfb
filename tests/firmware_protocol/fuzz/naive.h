/* The line's format a second time, as plainly as it can be written: a CRC bit by bit, COBS from its definition. What frame.c is held against. */
#ifndef FUZZ_NAIVE_H
#define FUZZ_NAIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol.h"

enum naive_fate { NAIVE_EMPTY, NAIVE_GOOD, NAIVE_CRC, NAIVE_SHORT, NAIVE_OVERRUN };

static inline uint16_t naive_crc(const uint8_t *data, size_t len)
{
    uint16_t crc = 0xFFFF;
    for (size_t bit = 0; bit < 8 * len; bit++) {
        const bool in = (data[bit / 8] >> (7 - bit % 8)) & 1;
        const bool out = crc >> 15;
        crc = (uint16_t)(crc << 1);
        if (in != out)
            crc ^= 0x1021;
    }
    return crc ^ 0xFFFF;
}

/* What lies between two delimiters; `body` has room for `len` bytes. `body_len`: with the CRC. */
static inline enum naive_fate naive_decode(const uint8_t *wire, size_t len, uint8_t *body, size_t *body_len)
{
    size_t from = 0, to = 0;
    if (len == 0)
        return NAIVE_EMPTY;
    if (len >= BIN_WIRE_MAX)
        return NAIVE_OVERRUN;
    while (from < len) {
        const size_t group = wire[from];
        if (group == 0 || from + group > len)
            return NAIVE_CRC;
        memcpy(body + to, wire + from + 1, group - 1);
        to += group - 1;
        from += group;
        if (from < len)
            body[to++] = 0;
    }
    *body_len = to;
    if (to < BIN_HEADER_SIZE + BIN_CRC_SIZE)
        return NAIVE_SHORT;
    return naive_crc(body, to - 2) == (body[to - 2] << 8 | body[to - 1]) ? NAIVE_GOOD : NAIVE_CRC;
}

#endif
