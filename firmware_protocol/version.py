"""Version of the controller's program: the Python reference, the C core and its images say the same."""

FIRMWARE = (1, 0, 0)
"""Major, minor, patch, as HELLO_ACK and BOOT tell them; `c_header` hands them to C."""
