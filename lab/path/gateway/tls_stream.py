"""A TLS server's side of one TCP connection, with the alerts that a refused device is owed.

asyncio's own TLS drops what OpenSSL has to say when a handshake fails: the device would see a bare end of the
connection where AWS IoT, like every server, sends an alert. Here each alert is sent, the reason reaches the log, and a
connection is closed by close_notify and FIN, never by a reset that could overtake them.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Protocol, cast

HANDSHAKE_TIMEOUT = 20.0
"""Seconds for a TLS handshake."""

LINGER = 2.0
"""Seconds that the device has to end its side after ours has ended."""

_BUFFER = memoryview(bytearray(256 * 1024))
"""Where every connection's bytes arrive; it is emptied before the loop reads from another."""


class Application(Protocol):
    """What is served over TLS."""

    def established(self) -> None:
        """The handshake is done."""

    def data_received(self, data: bytes) -> None:
        """Data has arrived."""

    def connection_lost(self) -> None:
        """The device has gone."""

    def pause_writing(self) -> None:
        """The device reads too slowly."""

    def resume_writing(self) -> None:
        """The device has caught up."""


class TlsStream(asyncio.BufferedProtocol):
    """Decrypts for an application and encrypts for a device.

    Args:
        context: the server's TLS settings.
        make_application: called when the connection is made.
        refused: called with the reason of a failed handshake.
    """

    tls: ssl.SSLObject
    _raw: asyncio.Transport
    _application: Application

    def __init__(
        self,
        context: ssl.SSLContext,
        make_application: Callable[["TlsStream"], Application],
        refused: Callable[["TlsStream", str], None],
    ) -> None:
        self._context = context
        self._make_application = make_application
        self._refused = refused
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._established = False
        self._ending = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def peer_address(self) -> tuple[str, int]:
        """The device's IP address and TCP port."""
        address = self._raw.get_extra_info("peername") or ("", 0)
        return str(address[0]), int(address[1])

    # --- the TCP side -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up: wait for the ClientHello."""
        self._raw = cast("asyncio.Transport", transport)
        self._raw.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._application = self._make_application(self)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_TIMEOUT, self._refuse, "TLS handshake timed out")

    def get_buffer(self, _: int) -> memoryview:
        """Where the next bytes go."""
        return _BUFFER

    def buffer_updated(self, size: int) -> None:
        """Bytes have arrived."""
        if self._ending:
            return
        self._incoming.write(_BUFFER[:size])
        if self._established or self._handshake():
            self._read()

    def eof_received(self) -> bool:
        """The device has ended its side."""
        if not self._established and not self._ending:
            self._refuse("the device left during the TLS handshake")
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """TCP is down."""
        self._ending = True
        self._stop_timer()
        if self._established:
            self._application.connection_lost()

    def pause_writing(self) -> None:
        """The device reads too slowly."""
        self._application.pause_writing()

    def resume_writing(self) -> None:
        """The device has caught up."""
        self._application.resume_writing()

    # --- TLS --------------------------------------------------------------------------------------------------------

    def _handshake(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._refuse(_reason(error))
            return False
        self._flush()
        self._stop_timer()
        self._established = True
        self._application.established()
        return not self._ending

    def _refuse(self, reason: str) -> None:
        self._refused(self, reason)
        self._end()

    def _read(self) -> None:
        pieces: list[bytes] = []
        over = False
        try:
            while piece := self.tls.read(len(_BUFFER)):
                pieces.append(piece)
            over = True  # close_notify
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            over = True
        self._flush()
        if pieces:
            self._application.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if over:
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def _end(self) -> None:
        """Send what is left and FIN, then wait a little for the device to do the same."""
        self._ending = True
        self._stop_timer()
        self._flush()
        if not self._raw.is_closing():
            self._raw.resume_reading()
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._raw.abort)
            with contextlib.suppress(OSError):  # the device may have reset the connection already
                self._raw.write_eof()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- for the application ----------------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt and send; dropped when the connection is ending."""
        if not self._ending:
            self.tls.write(data)
            self._flush()

    def pause_reading(self) -> None:
        """Take no more from the device for now."""
        if not self._ending:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Take data from the device again."""
        if not self._ending:
            self._raw.resume_reading()

    def close(self) -> None:
        """Close by close_notify and FIN; the application hears ``connection_lost`` when TCP is down."""
        if self._ending:
            return
        if self._established:
            with contextlib.suppress(ssl.SSLError):  # the device's close_notify is not there yet, and not waited for
                self.tls.unwrap()
        self._end()


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's words without the line of its source; a refused server name is a failed callback to OpenSSL."""
    if error.reason == "CALLBACK_FAILED":
        return "server name missing or not the endpoint's"
    detail = getattr(error, "verify_message", "")
    return f"{error.reason}: {detail}" if detail else str(error.reason or error)
