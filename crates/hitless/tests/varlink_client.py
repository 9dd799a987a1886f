"""An independent Varlink client: asks the daemon what it offers, how it is, and for the first message of Monitor.

Usage: varlink_client.py SOCKET
"""

import json
import re
import socket
import sys


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.buffer = b""

    def call(self, method, parameters=None, **flags):
        message = {"method": method, "parameters": parameters or {}, **flags}
        self.socket.sendall(json.dumps(message).encode() + b"\0")
        reply = self.receive()
        assert "error" not in reply, reply
        return reply

    def receive(self):
        while b"\0" not in self.buffer:
            received = self.socket.recv(65536)
            assert received, "the daemon hung up"
            self.buffer += received
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)


connection = Connection(sys.argv[1])
info = connection.call("org.varlink.service.GetInfo")["parameters"]
assert set(info) == {"vendor", "product", "version", "url", "interfaces"}, info
assert "io.hitless" in info["interfaces"], info
for interface in info["interfaces"]:
    text = connection.call("org.varlink.service.GetInterfaceDescription", {"interface": interface})["parameters"]
    assert re.search(rf"^interface {re.escape(interface)}$", text["description"], re.M), text
    methods = re.findall(r"^method (\w+)", text["description"], re.M)
    print(interface, "offers", ", ".join(methods))

bonds = connection.call("io.hitless.Status")["parameters"]["bonds"]
for bond in bonds:
    print(bond["name"], "active", bond["active"], "ports", [port["name"] for port in bond["ports"]])

first = connection.call("io.hitless.Monitor", more=True)
assert first["continues"] is True, first
assert [bond["name"] for bond in first["parameters"]["bonds"]] == [bond["name"] for bond in bonds], first
print("monitoring")
