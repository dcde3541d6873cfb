/* Pins by name: gpio_high(PIN_BUZZER), with the names of pins.h ("port letter, bit"). */
#ifndef BOARD_GPIO_H
#define BOARD_GPIO_H

#include <avr/io.h>

#include "pins.h"

#define GPIO_BIT_(port, bit) ((uint8_t)(1u << (bit)))
#define GPIO_PORT_(port, bit) PORT##port
#define GPIO_DDR_(port, bit) DDR##port
#define GPIO_IN_(port, bit) PIN##port

/* The names of pins.h hold a comma: these spread them into two arguments. */
#define GPIO_BIT(...) GPIO_BIT_(__VA_ARGS__)
#define GPIO_PORT(...) GPIO_PORT_(__VA_ARGS__)
#define GPIO_DDR(...) GPIO_DDR_(__VA_ARGS__)
#define GPIO_IN(...) GPIO_IN_(__VA_ARGS__)

#define gpio_high(...) (GPIO_PORT(__VA_ARGS__) |= GPIO_BIT(__VA_ARGS__))
#define gpio_low(...) (GPIO_PORT(__VA_ARGS__) &= (uint8_t)~GPIO_BIT(__VA_ARGS__))
#define gpio_is_high(...) ((GPIO_IN(__VA_ARGS__) & GPIO_BIT(__VA_ARGS__)) != 0)

/* Low before it is driven, so that no spike comes out. */
#define gpio_output(...) (gpio_low(__VA_ARGS__), GPIO_DDR(__VA_ARGS__) |= GPIO_BIT(__VA_ARGS__))
#define gpio_input_pullup(...) (GPIO_DDR(__VA_ARGS__) &= (uint8_t)~GPIO_BIT(__VA_ARGS__), gpio_high(__VA_ARGS__))

#endif
