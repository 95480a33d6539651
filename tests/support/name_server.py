"""A real name server for a few names; of all others it says that they do not exist."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@contextmanager
def name_server(zone: Mapping[str, Sequence[str]]) -> Iterator[int]:
    """A name server on this machine; its UDP port.

    Args:
        zone: addresses by name. For a kind of address that a name lacks, the server fails, as careless ones do.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = Thread(target=answer_all, args=(server, zone))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()


def answer_all(server: socket.socket, zone: Mapping[str, Sequence[str]]) -> None:
    """Answer questions until an empty one comes."""
    while True:
        question, client = server.recvfrom(512)
        if not question:
            return
        server.sendto(answer(dns.message.from_wire(question), zone).to_wire(), client)


def answer(question: dns.message.Message, zone: Mapping[str, Sequence[str]]) -> dns.message.Message:
    """What is known of the name that is asked for."""
    asked, response = question.question[0], dns.message.make_response(question)
    response.flags |= dns.flags.RA
    name = asked.name.to_text(omit_final_dot=True)
    fitting = [address for address in zone.get(name, ()) if (":" in address) == (asked.rdtype == dns.rdatatype.AAAA)]
    if fitting:
        response.answer.append(dns.rrset.from_text_list(asked.name, 60, "IN", asked.rdtype, fitting))
    else:
        response.set_rcode(dns.rcode.SERVFAIL if name in zone else dns.rcode.NXDOMAIN)
    return response
