"""Where the connector's answers differ from unbound's local data, and why. docs/dns.md points here.

Each entry: the queries by label (a pattern), the part of the answer, and the reason. The test fails for a difference that is
not here, and for an entry that no difference needs.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DIFFERENCES", "RANDOM", "Difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference that is meant."""

    queries: str  # pattern of labels, as fnmatch reads it
    part: str  # silence, rcode, AA, RA, question, answer, authority, edns, error, OURS, THEIRS
    reason: str


NO_RECORD = ("a type that is none of a record: unbound takes the query for wrong; that the name has none such is as true, and "
             "what the data plane says of every type but A")  # fmt: skip
WRONG_OPTION = ("an option whose length or contents its RFC does not allow makes the query wrong (cookies: RFC 7873 §5.2.2, "
                "client subnet: RFC 7871 §7.1.2); unbound passes over what it does not use")  # fmt: skip
DIFFERENCES = (
    Difference("*type [!A]*", "error", "we say why there is no such record (RFC 8914 code 4); who does not know it skips it"),
    Difference("type AAAA", "error", "as for every type but A"),
    Difference("*type ANY", "error", "as for every type but A; what RFC 8482 wants, no list of records, holds"),
    Difference("type A[FP]*", "error", "as for every type but A"),
    *(Difference(f"type {kind}", part, NO_RECORD)
      for kind in ("MAIL[AB]", "OPT", "TSIG", "TKEY") for part in ("rcode", "AA", "RA", "authority")),
    Difference("type AXFR", "error", "we say why a transfer is refused (RFC 8914 code 18)"),
    Difference("type ?XFR", "RA", "our answers to stubs always say that recursion is there; unbound leaves it out of refusals"),
    Difference("*type SOA", "answer", "the name is no zone of its own: nobody transfers it or asks its serial"),
    Difference("*type SOA", "authority", "as above: a denial carries the SOA that the answer does not"),
    Difference("*type DS", "rcode", "unbound asks the parent, which it was told to refuse; we own the name"),
    Difference("*type DS", "authority", "as above"),
    Difference("service name*", "rcode", "names below an application's answer NODATA: NXDOMAIN would be right too, but some "
               "resolvers take it to deny what is below other names of the zone (RFC 8020)"),
    Difference("service name*", "error", "we say why there is no such record"),
    Difference("reverse A", "error", "we say why there is no such record"),
    Difference("class ANY", "silence", "a query for every class includes IN, which we have"),
    Difference("class [!A]*", "silence", "not ours: it goes on to its server, which unbound is for itself"),
    Difference("opcode *", "silence", "no query: it goes on to its server, which unbound is for itself"),
    Difference("no question", "silence", "no question of ours: it goes on to its server"),
    Difference("flags TC", "rcode", "TC means nothing in a query (RFC 2181 §9), so it is not looked at"),
    Difference("flags TC", "AA", "as above"),
    Difference("flags TC", "RA", "as above"),
    Difference("flags TC", "answer", "as above"),
    Difference("an answer inside", "rcode", "what stands in a query's answer section is not looked at (RFC 1035 §4.1.2: a "
               "query has none)"),
    Difference("an answer inside", "AA", "as above"),
    Difference("an answer inside", "RA", "as above"),
    Difference("an answer inside", "answer", "unbound sends back what the client put there; we answer"),
    Difference("two questions", "question", "RFC 9619: there is no such thing as two questions, so none is repeated"),
    Difference("two questions", "RA", "our answers to stubs always say that recursion is there"),
    *(Difference(queries, part, WRONG_OPTION)
      for queries in ("cookie too *", "every option", "option *") for part in ("rcode", "AA", "answer")),
    *(Difference(queries, "edns", "an OPT record that can not be read asks for nothing")
      for queries in ("cookie too *", "every option", "option *", "OPT of a name")),
    Difference("pointer into the header", "silence", "the flags read as a name are one, though nobody's: it goes on"),
    *(Difference(queries, "RA", "our answers to stubs always say that recursion is there")
      for queries in ("pointer [!i]*", "label type *", "no end of the name", "name of 256 octets", "128 labels",
                      "counts that lie", "no class", "OPT among *", "65,535 questions", "two different questions")),
    *(Difference(queries, "question", "as for two questions: none is repeated")
      for queries in ("65,535 questions", "two different questions")),
    Difference("cut *", "RA", "as above"),
    Difference("header only", "RA", "as above"),
    Difference("compression loop", "RA", "as above"),
    Difference("long label", "RA", "as above"),
    Difference("EDNS twice", "RA", "as above"),
    Difference("EDNS cut", "edns", "an OPT record that can not be read asks for nothing"),
)

# Of messages made by chance, told by their traits (dns_random). Where one of the two says FORMERR, only that is compared: what
# else such an answer holds says nothing of the name.
OURS, THEIRS = "FORMERR: ours", "FORMERR: unbound's"
ERROR = "we say why there is no such record (RFC 8914); who does not know it skips it"
BELOW = "names below an application's answer NODATA: see service names above"
LOCAL = "unbound asks the parent, which it was told to refuse; we own the name"
NO_ZONE = "the name is no zone of its own: nobody transfers it or asks its serial"
CLASS_ANY = "a query for every class includes IN, which we have"
REFUSAL = "of a refused transfer unbound sends back the query's header and options; we answer as always and say why"
NOT_LOOKED_AT = "what stands behind the question of a query, but for its OPT record, is not looked at (RFC 1035 §4.1.2)"
RANDOM = (
    Difference("* asks=meta *", THEIRS, "types 128 to 254 are for what is no record (RFC 6895 §3.1): " + NO_RECORD),
    Difference("asks=meta *", THEIRS, "types 128 to 254 are for what is no record (RFC 6895 §3.1): " + NO_RECORD),
    Difference("*TC *", THEIRS, "TC means nothing in a query (RFC 2181 §9), so it is not looked at"),
    *(Difference(f"*{place} *", THEIRS, NOT_LOOKED_AT) for place in ("answer", "authority", "additional")),
    *(Difference(f"*{option} *", OURS, WRONG_OPTION) for option in ("wrong-cookie", "wrong-subnet")),
    *(Difference(f"*asks={kind} *", "error", ERROR) for kind in ("other", "transfer")),
    Difference("*name=service *", "error", ERROR),
    Difference("*name=reverse-7 *", "error", ERROR),
    Difference("*name=service *", "rcode", BELOW),
    Difference("*type=DS *", "rcode", LOCAL),
    Difference("*type=DS *", "authority", LOCAL),
    Difference("*name=owned *type=SOA *", "answer", NO_ZONE),
    Difference("*name=owned *type=SOA *", "authority", NO_ZONE),
    *(Difference("*class=ANY *", part, CLASS_ANY) for part in ("silence", "AA", "rcode", "authority", "answer", "error")),
    *(Difference("*asks=transfer *", part, REFUSAL) for part in ("RA", "AA", "rcode", "edns", "options", "flags")),
)
