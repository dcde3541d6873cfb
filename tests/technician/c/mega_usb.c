/* An Arduino Mega 2560 on its USB cable: Arduino's own bootloader and our firmware in simavr, in real time, behind a pty.
 *
 *   mega_usb LINK AUTO_RESET BOOTLOADER.hex [PROGRAM.hex]
 *
 * AUTO_RESET 1: what a program does to the port's input when it opens it (it throws it away) counts as the pulse on DTR that resets the
 * board; a pty has no DTR, but tells of this in packet mode. 0: RESET-EN is cut. All lids stand on their closed switches.
 * Prints one line for each change between "bootloader" and "program", with the board's own ms since reset.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pty.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_hex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    MHZ = 16,
    TICK = 1000 * MHZ,    /* cycles; the wall clock is looked at every ms */
    BYTE_US = 96,         /* 11 bits at 115200 baud: simavr's receiver takes one more than the line */
    BOOT_SECTION = 0x3E000,
    MCUSR_AT = 0x54,
    EXTERNAL = 2,
    POWER_ON = 1
};

static avr_t *avr;
static avr_irq_t *receiver;
static int port;
static bool auto_reset, reset_wanted;
static uint8_t waiting[1 << 16];
static uint16_t first, last;
static double reset_s;
static avr_cycle_count_t reset_cycle;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void sleep_not(avr_t *core, avr_cycle_count_t cycles) /* tick() keeps the pace */
{
    (void)core;
    (void)cycles;
}

static void to_host(avr_irq_t *irq, uint32_t value, void *param)
{
    const uint8_t byte = (uint8_t)value;

    (void)irq;
    (void)param;
    if (write(port, &byte, 1) != 1)
        return; /* nobody reads: lost, as on USB */
}

static avr_cycle_count_t feed(avr_t *core, avr_cycle_count_t when, void *param)
{
    (void)core;
    (void)param;
    if (first != last)
        avr_raise_irq(receiver, waiting[first++]);
    return when + BYTE_US * MHZ;
}

static avr_cycle_count_t tick(avr_t *core, avr_cycle_count_t when, void *param)
{
    const double ahead_s = reset_s + (double)(when - reset_cycle) / (MHZ * 1e6) - now_s();
    uint8_t data[4096];
    ssize_t length;

    (void)core;
    (void)param;
    if (ahead_s > 0)
        usleep((useconds_t)(ahead_s * 1e6));
    length = read(port, data, sizeof data);
    if (auto_reset && length > 0 && data[0] != TIOCPKT_DATA) {
        reset_wanted |= (data[0] & TIOCPKT_FLUSHREAD) != 0;
        length = 0;
    }
    for (ssize_t i = auto_reset; i < length; i++)
        waiting[last++] = data[i];
    return when + TICK;
}

/* Low = the lid stands on it. Told as the pin's pull too, and as an edge: simavr forgets levels at a reset, but not that it knew them. */
static void drive(char name, uint8_t mask, uint8_t levels)
{
    avr_ioport_external_t pull = {.name = (unsigned char)name, .mask = mask, .value = levels};

    avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL(name), &pull);
    for (int bit = 0; bit < 8; bit++) {
        avr_irq_t *pin = avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ(name), bit);

        if (!(mask >> bit & 1))
            continue;
        avr_raise_irq(pin, !(levels >> bit & 1));
        avr_raise_irq(pin, levels >> bit & 1);
    }
}

static void reset(uint8_t cause)
{
    avr_reset(avr);
    avr->pc = BOOT_SECTION; /* fuse BOOTRST */
    avr->data[MCUSR_AT] = cause;
    first = last = 0;
    drive('A', 0xFF, 0xAA); /* limit switches: shut, not open */
    drive('C', 0x0F, 0x00); /* no pinch */
    drive('D', 0x80, 0x00); /* no stop */
    reset_s = now_s();
    reset_cycle = avr->cycle;
    avr_cycle_timer_register(avr, TICK, tick, NULL);
    avr_cycle_timer_register(avr, BYTE_US * MHZ, feed, NULL);
}

static bool load(const char *file)
{
    ihex_chunk_p chunks;
    const int count = read_ihex_chunks(file, &chunks);

    for (int i = 0; i < count; i++)
        memcpy(avr->flash + chunks[i].baseaddr, chunks[i].data, chunks[i].size);
    return count > 0;
}

static bool open_port(const char *link)
{
    struct termios raw;
    char name[64];
    int host, on = 1;

    if (openpty(&port, &host, name, NULL, NULL) != 0)
        return false;
    tcgetattr(host, &raw);
    cfmakeraw(&raw);
    tcsetattr(host, TCSANOW, &raw);
    fcntl(port, F_SETFL, O_NONBLOCK);
    if (auto_reset)
        ioctl(port, TIOCPKT, &on);
    return symlink(name, link) == 0; /* the host's end stays open here: no hang-up between two programs */
}

int main(int count, char **words)
{
    int was = -1;

    if (count < 4)
        return 2;
    auto_reset = atoi(words[2]) != 0;
    avr = avr_make_mcu_by_name("atmega2560");
    if (avr == NULL || !open_port(words[1]))
        return 1;
    avr_init(avr);
    avr->frequency = MHZ * 1000000;
    avr->log = LOG_ERROR;
    avr->sleep = sleep_not;
    memset(avr->flash, 0xFF, avr->flashend + 1);
    for (int i = 3; i < count; i++)
        if (!load(words[i]))
            return 1;
    avr->codeend = avr->flashend;
    uint32_t flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    receiver = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), to_host, NULL);
    reset(POWER_ON);
    for (;;) {
        const int state = avr_run(avr), in_bootloader = avr->pc >= BOOT_SECTION;

        if (state == cpu_Done || state == cpu_Crashed)
            return 1;
        if (in_bootloader != was) {
            printf("%s %.0f\n", in_bootloader ? "bootloader" : "program", (double)(avr->cycle - reset_cycle) / (MHZ * 1e3));
            fflush(stdout);
            was = in_bootloader;
        }
        if (reset_wanted) {
            reset_wanted = false;
            reset(EXTERNAL);
        }
    }
}
