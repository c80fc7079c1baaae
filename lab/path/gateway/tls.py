"""TLS as AWS IoT speaks it: server name required, versions 1.2 and 1.3, a registered client certificate required.

- Without the Server Name Indication of the endpoint the handshake is refused (developerguide/transport-security.html:
  "Connection attempts that don't include the SNI are refused"); the alert is unrecognized_name.
- AWS IoT knows a device by its registered certificate, not by a chain (developerguide/x509-client-certs.html). OpenSSL
  has to trust something to ask for one: the roots that issue the devices' certificates, and every registered
  certificate whose PEM the table holds (partial chains), whatever authority issued it.
- An expired certificate, or one of an unknown authority, fails in the handshake with OpenSSL's own alert; one that
  chains but is not registered or not ACTIVE is closed after it, before any MQTT packet is read. In TLS 1.3 the device's
  own handshake is over before the server looks at its certificate: it meets either when it first reads.
- Port 443 needs the ALPN protocol x-amzn-mqtt-ca (developerguide/protocols.html); on 8883 it may be named.
"""

import ssl

from lab.path.gateway.table import Table, TableError

MQTT_ALPN = "x-amzn-mqtt-ca"
MQTT_PORT, ALPN_PORT = 8883, 443
PORTS = (MQTT_PORT, ALPN_PORT)


def server_context(table: Table, *, protocol: str = MQTT_ALPN) -> ssl.SSLContext:
    """The context for every listener; ``protocol`` is what ALPN may name.

    Raises:
        TableError: a certificate, key or root cannot be loaded.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols([protocol])
    # A resumed session would skip the look at the certificate; TLS 1.3 tickets only cost time in a lab.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(table.certificate_file, table.private_key_file)
        context.load_verify_locations(cafile=str(table.device_roots_file))
        pems = [certificate.pem for certificate in table.certificates.values() if certificate.pem]
        if pems:
            context.load_verify_locations(cadata="\n".join(pems))
    except (OSError, ssl.SSLError) as error:
        files = f"{table.certificate_file}, {table.private_key_file}, {table.device_roots_file}"
        raise TableError(f"TLS material of the table ({files}, certificatePem) cannot be loaded: {error}") from error

    def check_server_name(_: ssl.SSLObject, server_name: str | None, __: ssl.SSLContext) -> int | None:
        if server_name is None or server_name.lower() != table.endpoint:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    context.sni_callback = check_server_name
    return context
