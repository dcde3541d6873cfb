#include "uart.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <string.h>
#include <util/atomic.h>

#include "gpio.h"

/* 256, so that an index of one byte wraps by itself. Out: a full ring of events and a telemetry frame (8 x 20 + 58 bytes).
 * In: 22 ms at full speed, the longest tick is 1 ms. One byte stays free: full and empty would look the same. */
#define RING 256u
#define DELIMITER 0

static volatile uint8_t in[RING];
static uint8_t out[RING];
static volatile uint8_t in_head, in_tail, out_head, out_tail;
static volatile bool frame_ended;

void uart_begin(void)
{
    gpio_input_pullup(PIN_RX); /* no host: the line rests instead of picking up noise */
    UCSR0A = _BV(U2X0);        /* before the divisor: 115200 is 2.1 % off with it and -3.5 % without */
    UBRR0 = (uint16_t)((F_CPU + UART_BAUD * 4u) / (UART_BAUD * 8u) - 1u);
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXCIE0) | _BV(RXEN0) | _BV(TXEN0);
}

ISR(USART0_RX_vect)
{
    const uint8_t status = UCSR0A; /* before the byte: reading the byte clears it */
    const uint8_t byte = UDR0;
    const uint8_t next = (uint8_t)(in_head + 1u);

    /* A byte without its stop bit is none. What an overrun or a full ring loses, the frame's CRC finds missing. */
    if (!(status & _BV(FE0)) && next != in_tail) {
        in[in_head] = byte;
        in_head = next;
        if (byte == DELIMITER) {
            frame_ended = true;
        }
    }
}

ISR(USART0_UDRE_vect)
{
    if (out_tail == out_head) {
        UCSR0B &= (uint8_t)~_BV(UDRIE0);
        return;
    }
    UDR0 = out[out_tail];
    out_tail = (uint8_t)(out_tail + 1u);
}

bool uart_send(const uint8_t *data, uint8_t len)
{
    const uint8_t head = out_head;
    const uint8_t room = (uint8_t)(out_tail - head - 1u);
    const uint16_t to_the_end = (uint16_t)(RING - head);

    if (len > room) {
        return false;
    }
    if (len <= to_the_end) {
        memcpy(out + head, data, len);
    } else {
        memcpy(out + head, data, to_the_end);
        memcpy(out, data + to_the_end, len - to_the_end);
    }
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) /* also keeps the bytes' writing before the index's */
    {
        out_head = (uint8_t)(head + len);
        UCSR0B |= _BV(UDRIE0);
    }
    return true;
}

uint8_t uart_take(uint8_t *data, uint8_t room)
{
    uint8_t count = 0;

    frame_ended = false; /* before the look: what ends from now on is told anew */
    while (count < room && in_tail != in_head) {
        data[count++] = in[in_tail];
        in_tail = (uint8_t)(in_tail + 1u);
    }
    if (in_tail != in_head) {
        frame_ended = true; /* perhaps: look again */
    }
    return count;
}

bool uart_frame_ended(void)
{
    return frame_ended;
}

bool uart_sent_all(void)
{
    return out_tail == out_head;
}

void uart_end(void)
{
    UCSR0B = 0;
    UCSR0A = 0;
    UBRR0 = 0;
}
