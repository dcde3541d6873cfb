/* Two slots a lid. A save goes to the slot that is not in force: its version byte is wiped first and written last, so that a
 * cut in the supply at any byte leaves the old record in force, never a mixture. Of two whole slots the newer one counts. A
 * record: version, sequence, open_us, closed_us, speed_us_per_20ms, jam_ma, CRC over all before it; little endian. */
#include "store.h"

#include <avr/eeprom.h>
#include <string.h>

#include "frame.h"
#include "pins.h"

#define CAL_VERSION 1u /* of the record; another one counts as none, and the lid has the core's defaults */
#define WIPED 0xFFu    /* as a new chip's EEPROM */
#define RECORD 11u
#define CRC_AT 9u
#define SLOT 16u
#define SLOTS 2u
#define UID_AT 16u /* not at address 0: the byte that a failing supply hurts first */
#define CALS_AT 32u
#define USED (CALS_AT + BOARD_LIDS * SLOTS * SLOT)
#define TRIES 3u

/* Only says to the linker how much there is; its values are those of a new chip and not part of the image. */
static uint8_t memory[USED] EEMEM = {[0 ... USED - 1u] = WIPED};

struct stored {
    uint8_t slot, sequence;
};

static struct bin_cal wanted[BOARD_LIDS];
static uint8_t wanted_lids; /* bit n = lid n waits to be written */

static struct {
    uint8_t bytes[RECORD];
    uint16_t address;
    uint8_t at; /* 0: wipe the version; 1..10: the rest; 11: the version */
    uint8_t tries;
    bool under_way;
} job;

static uint16_t address_of(uint8_t lid, uint8_t slot)
{
    return (uint16_t)(CALS_AT + (lid * SLOTS + slot) * SLOT);
}

static uint16_t u16_at(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | (uint16_t)bytes[1] << 8);
}

static void put_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static bool read_record(uint8_t lid, uint8_t slot, uint8_t bytes[RECORD])
{
    eeprom_read_block(bytes, memory + address_of(lid, slot), RECORD);
    return bytes[0] == CAL_VERSION && u16_at(bytes + CRC_AT) == frame_crc(bytes, CRC_AT);
}

/* The record in force; false: neither slot is whole. */
static bool newest(uint8_t lid, uint8_t bytes[RECORD], struct stored *which)
{
    uint8_t other[RECORD];
    const bool first = read_record(lid, 0, bytes), second = read_record(lid, 1, other);

    which->slot = 0;
    if (second && (!first || (int8_t)(other[1] - bytes[1]) > 0)) {
        which->slot = 1;
        memcpy(bytes, other, RECORD);
    }
    which->sequence = first || second ? bytes[1] : 0;
    return first || second;
}

bool store_load_cal(uint8_t lid, struct bin_cal *cal)
{
    uint8_t bytes[RECORD];
    struct stored which;

    if (wanted_lids & (1u << lid)) {
        *cal = wanted[lid];
        return true;
    }
    if (!newest(lid, bytes, &which)) {
        return false;
    }
    cal->open_us = u16_at(bytes + 2);
    cal->closed_us = u16_at(bytes + 4);
    cal->speed_us_per_20ms = bytes[6];
    cal->jam_ma = u16_at(bytes + 7);
    return true;
}

void store_save_cal(uint8_t lid, const struct bin_cal *cal)
{
    wanted[lid] = *cal;
    wanted_lids |= (uint8_t)(1u << lid);
}

static void begin_job(void)
{
    uint8_t lid = 0, bytes[RECORD];
    struct stored which = {0, 0};

    while (!(wanted_lids & (1u << lid))) {
        lid++;
    }
    wanted_lids &= (uint8_t)~(1u << lid);
    job.address = address_of(lid, newest(lid, bytes, &which) ? !which.slot : 0);
    job.bytes[0] = CAL_VERSION;
    job.bytes[1] = (uint8_t)(which.sequence + 1u);
    put_u16(job.bytes + 2, wanted[lid].open_us);
    put_u16(job.bytes + 4, wanted[lid].closed_us);
    job.bytes[6] = wanted[lid].speed_us_per_20ms;
    put_u16(job.bytes + 7, wanted[lid].jam_ma);
    put_u16(job.bytes + CRC_AT, frame_crc(job.bytes, CRC_AT));
    job.at = 0;
    job.tries = TRIES;
    job.under_way = true;
}

/* Writes the next byte that differs; the chip is ready. */
static void step_job(void)
{
    const uint8_t index = job.at < RECORD ? job.at : 0;
    const uint8_t byte = job.at == 0 ? WIPED : job.bytes[index];
    uint8_t *const target = memory + job.address + index;

    if (job.at > RECORD) { /* all written: does it read so? */
        uint8_t bytes[RECORD];

        eeprom_read_block(bytes, memory + job.address, RECORD);
        job.under_way = memcmp(bytes, job.bytes, RECORD) != 0 && --job.tries > 0;
        job.at = 0;
        return;
    }
    job.at++;
    if (eeprom_read_byte(target) != byte) {
        eeprom_write_byte(target, byte); /* does not wait: the chip is ready */
    }
}

void store_tick(void)
{
    if (!eeprom_is_ready()) {
        return;
    }
    if (job.under_way) {
        step_job();
    } else if (wanted_lids) {
        begin_job();
    }
}

bool store_idle(void)
{
    return !job.under_way && !wanted_lids && eeprom_is_ready();
}

bool store_load_uid(uint8_t uid[UID_SIZE])
{
    uint8_t crc[2];

    eeprom_read_block(uid, memory + UID_AT, UID_SIZE);
    eeprom_read_block(crc, memory + UID_AT + UID_SIZE, sizeof crc);
    return u16_at(crc) == frame_crc(uid, UID_SIZE);
}

void store_save_uid(const uint8_t uid[UID_SIZE])
{
    uint8_t crc[2];

    put_u16(crc, frame_crc(uid, UID_SIZE));
    eeprom_update_block(uid, memory + UID_AT, UID_SIZE);
    eeprom_update_block(crc, memory + UID_AT + UID_SIZE, sizeof crc);
    eeprom_busy_wait();
}
