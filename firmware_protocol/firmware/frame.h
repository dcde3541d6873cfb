/* Bytes on the line: COBS for the frame's borders, CRC-16/GENIBUS for its truth. The twin of framing.py. */
#ifndef BIN_FRAME_H
#define BIN_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

/* What was dropped and why, modulo 256 as telemetry carries it. */
struct frame_errors {
    uint8_t crc;     /* bad COBS or CRC */
    uint8_t length;  /* shorter than a header; by the owner: no such message, wrong length, reserved bits, other major */
    uint8_t seq;     /* by the owner: wrong session or seq */
    uint8_t overrun; /* longer than any frame */
};

/* Holds at most one frame. All zero is a fresh one. */
struct frame_decoder {
    struct frame_errors errors;
    uint8_t held[BIN_WIRE_MAX - 1]; /* what came since the last delimiter */
    uint8_t len;
    bool skipping; /* an overrun: all up to the next delimiter is thrown away */
};

/* CRC-16/GENIBUS: poly 0x1021, init 0xFFFF, xorout 0xFFFF; the xorout keeps a stray trailing zero from passing. */
uint16_t frame_crc(const uint8_t *data, uint8_t len);

/* Makes wire[] the frame of the body (header and payload) that lies at wire + 1; returns the frame's length, delimiter included.
 * `len` is at most BIN_BODY_MAX - BIN_CRC_SIZE, wire[] has BIN_WIRE_MAX bytes. */
uint8_t frame_encode(uint8_t *wire, uint8_t len);

/* Takes one byte. When it ends a good frame: the length of its body without CRC (BIN_HEADER_SIZE or more), which lies in held[]
 * until the next byte. Else 0; bad frames are counted. */
uint8_t frame_take(struct frame_decoder *decoder, uint8_t byte);

#endif
