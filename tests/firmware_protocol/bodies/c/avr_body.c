/* The real image in simavr: an ATmega2560 at 16 MHz, wired as boards/mega2560/pins.h says. See lockstep.h.
 *
 * Virtual time: a sleeping core costs nothing, so a controller that sleeps between its ticks runs much faster than real time.
 */
#include <simavr/avr_adc.h>
#include <simavr/avr_eeprom.h>
#include <simavr/avr_extint.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_timer.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lockstep.h"
#include "pins.h"

enum {
    CYCLES_PER_US = 16,
    MS = 1000 * CYCLES_PER_US,
    BIT_NS = 8681,              /* 115200 baud */
    RX_BITS = 11,               /* simavr's receiver takes one more than the line */
    TX_BITS = 10,
    RX_HELD = 2,                /* bytes that the chip holds beside the one that comes in */
    NO_PULSE_MS = 25,           /* a servo frame has 20 */
    STUCK_MS = 5,
    JITTER_SIXTEENTHS = 8,      /* a change below half a us is the harness's own: a cycle timer waits for the end of an instruction */
    ECHO_AFTER_US = 450,
    TRIG_MIN_US = 10,
    EXTENDED_IO_END = 0x200,    /* RAM begins */
    MCUSR_AT = 0x54,
    BOOTLOADER_AT = 0x3E000,
    HANG_AT = 0x3D000,          /* erased flash */
    STACK_PAINT = 0xC5,
    STUCK = 0x7FFFFFFF
};

struct pin {
    char port;
    uint8_t bit;
};
#define PIN_(port_, bit_) {#port_[0], bit_}
#define PIN(spec) PIN_OF(spec)
#define PIN_OF(...) PIN_(__VA_ARGS__)
#define FOUR(name) {PIN(name##_0), PIN(name##_1), PIN(name##_2), PIN(name##_3)}

static const struct pin shut[] = FOUR(PIN_SHUT), open_[] = FOUR(PIN_OPEN), pinch[] = FOUR(PIN_PINCH);
static const struct pin trig[] = FOUR(PIN_TRIG), echo[] = FOUR(PIN_ECHO);
static const struct pin estop = PIN(PIN_ESTOP), busy = PIN(PIN_BUSY);
static const struct pin lamps[] = {PIN(PIN_LAMP_GREEN), PIN(PIN_LAMP_YELLOW), PIN(PIN_LAMP_RED), PIN(PIN_BUZZER)};
static const uint8_t adc_current[] = {ADC_CURRENT_0, ADC_CURRENT_1, ADC_CURRENT_2, ADC_CURRENT_3};
/* The compare outputs behind PIN_SERVO_0..3. The ports' own pin signals also move when a neighbour is written. */
static const struct {
    char timer;
    uint8_t comp;
    uint16_t tccra;
    uint8_t com_shift;
    struct pin pin;
} servos[] = {
    {'3', AVR_TIMER_COMPA, 0x90, 6, PIN(PIN_SERVO_0)},
    {'4', AVR_TIMER_COMPA, 0xA0, 6, PIN(PIN_SERVO_1)},
    {'4', AVR_TIMER_COMPB, 0xA0, 4, PIN(PIN_SERVO_2)},
    {'4', AVR_TIMER_COMPC, 0xA0, 2, PIN(PIN_SERVO_3)},
};

DEFINE_FIFO(uint16_t, uart_fifo);

static avr_t *avr;
static avr_uart_t *uart;
static struct inputs inputs;
static bool was_reset, in_bootloader;
static uint8_t asked_cause; /* the reset that the tests asked for; 0 = the chip's own */
static uint32_t noise;

static struct servo_seen {
    bool high;
    avr_cycle_count_t rose, fell;
    uint32_t told; /* sixteenths of a us */
} seen[BOARD_LIDS];

static struct {
    uint8_t bytes[1 << 17];
    uint32_t from, to;
    bool feeding;
} rx;

static struct {
    uint8_t bytes[4096];
    uint16_t len;
} tx;

static struct {
    avr_cycle_count_t rose, longest, total;
} work;

static avr_cycle_count_t trig_rose[BOARD_LIDS];
static uint8_t external[256], external_mask[256]; /* by port letter */
static uint8_t lamps_told;

static uint64_t now_us(void) { return avr->cycle / CYCLES_PER_US; }

/* ---- pins in ------------------------------------------------------------------------------------------------------------- */

static avr_irq_t *pin_irq(struct pin pin) { return avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ(pin.port), pin.bit); }

