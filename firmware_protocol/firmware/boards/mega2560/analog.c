/* The converter works through its channels by interrupt, about 0.11 ms each. A hobby servo draws its current in bursts at the rate of
 * its signal and of its motor's bridge: only the mean over a whole 20 ms frame says how hard it pushes. */
#include "analog.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>
#include <util/crc16.h>

#include "bin_core.h"
#include "gpio.h"

#define VSERVO BOARD_LIDS /* places in the sums */
#define BANDGAP (BOARD_LIDS + 1u)
#define PLACES (BOARD_LIDS + 2u)
#define TURNS (PLACES + 1u) /* the bandgap is weak: its first conversion after the others is thrown away */
#define ROUNDS 26u          /* x 7 conversions x 0.11 ms = 20 ms */

#define REFERENCE _BV(REFS0) /* AVcc */
#define CLOCK (_BV(ADPS2) | _BV(ADPS1) | _BV(ADPS0)) /* 125 kHz: 13 cycles a conversion */
#define NOISE_LOOKS 256u

/* mA = steps * 5000 mV / (1024 * 185 mV/A) * 1000, for a sum of ROUNDS steps, in 1/65536. */
#define MA_PER_SUM \
    ((uint32_t)((5000ULL * 1000ULL * 65536ULL + ADC_STEPS * CURRENT_MV_PER_A_AT_5V * ROUNDS / 2u) / \
                (1ULL * ADC_STEPS * CURRENT_MV_PER_A_AT_5V * ROUNDS)))

static const uint8_t channels[TURNS] = {
    ADC_CURRENT_0, ADC_CURRENT_1, ADC_CURRENT_2, ADC_CURRENT_3, ADC_VSERVO, ADC_BANDGAP, ADC_BANDGAP,
};
static volatile uint16_t means[PLACES]; /* sums of ROUNDS conversions */
static volatile bool ready;

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
    ready = false;
    ADCSRA = _BV(ADEN) | _BV(ADIE) | CLOCK;
    ADCSRA |= _BV(ADSC);
}

ISR(ADC_vect)
{
    static uint16_t sums[PLACES];
    static uint8_t turn, round;
    const uint16_t value = ADC;

    if (turn != BANDGAP)
        sums[turn < BANDGAP ? turn : BANDGAP] += value;
    if (++turn == TURNS) {
        turn = 0;
        if (++round == ROUNDS) {
            round = 0;
            for (uint8_t i = 0; i < PLACES; i++) {
                means[i] = sums[i];
                sums[i] = 0;
            }
            ready = true;
        }
    }
    ADMUX = REFERENCE | channels[turn];
    ADCSRA |= _BV(ADSC);
}

static uint16_t sum_of(uint8_t place)
{
    uint16_t sum;

    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        sum = means[place];
    }
    return sum;
}

bool analog_ready(void)
{
    return ready;
}

uint16_t analog_current_ma(uint8_t lid)
{
    const uint16_t zero = CURRENT_ZERO_STEPS * ROUNDS;
    const uint16_t sum = sum_of(lid);
    const uint16_t from_zero = sum > zero ? (uint16_t)(sum - zero) : (uint16_t)(zero - sum); /* wired either way round */
    const uint32_t ma = (from_zero * MA_PER_SUM) >> 16;

    return ready && ma <= CURRENT_MAX_MA ? (uint16_t)ma : BIN_UNKNOWN_U16;
}

/* AVcc is the scale of all sums, and the bandgap tells how large it is: both cancel. */
static uint16_t mv_of(uint32_t sum, uint16_t full_mv)
{
    const uint16_t bandgap = sum_of(BANDGAP);
    uint32_t mv;

    if (!ready || bandgap == 0)
        return BIN_UNKNOWN_U16;
    mv = sum * full_mv / bandgap;
    return mv < BIN_UNKNOWN_U16 ? (uint16_t)mv : BIN_UNKNOWN_U16;
}

uint16_t analog_vservo_mv(void)
{
    const uint16_t mv = mv_of(sum_of(VSERVO), BANDGAP_MV * VSERVO_DIVIDER);

    return mv >= VSERVO_DEAD_MV ? mv : BIN_UNKNOWN_U16;
}

uint16_t analog_vin_mv(void)
{
    return mv_of((uint32_t)ADC_STEPS * ROUNDS, BANDGAP_MV);
}

uint16_t analog_noise(void)
{
    uint16_t noise = 0xFFFF;

    ADMUX = REFERENCE | ADC_NOISE;
    ADCSRA = _BV(ADEN) | CLOCK;
    for (uint16_t i = 0; i < NOISE_LOOKS; i++) {
        ADCSRA |= _BV(ADSC);
        while (ADCSRA & _BV(ADSC))
            ;
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
