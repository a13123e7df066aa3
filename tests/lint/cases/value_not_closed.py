import socket

connections = {}


def connect(host):
    connections[host] = socket.create_connection((host, 80))  # want "never closed"


def drop(host):
    del connections[host]  # want