/* Also told as the pin's pull, or a write to a neighbour on the same port would set it to the chip's own pull-up. */
static void drive(struct pin pin, bool level) {
    uint8_t mask = (uint8_t)(1u << pin.bit);
    external_mask[(uint8_t)pin.port] |= mask;
    uint8_t *levels = &external[(uint8_t)pin.port];
    *levels = level ? *levels | mask : (uint8_t)(*levels & ~mask);
    avr_ioport_external_t pull = {.name = (unsigned char)pin.port, .mask = external_mask[(uint8_t)pin.port], .value = *levels};
    avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL(pin.port), &pull);
    avr_raise_irq(pin_irq(pin), level);
}

/* A voltage in uV reads as the chip reads it, 1024 steps to AVcc; simavr takes mV and knows 1023. */
static void measure(uint8_t channel, uint64_t uv) {
    uint64_t avcc = avr->avcc ? avr->avcc : 1;
    uint64_t step = uv * ADC_STEPS / (avcc * 1000);
    uint64_t mv = step >= ADC_STEPS ? avcc : (step * avcc + ADC_STEPS - 2) / (ADC_STEPS - 1);
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0 + channel), (uint32_t)mv);
}

static uint64_t current_sensor_uv(uint16_t current_ma) {
    uint64_t avcc_uv = avr->avcc * 1000ull;
    if (current_ma == 0xFFFF) {
        return avcc_uv; /* cut wire: the pull-up */
    }
    return avcc_uv / 2 + current_ma * (uint64_t)CURRENT_MV_PER_A_AT_5V * avr->avcc / 5000;
}

static void apply_inputs(void) {
    avr->vcc = avr->avcc = avr->aref = inputs.vin_mv;
    for (int lid = 0; lid < BOARD_LIDS; lid++) {
        drive(shut[lid], !(inputs.lids[lid].limits & 1));
        drive(open_[lid], !(inputs.lids[lid].limits & 2));
        drive(pinch[lid], inputs.pinch >> lid & 1);
        measure(adc_current[lid], current_sensor_uv(inputs.lids[lid].current_ma));
        if (inputs.lids[lid].fill_mm == 0xFFFF) {
            drive(echo[lid], true); /* no sensor: the pull-up */
        }
    }
    drive(estop, inputs.stop);
    measure(ADC_VSERVO, inputs.vservo_mv == 0xFFFF ? 0 : inputs.vservo_mv * 1000ull / VSERVO_DIVIDER);
    measure(ADC_NOISE, noise % 5000u * 1000ull);
}

/* ---- ultrasound ---------------------------------------------------------------------------------------------------------- */

static avr_cycle_count_t echo_ends(avr_t *self, avr_cycle_count_t when, void *lid) {
    (void)self, (void)when;
    drive(echo[(intptr_t)lid], false);
    return 0;
}

static avr_cycle_count_t echo_begins(avr_t *self, avr_cycle_count_t when, void *lid) {
    (void)when;
    uint16_t fill_mm = inputs.lids[(intptr_t)lid].fill_mm;
    if (fill_mm != 0xFFFF) {
        drive(echo[(intptr_t)lid], true);
        avr_cycle_timer_register(self, (avr_cycle_count_t)fill_mm * ECHO_US_PER_CM * CYCLES_PER_US / 10, echo_ends, lid);
    }
    return 0;
}

static void on_trig(avr_irq_t *irq, uint32_t value, void *lid) {
    (void)irq;
    avr_cycle_count_t *rose = &trig_rose[(intptr_t)lid];
    if (value & 1) {
        *rose = avr->cycle;
    } else if (*rose && avr->cycle - *rose >= TRIG_MIN_US * CYCLES_PER_US) {
        *rose = 0;
        avr_cycle_timer_register(avr, ECHO_AFTER_US * CYCLES_PER_US, echo_begins, lid);
    }
}

/* ---- pins out ------------------------------------------------------------------------------------------------------------ */

static void tell_pulse(int lid, uint32_t sixteenths) {
    uint32_t *told = &seen[lid].told;
    uint32_t change = sixteenths > *told ? sixteenths - *told : *told - sixteenths;
    if (change < JITTER_SIXTEENTHS) {
        return;
    }
    *told = sixteenths;
    uint8_t body[5] = {(uint8_t)lid};
    write_u32(body + 1, sixteenths);
    lockstep_put(TAG_PULSE, now_us(), body, sizeof body);
}

