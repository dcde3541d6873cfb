#include "inputs.h"

#include "gpio.h"
#include "protocol.h"

/* Eight inputs at once: two bits a pin count the looks that differ from the state. */
struct debounced {
    uint8_t state, low, high;
};

static struct debounced switches; /* 1 = lid stands on it; bit 2n shut, bit 2n + 1 open */
static struct debounced alarms;   /* bits 0..3 pinch, bit 4 mushroom switch */

#define PINCH_BITS 0x0Fu
#define STOP_BIT 0x10u

_Static_assert(BIN_LIMITS_CLOSED == 1 && BIN_LIMITS_OPEN == 2, "port A holds the wire's bits, two a lid");
_Static_assert(INPUTS_LOOKS == 4u, "a counter of two bits");

static void look(struct debounced *inputs, uint8_t now)
{
    const uint8_t differs = now ^ inputs->state;

    inputs->high = (uint8_t)((inputs->high ^ inputs->low) & differs);
    inputs->low = (uint8_t)(~inputs->low & differs);
    inputs->state ^= (uint8_t)(differs & ~(inputs->high | inputs->low)); /* the fourth look: the counter has run over */
}

void inputs_begin(void)
{
    DDRA = 0;
    PORTA = 0xFF; /* all limit switches: port A, see pins.h */
    gpio_input_pullup(PIN_PINCH_0);
    gpio_input_pullup(PIN_PINCH_1);
    gpio_input_pullup(PIN_PINCH_2);
    gpio_input_pullup(PIN_PINCH_3);
    gpio_input_pullup(PIN_ESTOP);
    switches = (struct debounced){0, 0, 0};
    alarms = (struct debounced){PINCH_BITS | STOP_BIT, 0, 0};
}

void inputs_tick(void)
{
    const uint8_t pinched = (uint8_t)(GPIO_IN(PIN_PINCH_0) & PINCH_BITS); /* port C, bits 0..3 */

    look(&switches, (uint8_t)~PINA);
    look(&alarms, (uint8_t)(pinched | (gpio_is_high(PIN_ESTOP) ? STOP_BIT : 0u)));
}

uint8_t inputs_limits(uint8_t lid)
{
    return (uint8_t)((switches.state >> (2u * lid)) & (BIN_LIMITS_CLOSED | BIN_LIMITS_OPEN));
}

uint8_t inputs_pinch(void)
{
    return alarms.state & PINCH_BITS;
}

bool inputs_stop_pressed(void)
{
    return (alarms.state & STOP_BIT) != 0;
}
