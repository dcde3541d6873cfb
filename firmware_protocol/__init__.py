"""Wire protocol of the lid controller, both ends; usable alone by any host. SPEC.md says it in words.

A host needs `HostSession` and the message classes in `firmware_protocol.messages`:

    session = HostSession(nonce=random.randint(1, 65535))
    session.start(now_s)                        # then, for ever:
    port.write(session.take_output())
    events = session.receive(port.read(), now_s) + session.tick(now_s)

`ReferenceController` is the other end in Python, over any `Hal`. Nothing here does I/O or reads a clock.
"""

from firmware_protocol.framing import Decoder, Errors, crc16, encode
from firmware_protocol.hal import Hal, LidMotion, Motion
from firmware_protocol.messages import Caps, Code, Command, EventKind, Frame, Message, MessageError, ResetCause
from firmware_protocol.reference import ReferenceController
from firmware_protocol.session import HostSession, SessionError, SessionEvent, State

__all__ = [
    "Caps",
    "Code",
    "Command",
    "Decoder",
    "Errors",
    "EventKind",
    "Frame",
    "Hal",
    "HostSession",
    "LidMotion",
    "Message",
    "MessageError",
    "Motion",
    "ReferenceController",
    "ResetCause",
    "SessionError",
    "SessionEvent",
    "State",
    "crc16",
    "encode",
]
