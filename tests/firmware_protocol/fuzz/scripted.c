/* Runs scripts (see scripts.py) on the C core: script bytes on stdin, one record per op on stdout, each with its length before it. */
#include <stdio.h>
#include <stdlib.h>

#include "board.h"

static struct board board;
static const uint8_t *at, *end;

static const uint8_t *take(size_t len)
{
    const uint8_t *found = at;
    if ((size_t)(end - at) < len) {
        fputs("the script ends in the middle of an op\n", stderr);
        exit(2);
    }
    at += len;
    return found;
}

static uint32_t number(unsigned len) { return get_le(take(len), len); }

static void put(const void *data, size_t len)
{
    if (fwrite(data, 1, len, stdout) != len)
        exit(3);
}

static void put_u16(size_t value) { put((uint8_t[]){ (uint8_t)(value & 0xFFu), (uint8_t)(value >> 8) }, 2); }

static void put_log(struct log *log)
{
    put_u16(log->len);
    put(log->data, log->len);
    log->len = 0;
}

static void record(void)
{
    const struct bin_core *core = &board.core;
    const uint8_t lids = board.identity.lids;
    put_u16(4u * 2u + board.sent.len + board.changes.len + board.calls.len + board.motions.len + lids + 4u);
    put_log(&board.sent);
    put_log(&board.changes);
    put_log(&board.calls);
    put_log(&board.motions);
    for (uint8_t lid = 0; lid < lids; lid++)
        put((uint8_t[]){ (uint8_t)core->lids[lid].phase }, 1);
    const struct frame_errors *errors = &core->decoder.errors;
    put((uint8_t[]){ errors->crc, errors->length, errors->seq, errors->overrun }, 4);
}

static void lid_inputs(void)
{
    const uint8_t lid = (uint8_t)number(1), limits = (uint8_t)number(1);
    const uint16_t current_ma = (uint16_t)number(2), fill_mm = (uint16_t)number(2);
    if (lid >= BIN_LIDS_MAX)
        return;
    board.limits[lid] = limits;
    board.current_ma[lid] = current_ma;
    board.fill_mm[lid] = fill_mm;
}

static void bin_inputs(void)
{
    board.pinch_known = number(1) != 0;
    board.pinch = (uint16_t)number(2);
    board.vin_mv = (uint16_t)number(2);
    board.vservo_mv = (uint16_t)number(2);
    board.temp_c = (int8_t)number(1);
    board.pressed = number(1) != 0;
}

static void stored(void)
{
    const uint8_t lid = (uint8_t)number(1);
    const bool present = number(1) != 0;
    struct bin_cal cal;
    cal.open_us = (uint16_t)number(2);
    cal.closed_us = (uint16_t)number(2);
    cal.speed_us_per_20ms = (uint8_t)number(1);
    cal.jam_ma = (uint16_t)number(2);
    if (lid >= BIN_LIDS_MAX)
        return;
    board.stored[lid] = present;
    board.eeprom[lid] = cal;
}

static void boot(void)
{
    const uint8_t lids = (uint8_t)number(1);
    const uint32_t caps = number(4);
    const uint8_t cause = (uint8_t)number(1);
    board_fresh(&board, lids, caps, number(4));
    board_start(&board, cause);
}

/* False: this op leaves no record. */
static bool run(uint8_t code)
{
    switch (code) {
    case 'B':
        boot();
        return true;
    case 'R': {
        const uint16_t len = (uint16_t)number(2);
        bin_core_receive(&board.core, take(len), len, board.now_ms);
        return true;
    }
    case 'T':
        board.now_ms += number(4);
        bin_core_tick(&board.core, board.now_ms);
        return true;
    case 'X':
        board_start(&board, (uint8_t)number(1));
        return true;
    case 'I':
        lid_inputs();
        return false;
    case 'G':
        bin_inputs();
        return false;
    case 'E':
        stored();
        return false;
    case 'D':
        board.survivor.copies[0].crc ^= (uint16_t)(1u << *at);
        board.survivor.copies[1].crc ^= (uint16_t)(1u << number(1));
        return false;
    case 'N':
        board.core.last_seq = (uint16_t)number(2);
        board.core.event_seq = (uint16_t)number(2);
        return false;
    default:
        fprintf(stderr, "no op %d\n", code);
        exit(2);
    }
}

int main(void)
{
    size_t len = 0, room = 1u << 20;
    uint8_t *script = malloc(room);
    while (script && !feof(stdin)) {
        len += fread(script + len, 1, room - len, stdin);
        if (len == room)
            script = realloc(script, room *= 2);
    }
    if (!script)
        return 3;
    at = script;
    end = script + len;
    while (at < end)
        if (run(*take(1)))
            record();
        else
            put_u16(0);
    free(script);
    return 0;
}
