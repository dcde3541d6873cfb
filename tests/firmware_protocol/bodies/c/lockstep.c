#include "lockstep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *room(uint8_t **buffer, size_t *size, size_t wanted) {
    if (wanted > *size) {
        *size = wanted * 2;
        *buffer = realloc(*buffer, *size);
        if (!*buffer) {
            die("out of memory");
        }
    }
    return *buffer;
}

_Noreturn void die(const char *why) {
    fprintf(stderr, "body: %s\n", why);
    exit(2);
}

uint16_t read_u16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }

uint32_t read_u32(const uint8_t *at) { return read_u16(at) | (uint32_t)read_u16(at + 2) << 16; }

void write_u16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

void write_u32(uint8_t *at, uint32_t value) {
    write_u16(at, (uint16_t)value);
    write_u16(at + 2, (uint16_t)(value >> 16));
}

void fill_with_noise(void *at, size_t len, uint32_t seed) {
    uint32_t x = seed | 1u;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        ((uint8_t *)at)[i] = (uint8_t)x;
    }
}

bool lockstep_read(struct request *request) {
    static uint8_t *payload;
    static size_t size;
    uint8_t head[5];
    size_t got = fread(head, 1, sizeof head, stdin);
    if (got == 0) {
        return false;
    }
    request->op = head[0];
    request->len = got == sizeof head ? read_u32(head + 1) : 0;
    request->data = room(&payload, &size, (size_t)request->len + 1);
    if (got != sizeof head || fread(payload, 1, request->len, stdin) != request->len) {
        die("a request was cut short");
    }
    return true;
}

void lockstep_inputs(const struct request *request, struct inputs *inputs) {
    if (request->len != 9 + 5 * LIDS) {
        die("INPUTS has another length");
    }
    const uint8_t *at = request->data;
    inputs->pinch = read_u16(at);
    inputs->pinch_known = at[2];
    inputs->vin_mv = read_u16(at + 3);
    inputs->vservo_mv = read_u16(at + 5);
    inputs->temp_c = (int8_t)at[7];
    inputs->stop = at[8];
    at += 9;
    for (int lid = 0; lid < LIDS; lid++, at += 5) {
        inputs->lids[lid] = (struct lid_inputs){at[0], read_u16(at + 1), read_u16(at + 3)};
    }
}

static uint8_t *reply;
static size_t reply_size, reply_len = 4;

void lockstep_put(uint8_t tag, uint64_t t_us, const void *body, uint16_t len) {
    uint8_t *at = room(&reply, &reply_size, reply_len + 11u + len) + reply_len;
    at[0] = tag;
    write_u32(at + 1, (uint32_t)t_us);
    write_u32(at + 5, (uint32_t)(t_us >> 32));
    write_u16(at + 9, len);
    memcpy(at + 11, body, len);
    reply_len += 11u + len;
}

void lockstep_reply(void) {
    write_u32(room(&reply, &reply_size, reply_len), (uint32_t)(reply_len - 4));
    if (fwrite(reply, 1, reply_len, stdout) != reply_len || fflush(stdout) != 0) {
        die("nobody reads");
    }
    reply_len = 4;
}
