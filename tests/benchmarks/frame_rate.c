/* How fast the C core reads frames on this machine: argv = how many. Prints bytes and nanoseconds. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frame.h"

int main(int argc, char **argv)
{
    const long frames = argc == 2 ? atol(argv[1]) : 0;
    uint8_t wire[BIN_WIRE_MAX];
    struct frame_decoder decoder;
    struct timespec began, ended;
    long good = 0;
    uint8_t len;

    for (len = 0; len < BIN_BODY_MAX - BIN_CRC_SIZE; len++) {
        wire[1 + len] = (uint8_t)(len * 37u % 23u); /* a zero here and there, as in telemetry */
    }
    len = frame_encode(wire, BIN_BODY_MAX - BIN_CRC_SIZE);
    memset(&decoder, 0, sizeof decoder);
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (long i = 0; i < frames; i++) {
        for (uint8_t at = 0; at < len; at++) {
            good += frame_take(&decoder, wire[at]) > 0;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if (frames < 1 || good != frames) {
        return 1;
    }
    printf("%ld %ld\n", frames * len, (ended.tv_sec - began.tv_sec) * 1000000000L + ended.tv_nsec - began.tv_nsec);
    return 0;
}
