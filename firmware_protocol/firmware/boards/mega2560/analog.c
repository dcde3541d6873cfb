/* The converter works through its channels by interrupt, about 0.11 ms each. A hobby servo draws its current in bursts at
 * the rate of its signal and of its motor's bridge: only the mean over a whole 20 ms frame says how hard it pushes. */
#include "analog.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>
#include <util/crc16.h>

#include "bin_core.h"
#include "gpio.h"

#define VSERVO BOARD_LIDS /* places in the sums */
#define BANDGAP (BOARD_LIDS + 3u) /* the bandgap is weak: its first two conversions after the others are wrong, and not used */
#define TURNS (BOARD_LIDS + 4u)
#define ROUNDS 23u          /* x 8 conversions x 0.11 ms = 20 ms */

#define REFERENCE _BV(REFS0) /* AVcc */
#define CLOCK (_BV(ADPS2) | _BV(ADPS1) | _BV(ADPS0)) /* 125 kHz: 13 cycles a conversion */
#define NOISE_LOOKS 256u

/* mA = steps * 5000 mV / (1024 * 185 mV/A) * 1000, for a sum of ROUNDS steps, in 1/65536. */
#define MA_PER_SUM \
    ((uint32_t)((5000ULL * 1000ULL * 65536ULL + ADC_STEPS * CURRENT_MV_PER_A_AT_5V * ROUNDS / 2u) / \
                (1ULL * ADC_STEPS * CURRENT_MV_PER_A_AT_5V * ROUNDS)))

static const uint8_t channels[TURNS] = {
    ADC_CURRENT_0, ADC_CURRENT_1, ADC_CURRENT_2, ADC_CURRENT_3, ADC_VSERVO, ADC_BANDGAP, ADC_BANDGAP, ADC_BANDGAP,
};
/* One set of sums grows while the other, of ROUNDS conversions, stands still for 20 ms. */
static uint16_t sums[2][TURNS];
static volatile uint8_t growing;
static uint16_t vin_mv = BIN_UNKNOWN_U16, vservo_mv = BIN_UNKNOWN_U16;

_Static_assert(ROUNDS * (ADC_STEPS - 1u) <= 0xFFFFu, "a sum fits 16 bits");

void analog_begin(void)
{
    MCUCR |= _BV(JTD); /* twice within four cycles: frees A4..A7 where the JTAG fuse is set */
    MCUCR |= _BV(JTD);
    /* Pull-ups on the current inputs: a cut wire reads full scale, which no sensor says. The supply has its divider to ground. */
    PORTF = _BV(ADC_CURRENT_0) | _BV(ADC_CURRENT_1) | _BV(ADC_CURRENT_2) | _BV(ADC_CURRENT_3);
    DIDR0 = 0xFF;
    ADMUX = REFERENCE | channels[0];
    ADCSRB = 0;
    ADCSRA = _BV(ADEN) | _BV(ADIE) | CLOCK;
    ADCSRA |= _BV(ADSC);
}

ISR(ADC_vect)
{
    static uint8_t turn, round;

    sums[growing][turn] += ADC;
    if (++turn == TURNS) {
        turn = 0;
        if (++round == ROUNDS) {
            round = 0;
            growing ^= 1u;
            for (uint8_t i = 0; i < TURNS; i++) {
                sums[growing][i] = 0;
            }
        }
    }
    ADMUX = REFERENCE | channels[turn];
    ADCSRA |= _BV(ADSC);
}

/* In one go: between the choice of the set and the reading of its second byte that set may be wiped and grow. */
static uint16_t sum_of(uint8_t place)
{
    uint16_t sum;

    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        sum = sums[growing ^ 1u][place];
    }
    return sum;
}

/* AVcc is the scale of all sums, and the bandgap tells how large it is: both cancel. */
static uint16_t mv_of(uint32_t sum, uint16_t full_mv)
{
    const uint16_t bandgap = sum_of(BANDGAP);
    const uint32_t mv = bandgap ? sum * full_mv / bandgap : BIN_UNKNOWN_U16;

    return mv < BIN_UNKNOWN_U16 ? (uint16_t)mv : BIN_UNKNOWN_U16;
}

/* Divisions are dear on this chip, and the core asks several times in one tick: they are done once for each new mean. */
void analog_tick(void)
{
    static uint8_t seen;

    if (seen == growing) {
        return;
    }
    seen = growing;
    vin_mv = mv_of((uint32_t)ADC_STEPS * ROUNDS, BANDGAP_MV);
    vservo_mv = mv_of(sum_of(VSERVO), BANDGAP_MV * VSERVO_DIVIDER);
    if (vservo_mv < VSERVO_DEAD_MV) {
        vservo_mv = BIN_UNKNOWN_U16;
    }
}

uint16_t analog_current_ma(uint8_t lid)
{
    const uint16_t zero = CURRENT_ZERO_STEPS * ROUNDS;
    const uint16_t sum = sum_of(lid);
    const uint16_t from_zero = sum > zero ? (uint16_t)(sum - zero) : (uint16_t)(zero - sum); /* wired either way round */
    const uint32_t ma = (from_zero * MA_PER_SUM) >> 16;

    return ma <= CURRENT_MAX_MA ? (uint16_t)ma : BIN_UNKNOWN_U16; /* sums of 0 before the first round are beyond, too */
}

uint16_t analog_vin_mv(void)
{
    return vin_mv;
}

uint16_t analog_vservo_mv(void)
{
    return vservo_mv;
}

uint16_t analog_noise(void)
{
    uint16_t noise = 0xFFFF;

    ADMUX = REFERENCE | ADC_NOISE;
    ADCSRA = _BV(ADEN) | CLOCK;
    for (uint16_t i = 0; i < NOISE_LOOKS; i++) {
        ADCSRA |= _BV(ADSC);
        while (ADCSRA & _BV(ADSC)) {
        }
        noise = _crc_ccitt_update(noise, ADCL);
        noise = _crc_ccitt_update(noise, ADCH);
    }
    ADCSRA = 0;
    return noise;
}

void analog_end(void)
{
    ADCSRA = 0;
}