static bool is_output(struct pin pin) {
    avr_ioport_state_t state;
    avr_ioctl(avr, AVR_IOCTL_IOPORT_GETSTATE(pin.port), &state);
    return state.ddr >> pin.bit & 1;
}

static bool connected(int lid) {
    return (avr->data[servos[lid].tccra] >> servos[lid].com_shift & 3) && is_output(servos[lid].pin);
}

static void servo_low(int lid) {
    if (seen[lid].high) {
        seen[lid].high = false;
        seen[lid].fell = avr->cycle;
        tell_pulse(lid, (uint32_t)(avr->cycle - seen[lid].rose));
    }
}

static void on_servo(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    int lid = (int)(intptr_t)param;
    if (!(value & 1)) {
        servo_low(lid);
    } else if (!seen[lid].high && connected(lid)) {
        seen[lid].high = true;
        seen[lid].rose = avr->cycle;
    }
}

/* Cut off from its timer a pin is what its port says, which makes no edge at the timer. */
static void on_tccr(avr_irq_t *irq, uint32_t value, void *timer) {
    (void)irq, (void)value;
    for (int lid = 0; lid < BOARD_LIDS; lid++) {
        if (servos[lid].timer == (char)(intptr_t)timer && seen[lid].high && !connected(lid)) {
            servo_low(lid);
        }
    }
}

/* A pulse that stops or never ends makes no edge. */
static void watch_servos(void) {
    for (int lid = 0; lid < BOARD_LIDS; lid++) {
        struct servo_seen *servo = &seen[lid];
        if (servo->high && avr->cycle - servo->rose > STUCK_MS * MS) {
            tell_pulse(lid, STUCK);
        } else if (!servo->high && servo->told && avr->cycle - servo->fell > NO_PULSE_MS * MS) {
            tell_pulse(lid, 0);
        }
    }
}

static void on_lamp(avr_irq_t *irq, uint32_t value, void *bit) {
    (void)irq;
    uint8_t mask = (uint8_t)(1u << (intptr_t)bit);
    uint8_t now = value & 1 ? lamps_told | mask : (uint8_t)(lamps_told & ~mask);
    if (now != lamps_told) {
        lamps_told = now;
        lockstep_put(TAG_LAMPS, now_us(), &now, 1);
    }
}

static void on_busy(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)param;
    if (value & 1) {
        work.rose = work.rose ? work.rose : avr->cycle;
    } else if (work.rose) {
        avr_cycle_count_t cycles = avr->cycle - work.rose;
        work.rose = 0;
        work.total += cycles;
        work.longest = cycles > work.longest ? cycles : work.longest;
    }
}

/* ---- the line ------------------------------------------------------------------------------------------------------------ */

static avr_cycle_count_t feed(avr_t *self, avr_cycle_count_t when, void *param) {
    (void)param;
    if (rx.from == rx.to) {
        rx.from = rx.to = 0;
        rx.feeding = false;
        return 0;
    }
    if (uart_fifo_get_read_size(&uart->input) <= RX_HELD) { /* else the chip, too, would lose it; simavr holds 64 */
        avr_raise_irq(avr_io_getirq(self, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT), rx.bytes[rx.from]);
    }
    rx.from++;
    return when + (avr_cycle_count_t)BIT_NS * RX_BITS * CYCLES_PER_US / 1000;
}

static void start_feeding(void) {
    if (!rx.feeding && rx.from != rx.to) {
        rx.feeding = true;
        avr_cycle_timer_register(avr, (avr_cycle_count_t)BIT_NS * RX_BITS * CYCLES_PER_US / 1000, feed, NULL);
    }
}

static void tell_tx(uint64_t t_us) {
    if (tx.len) {
        lockstep_put(TAG_TX, t_us, tx.bytes, tx.len);
        tx.len = 0;
    }
}

static void on_tx(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)param;
    tx.bytes[tx.len++] = (uint8_t)value;
    if (value == 0 || tx.len == sizeof tx.bytes) {
        tell_tx(now_us() + BIT_NS * TX_BITS / 1000); /* the frame's last byte leaves from now on */
    }
}

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

static void on_reset(struct avr_io_t *io) {
    (void)io;
    was_reset = true;
}

static void sleep_no_longer(avr_t *self, avr_cycle_count_t how_long) { (void)self, (void)how_long; }

static avr_cycle_count_t end_of_step(avr_t *self, avr_cycle_count_t when, void *param) {
    (void)self, (void)when, (void)param;
    return 0; /* only so that a sleeping core does not jump beyond it */
}

