"""The stand-in for the `tls` plugin: keys, requests and certificates, made here by `cryptography`."""
