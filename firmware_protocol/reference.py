"""The controller in Python: the behaviour that SPEC.md demands, for ``sim://`` and as the twin of the C core.

One context, one HAL, polled: bytes go in by `receive`, time by `tick` (call it every 1-20 ms), bytes come out by
`take_output`. Integers only; times are unsigned 32-bit milliseconds that may wrap.
"""

from __future__ import annotations

import binascii
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from firmware_protocol import limits as lim
from firmware_protocol import messages as msg
from firmware_protocol.framing import DELIMITER, SILENCE_MS, Decoder, Errors, encode
from firmware_protocol.hal import Hal, LidMotion, Motion
from firmware_protocol.lid_core import (
    EVENT_VALUE_MAX,
    MOVING,
    Lid,
    LidCore,
    Verdict,
    calibration_fits,
    default_calibration,
)
from firmware_protocol.limits import since
from firmware_protocol.messages import Caps, Code, ControllerState, EventKind, Frame, LidPhase, ResetCause, Stop
from firmware_protocol.version import FIRMWARE

__all__ = ["SIM_CAPS", "Hal", "LidMotion", "Motion", "ReferenceController", "Survivor"]

SIM_CAPS = Caps.LIMIT_SWITCHES | Caps.CURRENT_SENSE | Caps.ULTRASONIC_FILL | Caps.PINCH | Caps.ESTOP_SENSE
SIM_CAPS |= Caps.SUPPLY_SENSE | Caps.INDICATOR
"""What the simulated board has; no bootloader, no position feedback."""
BOARD_SIMULATED = 0
OUTPUT_MAX = 4096
OPENS_COUNTED_MAX = 100_000
OK: Verdict = (Code.OK_ACCEPTED, 0)
BAD_ARG: Verdict = (Code.BAD_ARG, 0)


@dataclass(slots=True)
class Survivor:
    """What outlives an external, watchdog or brown-out reset: the last action ids whose motion began, with their own CRC."""

    actions: list[int] = field(default_factory=list)
    """Oldest first, at most ACTION_RING."""
    crc: int = 0

    def add(self, action_id: int) -> None:
        """Remember one more."""
        self.actions = [*self.actions[-(lim.ACTION_RING - 1) :], action_id]
        self.crc = self._crc()

    def check(self) -> None:
        """After a reset: forget all unless the CRC says that the memory is whole."""
        if self.crc != self._crc():
            self.clear()

    def clear(self) -> None:
        """After a power-on: the memory holds noise."""
        self.actions = []
        self.crc = self._crc()

    @property
    def last(self) -> int:
        """Action id of the last motion begun, 0 = none."""
        return self.actions[-1] if self.actions else 0

    def _crc(self) -> int:
        return binascii.crc_hqx(struct.pack(f"<{len(self.actions)}I", *self.actions), 0xFFFF)


