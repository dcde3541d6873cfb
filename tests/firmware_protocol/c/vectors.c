/* Checks the golden vectors against frame.c and protocol.h. Lines on stdin: NAME|TYPE|COMMAND|BODY|WIRE (body with its CRC;
 * both in hex; command 0 = none). Says what is wrong, or how much was checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

static unsigned wrong, frames, cuts, flips;

static void say(const char *name, const char *what, unsigned at)
{
    printf("%s: %s (%u)\n", name, what, at);
    wrong++;
}

static uint8_t from_hex(const char *text, uint8_t *bytes, size_t room)
{
    size_t len = 0;
    unsigned byte;

    for (; text[0] && text[1] && len < room && sscanf(text, "%2x", &byte) == 1; text += 2) {
        bytes[len++] = (uint8_t)byte;
    }
    return (uint8_t)len;
}

static unsigned counted(const struct frame_errors *errors)
{
    return 0u + errors->crc + errors->length + errors->overrun;
}

/* Feeds bytes to a fresh decoder; returns how many bodies came out, the last of them in body[]. */
static unsigned feed(struct frame_decoder *decoder, const uint8_t *bytes, uint8_t len, uint8_t *body, uint8_t *body_len)
{
    unsigned found = 0;

    memset(decoder, 0, sizeof *decoder);
    while (len-- > 0) {
        const uint8_t got = frame_take(decoder, *bytes++);

        if (got > 0) {
            found++;
            *body_len = got;
            memcpy(body, decoder->held, got);
        }
    }
    return found;
}

static void check_encoding(const char *name, const uint8_t *body, uint8_t len, const uint8_t *wire, uint8_t wire_len)
{
    uint8_t made[BIN_WIRE_MAX];

    memset(made, 0xA5, sizeof made);
    memcpy(made + 1, body, len);
    if (frame_encode(made, len) != wire_len || memcmp(made, wire, wire_len) != 0) {
        say(name, "frame_encode makes another wire", len);
    }
}

static void check_decoding(const char *name, const uint8_t *body, uint8_t len, const uint8_t *wire, uint8_t wire_len)
{
    struct frame_decoder decoder;
    uint8_t got[BIN_BODY_MAX];
    uint8_t got_len = 0;

    if (feed(&decoder, wire, wire_len, got, &got_len) != 1 || got_len != len || memcmp(got, body, len) != 0) {
        say(name, "frame_take finds another body", got_len);
    }
    if (counted(&decoder.errors) != 0) {
        say(name, "a good frame was counted as bad", counted(&decoder.errors));
    }
}

/* Each beginning and each end of the frame: no body comes out, and one error is counted. */
static void check_cuts(const char *name, const uint8_t *wire, uint8_t wire_len)
{
    struct frame_decoder decoder;
    uint8_t bad[BIN_WIRE_MAX];
    uint8_t got[BIN_BODY_MAX];
    uint8_t got_len, cut;

    for (cut = 1; cut + 1 < wire_len; cut++, cuts += 2) {
        memcpy(bad, wire, cut);
        bad[cut] = 0;
        if (feed(&decoder, bad, (uint8_t)(cut + 1), got, &got_len) != 0 || counted(&decoder.errors) != 1) {
            say(name, "cut off after", cut);
        }
        if (feed(&decoder, wire + cut, (uint8_t)(wire_len - cut), got, &got_len) != 0 || counted(&decoder.errors) != 1) {
            say(name, "beginning cut off at", cut);
        }
    }
}

/* Each bit turned: no body comes out, and errors are counted. A turned delimiter makes a frame that ends with the next. */
static void check_flips(const char *name, const uint8_t *wire, uint8_t wire_len)
{
    struct frame_decoder decoder;
    uint8_t bad[BIN_WIRE_MAX + 1];
    uint8_t got[BIN_BODY_MAX];
    uint8_t got_len;
    unsigned bit;

    for (bit = 0; bit < 8u * wire_len; bit++, flips++) {
        memcpy(bad, wire, wire_len);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bad[wire_len] = 0;
        if (feed(&decoder, bad, (uint8_t)(wire_len + 1), got, &got_len) != 0 || counted(&decoder.errors) == 0) {
            say(name, "accepted with this bit turned", bit);
        }
    }
}

static void check(const char *name, unsigned type, unsigned command, const char *body_hex, const char *wire_hex)
{
    uint8_t body[BIN_BODY_MAX];
    uint8_t wire[BIN_WIRE_MAX];
    const uint8_t wire_len = from_hex(wire_hex, wire, sizeof wire);
    const uint8_t len = (uint8_t)(from_hex(body_hex, body, sizeof body) - BIN_CRC_SIZE);

    if (body[0] != type || (command > 0 && body[BIN_HEADER_SIZE] != command)) {
        say(name, "another type or command", body[0]);
    }
    if (bin_payload_size(body[0], body[BIN_HEADER_SIZE]) != len - BIN_HEADER_SIZE) {
        say(name, "protocol.h has another length", bin_payload_size(body[0], body[BIN_HEADER_SIZE]));
    }
    if (frame_crc(body, len) != (body[len] << 8 | body[len + 1])) {
        say(name, "another CRC", frame_crc(body, len));
    }
    check_encoding(name, body, len, wire, wire_len);
    check_decoding(name, body, len, wire, wire_len);
    check_cuts(name, wire, wire_len);
    check_flips(name, wire, wire_len);
    frames++;
}

int main(void)
{
    char line[512], name[64], body[160], wire[160];
    unsigned type, command;

    if (frame_crc((const uint8_t *)"123456789", 9) != 0xD64Eu) {
        say("check value", "another CRC", frame_crc((const uint8_t *)"123456789", 9));
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "%63[^|]|%u|%u|%159[^|]|%159s", name, &type, &command, body, wire) != 5) {
            fprintf(stderr, "not a vector: %s", line);
            return EXIT_FAILURE;
        }
        check(name, type, command, body, wire);
    }
    printf("%u frames, %u cuts, %u flips\n", frames, cuts, flips);
    return wrong > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
