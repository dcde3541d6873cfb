/* Lockstep with the tests over stdin and stdout: a body in a process of its own, driven in virtual time.
 *
 * Request = op u8, length u32, payload. Only STEP is answered: length u32, then records of tag u8, time u64 (us since the process
 * began), length u16, body. All little endian; this runs on the machine of the tests, which is little endian too.
 *
 * CONFIG  lids u8, caps u32, now_ms u32     before the first RESET (an image knows its own lids and caps)
 * RESET   cause u8, seed u32                seed: noise that a power-on leaves in the RAM
 * INPUTS  pinch u16, pinch_known u8, vin_mv u16, vservo_mv u16, temp_c i8, stop u8, then 16 x (limits u8, current_ma u16, fill_mm u16);
 *         255 and 65535 = the board cannot tell
 * STEP    us u32, rx bytes
 * STORE   at u16, bytes                     writes the memory that keeps calibrations (host: at = lid, struct of the SET_CAL fields)
 * NOISE   seed u32                          damages the memory that survives a reset (an image: all of its RAM; RESET must follow)
 * HANG    interrupts u8                     the controller's loop stands still from now on, and with 0 its interrupts too (images only)
 * WORK    (empty)                           asks an image for its load since the last WORK, told with the next STEP
 */
#ifndef LOCKSTEP_H
#define LOCKSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OP_CONFIG = 'C', OP_RESET = 'R', OP_INPUTS = 'I', OP_STEP = 'S', OP_STORE = 'E', OP_NOISE = 'N', OP_HANG = 'H', OP_WORK = 'W' };
enum {
    TAG_TX = 'T',      /* bytes to the host, stamped when the last one was out */
    TAG_PULSE = 'P',   /* lid u8, sixteenths of a us u32 (0 = no signal) */
    TAG_MOTION = 'M',  /* lid u8, enum bin_motion u8, action_id u32 */
    TAG_SAVED = 'C',   /* lid u8, open_us u16, closed_us u16, speed u8, jam_ma u16 */
    TAG_SHOWN = 'L',   /* pattern u8, duration_ms u16 */
    TAG_LAMPS = 'G',   /* lamp and buzzer pins u8, bit n as pins.h names them */
    TAG_RESTART = 'B', /* bootloader u8 */
    TAG_RESET = 'R',   /* cause u8: the controller has reset itself */
    TAG_WORK = 'W'     /* CPU cycles: of the longest tick u32, of all ticks u64; deepest stack, bytes u16 */
};
enum { LIDS = 16 };

struct lid_inputs {
    uint8_t limits;
    uint16_t current_ma, fill_mm;
};

struct inputs {
    uint16_t pinch;
    bool pinch_known;
    uint16_t vin_mv, vservo_mv;
    int8_t temp_c;
    bool stop;
    struct lid_inputs lids[LIDS];
};

struct request {
    uint8_t op;
    uint32_t len;
    const uint8_t *data;
};

/* Waits for one request; false at the end of the input. The data is good until the next call. Exits on a request cut short. */
bool lockstep_read(struct request *request);
void lockstep_inputs(const struct request *request, struct inputs *inputs);
void lockstep_put(uint8_t tag, uint64_t t_us, const void *body, uint16_t len);
/* Answers a STEP with all records put since the last one. */
void lockstep_reply(void);

uint16_t read_u16(const uint8_t *at);
uint32_t read_u32(const uint8_t *at);
void write_u16(uint8_t *at, uint16_t value);
void write_u32(uint8_t *at, uint32_t value);
/* What a RAM holds after a power-on. */
void fill_with_noise(void *at, size_t len, uint32_t seed);
_Noreturn void die(const char *why);

#endif