class ReferenceController:
    """The controller. It starts as after ``cause`` and homes its lids shut by itself.

    ``on_motion`` is called within `tick` or `receive` and must return at once. ``opens`` counts openings begun per action
    id, over all resets: any value above 1 is a double opening. The board calls `reset` after the HAL's `restart`.
    """

    def __init__(
        self,
        hal: Hal,
        *,
        now_ms: int = 0,
        lids: int = msg.SLOTS,
        cause: ResetCause = ResetCause.POWER_ON,
        caps: Caps = SIM_CAPS,
        uid: bytes = b"\x00" * 6,
        on_motion: Callable[[LidMotion], None] | None = None,
    ) -> None:
        if not 1 <= lids <= msg.MAX_LIDS:
            raise ValueError(f"a controller has 1 to {msg.MAX_LIDS} lids, not {lids}")
        self.hal = hal
        self.lids = lids
        self.caps = caps
        self.uid = uid
        self.opens: Counter[int] = Counter()
        self.survivor = Survivor()
        self._on_motion = on_motion or (lambda _: None)
        self.reset(cause, now_ms)

    # ---- life -------------------------------------------------------------------------------------------------------

    def reset(self, cause: ResetCause, now_ms: int) -> None:
        """Restart in place: RAM is lost, action ids survive all but a power-on. All servo signals stop at once."""
        now_ms %= lim.TICKS
        if cause is ResetCause.POWER_ON:
            self.survivor.clear()
        else:
            self.survivor.check()
        self.cause = cause
        self.errors = Errors()
        self._decoder = Decoder(self.errors)
        self._sent_ms: int | None = None
        self._output = bytearray()
        self._booted_ms = self._heard_ms = self._told_ms = now_ms
        self._host_lost = False
        self._session = 0
        self._last_seq = 0
        self._answers: list[msg.Message] = []
        self._events: list[msg.Event] = []
        self._due: set[int] = set()
        """Numbers of the events to be repeated in the present round."""
        self._event_seq = 0
        self._repeated_ms = now_ms
        self._telemetry_ms = 0
        self._restart: bool | None = None
        self._now_ms = now_ms
        table = [Lid(n, self._load_calibration(n)) for n in range(self.lids)]
        self.core = LidCore(self.hal, self.caps, table, self._report, self._begin_action, self._on_motion)
        self.core.boot(now_ms)
        self._send(0, 0, msg.Boot(*FIRMWARE, cause, self.survivor.last))

    def _load_calibration(self, lid: int) -> msg.Calibration:
        stored = self.hal.load_cal(lid)
        return stored if stored is not None and calibration_fits(stored) else default_calibration(lid)

    def receive(self, data: bytes, now_ms: int) -> None:
        """Bytes from the line."""
        self._now_ms = now_ms % lim.TICKS
        self._watch_host()  # bytes that lay in a buffer for long must not pass for a living host
        for body in self._decoder.feed(data):
            if self._restart is None:  # nothing begins that a restart would leave half done
                self._take(body)

    def tick(self, now_ms: int) -> None:
        """Move lids, watch them and the host, repeat events, send telemetry."""
        self._now_ms = now_ms = now_ms % lim.TICKS
        self._watch_host()
        self.core.tick(now_ms)
        if self.core.host_alive and not self._repeat_events():
            self._tell_state()  # later when events were repeated: both together are too much for a small board's 1 ms

    def take_output(self) -> bytes:
        """Bytes for the line, each once (at most 4096 wait; what comes beyond is lost, as in a full UART)."""
        data = bytes(self._output)
        self._output.clear()
        if self._restart is not None:
            bootloader, self._restart = self._restart, None
            self.hal.restart(bootloader)
        return data

    def _watch_host(self) -> None:
        if not self.core.host_alive or since(self._now_ms, self._heard_ms) <= lim.HOST_SILENCE_MS:
            return
        self.core.host_alive = False
        silence_ms = since(self._now_ms, self._heard_ms)
        self._report(EventKind.HOST_LOST, msg.NO_LID, 0, min(silence_ms, EVENT_VALUE_MAX))
        self.core.close_all(self._now_ms)
        self._host_lost = True
        self._show(msg.Pattern.FAULT)

    # ---- frames -----------------------------------------------------------------------------------------------------

    def _take(self, body: bytes) -> None:
        try:
            frame = Frame.from_body(body)
        except msg.MajorError as error:
            self.errors.length += 1
            if error.type_id == msg.Type.HELLO:
                self._send(error.session, 0, self._ack())  # so that the host can say which side to update
            return
        except msg.MessageError:
            self.errors.length += 1
            return
        if isinstance(frame.message, msg.Hello):
            self._hello(frame, frame.message)
        elif isinstance(frame.message, msg.Ping):
            self._ping(frame, frame.message)
        elif isinstance(frame.message, msg.Command):
            self._command(frame, frame.message)
        else:
            self.errors.length += 1  # a device's frame: our own echo, or a second controller

    def _hello(self, frame: Frame, hello: msg.Hello) -> None:
        if frame.session == 0 or frame.seq != 0:
            self.errors.seq += 1
            return
        if hello.host_major == msg.PROTO_MAJOR:
            if frame.session != self._session:
                self._session = frame.session
                self._last_seq = 0
                self._answers = []
            self._telemetry_ms = _clamp_period(hello.telemetry_ms)
            self._heard()
            if self._host_lost:
                self._host_lost = False
                self._show(msg.Pattern.OFF)
            self._repeated_ms = (self._now_ms - lim.EVENT_REPEAT_MS) % lim.TICKS
        self._send(frame.session, 0, self._ack())

    def _ack(self) -> msg.HelloAck:
        return msg.HelloAck(
            msg.PROTO_MAJOR,
            msg.PROTO_MINOR,
            *FIRMWARE,
            git=0,
            board=BOARD_SIMULATED,
            uid=self.uid,
            caps=self.caps,
            lids=self.lids,
            reset_cause=self.cause,
            last_action_id=self.survivor.last,
        )

    def _ping(self, frame: Frame, ping: msg.Ping) -> None:
        if frame.seq != 0 or not self._in_session(frame):
            self.errors.seq += 1
            self._send(frame.session, frame.seq, msg.Result(Code.NO_SESSION, 0))
            return
        self._heard()
        self._forget_events(ping.last_event_seq)
        self._send(self._session, 0, msg.Pong(ping.host_ms, since(self._now_ms, self._booted_ms)))

    def _command(self, frame: Frame, command: msg.Command) -> None:
        if not self._in_session(frame):
            self.errors.seq += 1
            self._send(frame.session, frame.seq, msg.Result(Code.NO_SESSION, 0))
            return
        self._heard()
        expected = self._last_seq % 0xFFFF + 1
        if frame.seq == self._last_seq != 0:  # no command carries seq 0
            for answer in self._answers:
                self._send(self._session, frame.seq, answer, retransmit=True)
        elif frame.seq == expected:
            self._last_seq = frame.seq
            code, detail = self._execute(command)
            self._answers = [msg.Result(code, detail)]
            if isinstance(command, msg.GetCal) and code is Code.OK_ACCEPTED:
                self._answers.append(self._calibration(command.lid))
            for answer in self._answers:
                self._send(self._session, frame.seq, answer)
        else:
            self.errors.seq += 1
            self._send(self._session, frame.seq, msg.Result(Code.BAD_SEQ, expected))

    def _in_session(self, frame: Frame) -> bool:
        return self.core.host_alive and frame.session == self._session and frame.session != 0

    def _heard(self) -> None:
        self.core.host_alive = True
        self._heard_ms = self._now_ms

    def _send(self, session: int, seq: int, message: msg.Message, *, retransmit: bool = False) -> None:
        body = Frame(session, seq, message, retransmit).to_body()
        quiet = self._sent_ms is None or since(self._now_ms, self._sent_ms) >= SILENCE_MS
        self._sent_ms = self._now_ms
        data = (DELIMITER if quiet else b"") + encode(body)
        if len(self._output) + len(data) <= OUTPUT_MAX:
            self._output += data

    # ---- commands ---------------------------------------------------------------------------------------------------

    def _execute(self, command: msg.Command) -> Verdict:
        lid = getattr(command, "lid", 0)
        if lid >= self.lids:
            return BAD_ARG
        return self._HANDLERS[type(command)](self, command)

    def _open(self, wish: msg.Open) -> Verdict:
        if wish.action_id == 0:
            return BAD_ARG
        if wish.action_id == self.survivor.last or any(x.action_id == wish.action_id for x in self.core.lids):
            return Code.DUPLICATE, 0
        if wish.action_id in self.survivor.actions:
            return Code.TOO_OLD, 0
        return self.core.accept_open(wish, self._now_ms)

    def _close(self, wish: msg.Close) -> Verdict:
        if wish.action_id == 0:
            return BAD_ARG
        return self.core.accept_close(wish.lid, wish.action_id, self._now_ms)

    def _stop_now(self, _wish: msg.StopNow) -> Verdict:
        self.core.halt(self._now_ms)
        return OK

    def _stop_latch(self, _wish: msg.StopLatch) -> Verdict:
        self.core.latch(self._now_ms)
        return OK

    def _stop_clear(self, wish: msg.StopClear) -> Verdict:
        return self.core.clear(self._now_ms) if wish.magic == msg.MAGIC else BAD_ARG

    def _calibrate(self, wish: msg.Calibrate) -> Verdict:
        if wish.on > 1:
            return BAD_ARG
        if wish.on:
            return self.core.start_calibration(self._now_ms)
        self.core.end_calibration(self._now_ms)
        return OK

    def _jog(self, wish: msg.Jog) -> Verdict:
        if not lim.PULSE_MIN_US <= wish.pulse_us <= lim.PULSE_MAX_US:
            return BAD_ARG
        return self.core.jog(wish.lid, wish.pulse_us, self._now_ms)

    def _set_cal(self, wish: msg.SetCal) -> Verdict:
        cal = msg.Calibration(wish.lid, wish.open_us, wish.closed_us, wish.speed_us_per_20ms, wish.jam_ma)
        if not calibration_fits(cal):
            return BAD_ARG
        lid = self.core.lids[wish.lid]
        if lid.phase in MOVING or lid.phase is LidPhase.WAITING:
            return Code.BUSY, lim.REST_MS
        lid.cal = cal
        self.hal.save_cal(cal)
        self._report(EventKind.CAL_SAVED, wish.lid, 0, None)
        return OK

    def _get_cal(self, _wish: msg.GetCal) -> Verdict:
        return OK

    def _calibration(self, lid: int) -> msg.Calibration:
        return self.core.lids[lid].cal

    def _set_telemetry(self, wish: msg.SetTelemetry) -> Verdict:
        if wish.period_ms != _clamp_period(wish.period_ms):
            return BAD_ARG
        self._telemetry_ms = wish.period_ms
        return OK

    def _indicate(self, wish: msg.Indicate) -> Verdict:
        if not self.caps & Caps.INDICATOR:
            return Code.UNSUPPORTED, 0
        if wish.pattern not in msg.Pattern.__members__.values():
            return BAD_ARG
        self.hal.indicate(wish.pattern, wish.duration_ms)
        return OK

    def _show(self, pattern: msg.Pattern) -> None:
        """On our own account: the person at the bin sees that nobody judges items."""
        if self.caps & Caps.INDICATOR:
            self.hal.indicate(pattern, 0)

    def _reboot(self, wish: msg.Reboot) -> Verdict:
        if wish.magic != msg.MAGIC:
            return BAD_ARG
        self._restart = False
        return OK

    def _enter_bootloader(self, wish: msg.EnterBootloader) -> Verdict:
        if not self.caps & Caps.BOOTLOADER:
            return Code.UNSUPPORTED, 0
        if wish.magic != msg.MAGIC:
            return BAD_ARG
        if not self.core.all_closed:
            return Code.BUSY, lim.REST_MS
        self._restart = True
        return OK

    _HANDLERS: ClassVar[dict[type[msg.Command], Callable[..., Verdict]]] = {
        msg.Open: _open,
        msg.Close: _close,
        msg.StopNow: _stop_now,
        msg.StopLatch: _stop_latch,
        msg.StopClear: _stop_clear,
        msg.Jog: _jog,
        msg.Calibrate: _calibrate,
        msg.SetCal: _set_cal,
        msg.GetCal: _get_cal,
        msg.SetTelemetry: _set_telemetry,
        msg.Indicate: _indicate,
        msg.Reboot: _reboot,
        msg.EnterBootloader: _enter_bootloader,
    }

    # ---- events and telemetry ---------------------------------------------------------------------------------------

    def _begin_action(self, action_id: int) -> None:
        self.survivor.add(action_id)
        if len(self.opens) >= OPENS_COUNTED_MAX:
            self.opens.clear()
        self.opens[action_id] += 1

    def _report(self, kind: EventKind, lid: int, action_id: int, value: int | None) -> None:
        self._event_seq = self._event_seq % 0xFFFF + 1
        event = msg.Event(self._event_seq, kind, lid, action_id, value)
        self._events = [*self._events[-(lim.EVENT_RING - 1) :], event]
        if self.core.host_alive:
            self._send(self._session, event.event_seq, event)

    def _forget_events(self, last_event_seq: int) -> None:
        """Drop what the host has seen; a number that is not in the ring acknowledges nothing."""
        numbers = [x.event_seq for x in self._events]
        if last_event_seq in numbers:
            self._events = self._events[numbers.index(last_event_seq) + 1 :]

    def _repeat_events(self) -> bool:
        """Say what no PING has named, a few each tick; whether there was anything to say."""
        if since(self._now_ms, self._repeated_ms) >= lim.EVENT_REPEAT_MS:
            self._repeated_ms = self._now_ms
            self._due = {x.event_seq for x in self._events}
        events = [x for x in self._events if x.event_seq in self._due][: lim.REPEATS_PER_TICK]
        for event in events:
            self._due.remove(event.event_seq)
            self._send(self._session, event.event_seq, event, retransmit=True)
        return bool(events)

    def _tell_state(self) -> None:
        period_ms = self._telemetry_ms
        if period_ms and not self.core.at_rest:
            period_ms = min(period_ms, lim.TELEMETRY_MOVING_MS)
        if period_ms == 0 or since(self._now_ms, self._told_ms) < period_ms:
            return
        self._told_ms = self._now_ms
        self._send(self._session, 0, self._telemetry())
        for first in range(msg.SLOTS, self.lids, msg.SLOTS):
            self._send(self._session, 0, msg.TelemetryMore(first, self._slots(first), self._pinch(first)))

    def _telemetry(self) -> msg.Telemetry:
        hal = self.hal
        return msg.Telemetry(
            uptime_ms=since(self._now_ms, self._booted_ms),
            state=self.state,
            stop=self.core.stop,
            vin_mv=hal.vin_mv(),
            vservo_mv=hal.vservo_mv(),
            slots=self._slots(0),
            pinch=self._pinch(0),
            temp_c=hal.temp_c(),
            crc_errors=self.errors.crc % 256,
            length_errors=self.errors.length % 256,
            seq_errors=self.errors.seq % 256,
            overruns=self.errors.overrun % 256,
        )

    def _slots(self, first: int) -> tuple[msg.LidTelemetry, msg.LidTelemetry, msg.LidTelemetry, msg.LidTelemetry]:
        return (self._slot(first), self._slot(first + 1), self._slot(first + 2), self._slot(first + 3))

    def _slot(self, number: int) -> msg.LidTelemetry:
        if number >= self.lids:
            return msg.ABSENT
        lid, hal = self.core.lids[number], self.hal
        return msg.LidTelemetry(
            lid.phase, lid.pulse_us, hal.limits(number), hal.current_ma(number), hal.fill_mm(number)
        )

    def _pinch(self, first: int) -> int | None:
        pinch = self.hal.pinch()
        return None if pinch is None else pinch >> first & 0x0F

    @property
    def state(self) -> ControllerState:
        """The controller as a whole; what asks for a person comes first."""
        phases = {x.phase for x in self.core.lids}
        if self.core.stop & (Stop.MUSHROOM | Stop.LATCH):
            return ControllerState.STOPPED
        if LidPhase.FAULT in phases:
            return ControllerState.FAULT
        if not self.core.host_alive:
            return ControllerState.NO_HOST
        if self.core.calibrating:
            return ControllerState.CALIBRATING
        if phases & {LidPhase.HOMING, LidPhase.UNKNOWN}:
            return ControllerState.HOMING
        return ControllerState.MOVING if phases & MOVING else ControllerState.IDLE


def _clamp_period(period_ms: int) -> int:
    """A telemetry period within the device's bounds; 0 = off."""
    return period_ms and min(max(period_ms, lim.TELEMETRY_MIN_MS), lim.TELEMETRY_MAX_MS)
