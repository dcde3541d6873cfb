/* Pin map and scale factors of the Arduino Mega 2560 (ATmega2560, 16 MHz, 5 V).
 *
 * Plain numbers without avr/io.h, so that a test harness on a PC can include it too. A pin is "port letter, bit"; an analog
 * input is its channel number. Lids count from 0 here and from 1 for people. README.md holds the same table; a test compares
 * the two.
 *
 * Whatever breaks or is not fitted must land on the safe side. All switch inputs have the chip's pull-up, so a cut wire
 * reads high:
 *  - limit switch: normally open, to ground; cut = "not on the switch": such a lid never counts as shut;
 *  - pinch strip: normally closed, to ground; cut = "something is caught". Not fitted: a bridge to ground;
 *  - mushroom switch: second contact, normally closed, to ground; cut = pressed. */
#ifndef BOARD_PINS_H
#define BOARD_PINS_H

#define BOARD_LIDS 4

/* Serial line to the host: UART 0, the one behind the USB socket. */
#define PIN_RX E, 0 /* D0 */
#define PIN_TX E, 1 /* D1 */

/* Servo signals, outputs, active high: the compare outputs of timers 3 and 4. Low or high-impedance at reset: 10 kohm to
 * ground each. */
#define PIN_SERVO_0 E, 3 /* D5, OC3A */
#define PIN_SERVO_1 H, 3 /* D6, OC4A */
#define PIN_SERVO_2 H, 4 /* D7, OC4B */
#define PIN_SERVO_3 H, 5 /* D8, OC4C */

/* Limit switches, inputs with pull-up: low = the lid stands on it. One port, so that one read sees all of them. */
#define PIN_SHUT_0 A, 0 /* D22 */
#define PIN_OPEN_0 A, 1 /* D23 */
#define PIN_SHUT_1 A, 2 /* D24 */
#define PIN_OPEN_1 A, 3 /* D25 */
#define PIN_SHUT_2 A, 4 /* D26 */
#define PIN_OPEN_2 A, 5 /* D27 */
#define PIN_SHUT_3 A, 6 /* D28 */
#define PIN_OPEN_3 A, 7 /* D29 */

/* Pinch strips, inputs with pull-up: high = something is caught, or the wire is cut. */
#define PIN_PINCH_0 C, 0 /* D37 */
#define PIN_PINCH_1 C, 1 /* D36 */
#define PIN_PINCH_2 C, 2 /* D35 */
#define PIN_PINCH_3 C, 3 /* D34 */

/* Mushroom switch, input with pull-up: high = pressed, or the wire is cut. */
#define PIN_ESTOP D, 7 /* D38 */

/* Lamp and buzzer (with its own oscillator), outputs, active high, 20 mA at most: a transistor for anything larger. */
#define PIN_LAMP_GREEN C, 4  /* D33 */
#define PIN_LAMP_YELLOW C, 5 /* D32 */
#define PIN_LAMP_RED C, 6    /* D31 */
#define PIN_BUZZER C, 7      /* D30 */

/* Ultrasonic sensors (HC-SR04): 10 us high on TRIG, then ECHO is high for 58 us per cm. One at a time, 75 ms each. ECHO has a
 * pull-up: without a sensor it never falls, and the distance is unknown. */
#define PIN_TRIG_0 L, 0 /* D49 */
#define PIN_TRIG_1 L, 1 /* D48 */
#define PIN_TRIG_2 L, 2 /* D47 */
#define PIN_TRIG_3 L, 3 /* D46 */
#define PIN_ECHO_0 B, 0 /* D53, PCINT0 */
#define PIN_ECHO_1 B, 1 /* D52, PCINT1 */
#define PIN_ECHO_2 B, 2 /* D51, PCINT2 */
#define PIN_ECHO_3 B, 3 /* D50, PCINT3 */
#define ECHO_US_PER_CM 58
#define ECHO_MIN_MM 20   /* nearer, the sensor answers anything */
#define ECHO_MAX_MM 4000 /* farther, or no answer: unknown */
#define ECHO_SLOT_MS 75  /* one sensor's turn, so that its echoes have died when the next one speaks */

/* High while the main loop works, low while it sleeps: the built-in LED glows by the load, an oscilloscope shows each tick. */
#define PIN_BUSY B, 7 /* D13, LED "L" */

/* Analog inputs, channels of port F, against AVcc. */
#define ADC_CURRENT_0 0 /* A0 */
#define ADC_CURRENT_1 1 /* A1 */
#define ADC_CURRENT_2 2 /* A2 */
#define ADC_CURRENT_3 3 /* A3 */
#define ADC_VSERVO 4    /* A4 */
#define ADC_NOISE 7     /* A7, left open: noise for the board's id, at the very first start only */
#define ADC_BANDGAP 30  /* inside the chip: no pin, measures the board's own 5 V */

#define ADC_STEPS 1024u /* full scale = AVcc */

/* The chip's own reference, by which AVcc (vin_mv) and with it the servo supply are measured. 1000..1200 mV by the data
 * sheet: where vin_mv differs from a voltmeter, build with `make BANDGAP_MV=...` (1100 x voltmeter / vin_mv). */
#ifndef BANDGAP_MV
#define BANDGAP_MV 1100u
#endif

/* Current: ACS712-05B, one in each servo's supply line: AVcc / 2 at 0 A, 185 mV/A at 5 V, either way round (both follow
 * AVcc). Its input has the chip's pull-up: a cut wire, like a dead sensor, lies beyond what the sensor can say. */
#define CURRENT_ZERO_STEPS 512
#define CURRENT_MV_PER_A_AT_5V 185u
#define CURRENT_MAX_MA 5500u /* beyond: unknown */

/* Servo supply through 20 kohm over 10 kohm: 15 V full scale. Below 250 mV a dead supply and a cut wire look the same:
 * unknown. */
#define VSERVO_DIVIDER 3u
#define VSERVO_DEAD_MV 250u

#endif