static avr_cycle_count_t each_ms(avr_t *self, avr_cycle_count_t when, void *param) {
    (void)self, (void)param;
    watch_servos();
    return when + MS;
}

/* The chip has begun anew: what simavr forgets of the world around it. Time goes on. */
static void after_reset(void) {
    was_reset = false;
    in_bootloader = false;
    rx.feeding = false;
    rx.from = rx.to = 0; /* the bytes on their way meet no receiver */
    tx.len = 0;
    work.rose = 0;
    memset(trig_rose, 0, sizeof trig_rose);
    for (int lid = 0; lid < BOARD_LIDS; lid++) {
        servo_low(lid);
        drive(echo[lid], false);
        /* The level may be what it was, and simavr tells only changes; its own memory of the pins is gone. */
        drive(shut[lid], inputs.lids[lid].limits & 1);
        drive(open_[lid], inputs.lids[lid].limits & 2);
        drive(pinch[lid], !(inputs.pinch >> lid & 1));
    }
    drive(estop, !inputs.stop);
    apply_inputs();
    avr_cycle_timer_register(avr, MS, each_ms, NULL);
    if (asked_cause) {
        avr->data[MCUSR_AT] = asked_cause;
        asked_cause = 0;
    } else {
        lockstep_put(TAG_RESET, now_us(), &avr->data[MCUSR_AT], 1);
    }
}

/* True when the chip has reset itself. */
static bool run_one(void) {
    int state = avr_run(avr);
    bool reset_itself = was_reset;
    if (reset_itself) {
        after_reset();
    }
    if (avr->pc >= BOOTLOADER_AT && !in_bootloader) {
        in_bootloader = true;
        lockstep_put(TAG_RESTART, now_us(), &(uint8_t){1}, 1);
    }
    if (state == cpu_Done || state == cpu_Crashed) {
        fprintf(stderr, "pc 0x%05x: ", (unsigned)avr->pc);
        die(state == cpu_Done ? "it sleeps with interrupts off" : "the core crashed");
    }
    return reset_itself;
}

static void run_until(avr_cycle_count_t end) {
    if (avr->cycle >= end) {
        return;
    }
    avr_cycle_timer_register(avr, end - avr->cycle, end_of_step, NULL);
    while (avr->cycle < end) {
        if (in_bootloader) { /* it waits there */
            avr->cycle = end;
        } else if (run_one() && avr->cycle < end) {
            avr_cycle_timer_register(avr, end - avr->cycle, end_of_step, NULL);
        }
    }
}

static void fill_ram(uint32_t seed) {
    fill_with_noise(avr->data + EXTENDED_IO_END, avr->ramend + 1u - EXTENDED_IO_END, seed);
}

static void spoil(const struct request *request) {
    if (request->len != 4) {
        die("NOISE has another length");
    }
    fill_ram(read_u32(request->data));
}

static void reset(const struct request *request) {
    if (request->len != 5) {
        die("RESET has another length");
    }
    asked_cause = request->data[0];
    noise = read_u32(request->data + 1);
    if (asked_cause & 1) {
        fill_ram(noise);
    }
    avr_reset(avr);
    after_reset();
}

static avr_cycle_count_t step_end;

static void step(const struct request *request) {
    if (request->len < 4) {
        die("STEP is too short");
    }
    uint32_t len = request->len - 4;
    if (rx.from == rx.to && !rx.feeding) {
        rx.from = rx.to = 0;
    }
    if (len > sizeof rx.bytes - rx.to) {
        die("more bytes than the line takes");
    }
    memcpy(rx.bytes + rx.to, request->data + 4, len);
    rx.to += len;
    start_feeding();
    step_end += (avr_cycle_count_t)read_u32(request->data) * CYCLES_PER_US;
    run_until(step_end);
    tell_tx(now_us());
    lockstep_reply();
}

static void store(const struct request *request) {
    if (request->len < 2) {
        die("STORE is too short");
    }
    avr_eeprom_desc_t desc = {
        .ee = (uint8_t *)request->data + 2, .offset = read_u16(request->data), .size = request->len - 2};
    if (avr_ioctl(avr, AVR_IOCTL_EEPROM_SET, &desc) == -2) { /* -1 is what it says when all went well */
        die("STORE lies outside the EEPROM");
    }
}

static const uint8_t for_ever[] = {0xFF, 0xCF}; /* rjmp .-2 */

