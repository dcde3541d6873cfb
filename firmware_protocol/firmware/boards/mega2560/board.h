/* Which board this is. */
#ifndef BOARD_BOARD_H
#define BOARD_BOARD_H

#define BOARD_ID 1u /* mega2560, see HELLO_ACK */

#ifndef BIN_GIT
#define BIN_GIT 0ul
#endif

#endif
