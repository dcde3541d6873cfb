/* What this image is, findable in its bytes: `bin-daemon firmware info IMAGE.hex` looks for the magic. */
#include <avr/pgmspace.h>
#include <stdint.h>

#include "board.h"
#include "protocol.h"

struct __attribute__((packed)) image_id {
    char magic[8];
    uint8_t board;
    uint8_t fw_major, fw_minor, fw_patch;
    uint32_t git; /* first 32 bits of the source commit; 0: none, or built from changed sources */
    uint8_t proto_major, proto_minor;
};

extern const struct image_id image_id;

const struct image_id image_id PROGMEM __attribute__((used)) = {
    {'B', 'I', 'N', 'F', 'W', 0, 1, 0}, BOARD_ID,       BIN_FW_MAJOR,    BIN_FW_MINOR,
    BIN_FW_PATCH,                       BIN_GIT,        BIN_PROTO_MAJOR, BIN_PROTO_MINOR,
};
