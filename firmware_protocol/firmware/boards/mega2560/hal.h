/* What the core asks of this board, and what it has asked of it for good. */
#ifndef BOARD_HAL_H
#define BOARD_HAL_H

#include "bin_core.h"

extern const struct bin_hal hal;

enum leaving { STAY, REBOOT, BOOTLOADER };

/* Set by REBOOT and ENTER_BOOTLOADER, never taken back: the loop lets everything out and goes. */
enum leaving hal_leaving(void);

#endif