static void hang(const struct request *request) {
    if (request->len != 1) {
        die("HANG has another length");
    }
    avr->sreg[S_I] = request->data[0] && avr->sreg[S_I];
    memcpy(avr->flash + HANG_AT, for_ever, sizeof for_ever);
    avr->pc = HANG_AT;
    avr->state = cpu_Running;
}

/* How far down the stack has been: the image paints its RAM at the start, and the longest run of paint ends there. */
static uint16_t deepest_stack(void) {
    uint16_t run = 0, longest = 0, end = 0;
    for (uint32_t at = EXTENDED_IO_END; at <= avr->ramend; at++) {
        run = avr->data[at] == STACK_PAINT ? (uint16_t)(run + 1) : 0;
        if (run > longest) {
            longest = run;
            end = (uint16_t)at;
        }
    }
    return (uint16_t)(avr->ramend - end);
}

static void tell_work(void) {
    uint8_t body[14];
    write_u32(body, (uint32_t)work.longest);
    write_u32(body + 4, (uint32_t)work.total);
    write_u32(body + 8, (uint32_t)(work.total >> 32));
    write_u16(body + 12, deepest_stack());
    lockstep_put(TAG_WORK, now_us(), body, sizeof body);
    work.longest = work.total = 0;
}

static void connect_all(void) {
    static avr_io_t life = {.kind = "life", .reset = on_reset};
    avr_register_io(avr, &life);
    for (intptr_t lid = 0; lid < BOARD_LIDS; lid++) {
        avr_irq_t *irq =
            avr_io_getirq(avr, AVR_IOCTL_TIMER_GETIRQ(servos[lid].timer), TIMER_IRQ_OUT_COMP + servos[lid].comp);
        avr_irq_register_notify(irq, on_servo, (void *)lid);
        avr_irq_register_notify(avr_iomem_getirq(avr, servos[lid].tccra, NULL, AVR_IOMEM_IRQ_ALL), on_tccr,
                                (void *)(intptr_t)servos[lid].timer);
        avr_irq_register_notify(pin_irq(trig[lid]), on_trig, (void *)lid);
    }
    for (intptr_t bit = 0; bit < 4; bit++) {
        avr_irq_register_notify(pin_irq(lamps[bit]), on_lamp, (void *)bit);
    }
    avr_irq_register_notify(pin_irq(busy), on_busy, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_tx, NULL);
    uint32_t flags = 0; /* no echo on stdout, no real sleep while polled */
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    for (avr_io_t *io = avr->io_port; io; io = io->next) {
        if (strcmp(io->kind, "uart") == 0 && ((avr_uart_t *)io)->name == '0') {
            uart = (avr_uart_t *)io;
        }
    }
    if (!uart) {
        die("simavr has no UART 0");
    }
    for (uint8_t n = 0; n < 8; n++) {
        avr_extint_set_strict_lvl_trig(avr, n, 0); /* a low level on an INT pin would cost 12 times the time */
    }
}

static void quiet(avr_t *self, const int level, const char *format, va_list ap) {
    (void)self;
    if (level <= LOG_ERROR) {
        vfprintf(stderr, format, ap);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        die("usage: avr_body IMAGE.elf");
    }
    avr_global_logger_set(quiet);
    elf_firmware_t firmware = {0};
    if (elf_read_firmware(argv[1], &firmware) != 0) {
        die("no such image");
    }
    avr = avr_make_mcu_by_name("atmega2560");
    if (!avr || avr_init(avr) != 0) {
        die("simavr knows no atmega2560");
    }
    firmware.frequency = CYCLES_PER_US * 1000000;
    avr_load_firmware(avr, &firmware);
    memcpy(avr->flash + BOOTLOADER_AT, for_ever, sizeof for_ever); /* the image says it has a bootloader only where one is */
    avr->frequency = CYCLES_PER_US * 1000000;
    avr->sleep = sleep_no_longer;
    connect_all();
    struct request request;
    while (lockstep_read(&request)) {
        switch (request.op) {
        case OP_CONFIG: break;
        case OP_RESET: reset(&request); break;
        case OP_INPUTS:
            lockstep_inputs(&request, &inputs);
            apply_inputs();
            break;
        case OP_STEP: step(&request); break;
        case OP_NOISE: spoil(&request); break;
        case OP_STORE: store(&request); break;
        case OP_HANG: hang(&request); break;
        case OP_WORK: tell_work(); break;
        default: die("unknown request");
        }
    }
    return 0;
}
