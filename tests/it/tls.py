"""TLS in front of a plain HTTP server of this machine: `tls.py PORT` prints the port that it listens at.

Its certificate is signed by an authority that only tests/data/tls/ca.pem vouches for, as a company's
own proxy has it. The key beside it is for this test and protects nothing.
"""

import socket
import ssl
import sys
import threading

PLAIN = int(sys.argv[1])
FOLDER = "tests/data/tls/"


def forward(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(connection):
    try:
        outside = context.wrap_socket(connection, server_side=True)
    except (ssl.SSLError, OSError):
        return
    inside = socket.create_connection(("127.0.0.1", PLAIN))
    threading.Thread(target=forward, args=(outside, inside), daemon=True).start()
    forward(inside, outside)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(FOLDER + "server.pem", FOLDER + "server-key.pem")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
