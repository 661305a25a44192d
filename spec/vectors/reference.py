"""A second implementation of what the vectors of this directory need, standard library only: BLAKE3, ed25519, the wire
layout of spec/01-wire.md, bills, transcripts. It shares no code with the one in Rust, so that equal bytes mean something.

The generators beside the vectors import it; run them after a change of the text they follow:

    for part in wire market receipts names models; do python3 spec/vectors/$part/generate.py; done
    for part in salts windows key_proofs; do python3 spec/vectors/channel/$part.py; done
    python3 spec/vectors/receipts/sending.py
    for part in session conversation; do python3 spec/vectors/$part/generate.py; done

Slow and not constant-time: for vectors only.
"""

import hashlib
import json
import pathlib
import struct

# ---- BLAKE3 ---------------------------------------------------------------------------------------------------------

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED, CONTEXT, MATERIAL = 1, 2, 4, 8, 16, 32, 64


def _compress(chain, block, counter, length, flags):
    words = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    s = [*chain, *IV[:4], counter & 0xFFFFFFFF, counter >> 32, length, flags]

    def turn(x, by):
        return (x >> by | x << (32 - by)) & 0xFFFFFFFF

    def mix(a, b, c, d, x, y):
        s[a] = (s[a] + s[b] + x) & 0xFFFFFFFF
        s[d] = turn(s[d] ^ s[a], 16)
        s[c] = (s[c] + s[d]) & 0xFFFFFFFF
        s[b] = turn(s[b] ^ s[c], 12)
        s[a] = (s[a] + s[b] + y) & 0xFFFFFFFF
        s[d] = turn(s[d] ^ s[a], 8)
        s[c] = (s[c] + s[d]) & 0xFFFFFFFF
        s[b] = turn(s[b] ^ s[c], 7)

    places = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
    slants = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
    for _ in range(7):
        for index, place in enumerate((*places, *slants)):
            mix(*place, words[2 * index], words[2 * index + 1])
        words = [words[place] for place in ORDER]
    return [s[i] ^ s[i + 8] for i in range(8)]


def _chunk(key, data, counter, flags, root):
    chain = list(key)
    blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
    for index, block in enumerate(blocks):
        mark = flags | (CHUNK_START if index == 0 else 0)
        if index == len(blocks) - 1:
            mark |= CHUNK_END | root
        chain = _compress(chain, block, counter, len(block), mark)
    return chain


def _tree(key, data, counter, flags, root):
    chunks = max(1, -(-len(data) // 1024))
    if chunks == 1:
        return _chunk(key, data, counter, flags, root)
    left = 1 << (chunks - 1).bit_length() - 1
    pair = _tree(key, data[: left * 1024], counter, flags, 0) + _tree(key, data[left * 1024 :], counter + left, flags, 0)
    return _compress(key, struct.pack("<16I", *pair), 0, 64, flags | PARENT | root)


def blake3(data: bytes) -> bytes:
    return struct.pack("<8I", *_tree(IV, data, 0, 0, ROOT))


def blake3_keyed(key: bytes, data: bytes) -> bytes:
    return struct.pack("<8I", *_tree(struct.unpack("<8I", key), data, 0, KEYED, ROOT))


def blake3_derive(context: str, material: bytes) -> bytes:
    key = _tree(IV, context.encode(), 0, CONTEXT, ROOT)
    return struct.pack("<8I", *_tree(key, material, 0, MATERIAL, ROOT))


assert blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"

# ---- ed25519, RFC 8032 ----------------------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P


def x_of(y: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return x if x % 2 == 0 else P - x


BASE = (x_of(BASE_Y), BASE_Y)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, P - 2, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, P - 2, P) % P
    return x, y


def times(scalar: int, point):
    total = (0, 1)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def pack(point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def secret(seed: bytes):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
    return scalar, digest[32:]


def public_of(seed: bytes) -> bytes:
    return pack(times(secret(seed)[0], BASE))


def sign_raw(seed: bytes, message: bytes) -> bytes:
    scalar, prefix = secret(seed)
    public = public_of(seed)
    nonce = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    commitment = pack(times(nonce, BASE))
    challenge = int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % L
    return commitment + ((nonce + challenge * scalar) % L).to_bytes(32, "little")


def sign(seed: bytes, domain: str, body: bytes) -> bytes:
    return sign_raw(seed, b"bombyx/1/" + domain.encode() + b"\0" + body)


# ---- the layout of spec/01-wire.md ----------------------------------------------------------------------------------
# A struct is a list of fields, an enum a dictionary of variants in the order of their tags. Values are JSON: bytes in
# hexadecimal, numbers of 64 bits as decimal text, an enum's variant as `"Name"` or `{"Name": content}`.

# A code is a number that a later version may have more of: `"Name"`, `{"Name": detail}` or `{"Other": ...}`.


class Codes:
    def __init__(self, detail, numbers):
        self.detail, self.numbers = detail, numbers

    def encode(self, value) -> bytes:
        name, content = (value, 0) if isinstance(value, str) else next(iter(value.items()))
        if not self.detail:
            return struct.pack("<I", content if name == "Other" else self.numbers[name])
        code, detail = (content["code"], content["detail"]) if name == "Other" else (self.numbers[name], content)
        return struct.pack("<IQ", code, int(detail))


LAYOUT = {
    "Address": [("workchain", "i8"), ("hash", 32)],
    "ChannelTerms": [
        ("network_id", "i32"), ("salt", "u64"), ("client_key", 32), ("provider_key", 32),
        ("client", "Address"), ("provider", "Address"), ("challenge_s", "u32"),
    ],
    "InputTokens": [("fresh", "u32"), ("cached", "u32")],
    "Extension": [("kind", "u16"), ("value", "bytes")],
    "Tier": {"Open": None, "Confidential": None},
    "TaskKind": {"Embed": None, "Generate": None},
    "Role": {"System": None, "User": None, "Assistant": None},
    "Finish": {"Stop": None, "Length": None},
    "Sampling": [("temperature_milli", "u32"), ("top_p_milli", "u32"), ("top_k", "u32"), ("seed", "u64")],
    "ChatMessage": [("role", "Role"), ("content", "str")],
    "Generate": [
        ("messages", ["ChatMessage"]), ("max_tokens", "u32"), ("sampling", "Sampling"),
        ("prefix", ["u32"]), ("stop", ["str"]),
    ],
    "Task": {"Embed": [("inputs", ["str"])], "Generate": "Generate"},
    "Signed": [("body", "bytes"), ("signature", 64)],
    "Gossip": {"Call": "Signed", "Seek": "Signed"},
    "Call": [
        ("id", 16), ("client", 32), ("seal_key", 32), ("model", 32), ("kind", "TaskKind"),
        ("input_log2", "u8"), ("output_log2", "u8"), ("tier", "Tier"), ("window_ms", "u32"),
        ("invited", "u32"), ("made_s", "u64"), ("deadline_ms", "u32"), ("stamp", "u64"),
        ("features", "u64"), ("extensions", ["Extension"]),
    ],
    "Seek": [
        ("id", 16), ("client", 32), ("model", (32,)), ("invited", "u32"), ("input_log2", "u8"), ("output_log2", "u8"), ("made_s", "u64"), ("stamp", "u64"),
        ("features", "u64"), ("extensions", ["Extension"]),
    ],
    "Ask": [
        ("provider", 32), ("model", 32), ("name", "str"), ("kind", "TaskKind"), ("price", "u64"),
        ("context_tokens", "u32"), ("output_max", "u32"), ("read_tps", "u32"), ("write_tps", "u32"), ("start_ms", "u32"),
        ("tier", "Tier"), ("seek", 16), ("valid_ms", "u32"), ("features", "u64"), ("extensions", ["Extension"]),
    ],
    "Payee": [("network_id", "i32"), ("key", 32), ("address", "Address"), ("challenge_s", "u32")],
    "Bid": [
        ("call", 16), ("provider", 32), ("model", 32), ("session_key", 32), ("price", "u64"),
        ("start_ms", "u32"), ("ahead_ms", "u32"), ("read_tps", "u32"), ("write_tps", "u32"), ("keep_s", "u16"),
        ("tier", "Tier"), ("valid_ms", "u32"),
        ("payee", "Payee"), ("credit", "u64"), ("features", "u64"), ("extensions", ["Extension"]),
    ],
    "Receipt": [
        ("job", 16), ("model", 32), ("chunks", "u32"), ("transcript", 32),
        ("input_tokens", "u64"), ("cached_tokens", "u64"), ("output_tokens", "u64"), ("cost", "u64"),
        ("extensions", ["Extension"]),
    ],
    "Message": {"ToProvider": "ToProvider", "ToClient": "ToClient"},
    "ToProvider": {"Award": "Award", "Sealed": "SealedFrame", "Release": "Release", "Seek": "Seek", "Call": "Call",
                   "KeptAward": "KeptAward"},
    "ToClient": {
        "Bid": "SealedBid", "Accept": "Accept", "Refuse": "Refuse", "Sealed": "SealedFrame", "Ask": "Signed", "Leaving": None,
        "Decline": "Decline",
    },
    "Decline": [("call", 16), ("why", "Refusal"), ("extensions", ["Extension"])],
    "SealedBid": [("call", 16), ("sealed", "bytes")],
    "Award": [("job", 16), ("call", 16), ("bid", 32), ("price", "u64"), ("handshake", "bytes"), ("extensions", ["Extension"])],
    "KeptAward": [
        ("job", 16), ("call", 16), ("bid", 32), ("price", "u64"), ("session", 16), ("number", "u64"), ("work", "bytes"),
        ("extensions", ["Extension"]),
    ],
    "Accept": [("job", 16), ("handshake", "bytes"), ("extensions", ["Extension"])],
    "Release": [("call", 16), ("why", "ReleaseReason"), ("margin", "u32"), ("come_back_ms", "u32"), ("extensions", ["Extension"])],
    "Refuse": [("job", 16), ("why", "Refusal"), ("extensions", ["Extension"])],
    "Refusal": Codes("detail", {
        "UnknownBid": 0, "PriceBelowBid": 1, "Busy": 2, "Malformed": 3, "ChannelTerms": 4, "Unfunded": 5, "Unpaid": 6,
        "BadVoucher": 7, "Engine": 8, "Leaving": 9, "ChallengeTooShort": 10, "NotUnderstood": 11, "EmptyTask": 12,
        "WrongKind": 13, "TooManyInputs": 14, "TooManyMessages": 15, "TooManyStops": 16, "BadStop": 17, "TaskTooLong": 18,
        "OverContext": 19, "BadToken": 20, "BadPrefix": 21, "BadInput": 22, "BadConversation": 23, "Counts": 24,
        "OtherClass": 25, "BillTooLarge": 26, "NoSession": 27, "BadKeyProof": 28,
    }),
    "ReleaseReason": Codes(None, {"Outscored": 0, "OverBudget": 1, "TooLate": 2, "Unfit": 3, "Preferred": 4}),
    "SealedFrame": [("job", 16), ("nonce", "u64"), ("bytes", "bytes")],
    "FromClient": {"Work": "Work", "Ack": "Ack", "Cancel": "Cancel"},
    "Cancel": [("extensions", ["Extension"])],
    "Work": [
        ("task", "Task"), ("input", "InputTokens"), ("channel", "ChannelTerms"), ("key_proof", 64), ("extensions", ["Extension"]),
    ],
    "Ack": [("next", "u32"), ("payment", ("Payment",)), ("countersignature", (64,)), ("extensions", ["Extension"])],
    "Payment": [("epoch", "u64"), ("cumulative", "u64"), ("signature", 64)],
    "FromProvider": {"Chunk": "Chunk", "NeedPayment": "NeedPayment", "Progress": "Progress"},
    "Progress": [("start_ms", "u32"), ("read", "u32")],
    "Chunk": [("index", "u32"), ("content", "bytes"), ("receipt", ("Signed",))],
    "NeedPayment": [("cumulative", "u64"), ("newest", ("Payment",)), ("extensions", ["Extension"])],
    "Content": {
        "Tokens": [("ids", ["u32"]), ("text", "str")],
        "Vectors": [("first", "u32"), ("dims", "u32"), ("bytes", "bytes")],
        "End": [("finish", "Finish")],
    },
    "PayerRecord": [
        ("terms", "ChannelTerms"), ("provider", 32), ("deposit", "u64"), ("locked", "u64"),
        ("epoch", ("u64",)), ("cumulative", "u64"), ("closing", "bool"), ("gone", "bool"),
    ],
    "EarnerRecord": [
        ("terms", "ChannelTerms"), ("client", 32), ("payment", ("Payment",)), ("early", ("Payment",)),
        ("shelved", ("Payment",)), ("at_risk", "u64"), ("widest", "u64"), ("ordered", ("u64",)), ("gone", "bool"),
        ("given_up", "u64"), ("sight", ("SightRecord",)),
    ],
    "SightRecord": [("at_s", "u64"), ("epoch", "u64"), ("deposit", "u64"), ("settled", "u64")],
    "Record": {
        "Payer": "PayerRecord", "Earner": "EarnerRecord", "ChannelGone": [("account", 32)],
        "Receipt": [("job", 16), ("provider", 32), ("receipt", "Signed")], "Reputation": "Reputation",
    },
    "Reputation": [
        ("slot", "u16"), ("provider", 32), ("prefix", "u64"), ("good", "u8"), ("level", "u8"), ("failures", "u8"),
        ("failed_at_s", "u64"), ("model", 32), ("timed", "u8"), ("timing", "Timing"),
    ],
    "Timing": [("reading_us", "u64"), ("input_tokens", "u64"), ("writing_us", "u64"), ("output_tokens", "u64")],
}
NUMBERS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "i8": "<b", "i32": "<i"}


def encode(kind, value) -> bytes:
    if isinstance(kind, int):
        raw = bytes.fromhex(value)
        assert len(raw) == kind, f"{len(raw)} bytes where {kind} stand"
        return raw
    if isinstance(kind, Codes):
        return kind.encode(value)
    if isinstance(kind, tuple):  # optional
        return b"\0" if value is None else b"\1" + encode(kind[0], value)
    if isinstance(kind, list) and len(kind) == 1 and not isinstance(kind[0], tuple):  # sequence
        return struct.pack("<Q", len(value)) + b"".join(encode(kind[0], item) for item in value)
    if isinstance(kind, list):  # struct
        assert set(value) == {name for name, _ in kind}, (kind, value)
        return b"".join(encode(field, value[name]) for name, field in kind)
    if isinstance(kind, dict):  # enum
        name, content = (value, None) if isinstance(value, str) else next(iter(value.items()))
        tag = struct.pack("<I", list(kind).index(name))
        return tag if kind[name] is None else tag + encode(kind[name], content)
    if kind in NUMBERS:
        return struct.pack(NUMBERS[kind], int(value))
    if kind == "bool":
        return struct.pack("<B", value)
    if kind in ("str", "bytes"):
        raw = value.encode() if kind == "str" else bytes.fromhex(value)
        return struct.pack("<Q", len(raw)) + raw
    return encode(LAYOUT[kind], value)


def signed(seed: bytes, domain: str, kind: str, value) -> dict:
    body = encode(kind, value)
    return {"body": body.hex(), "signature": sign(seed, domain, body).hex()}


# ---- bills and transcripts, spec/05-work-and-receipts.md ------------------------------------------------------------

U64 = 2**64


DEFAULT = (10, 1, 60)  # units of an input token, of a cached one, of an output token
JOB = 256


def units(weights, fresh: int, cached: int, output: int) -> int:
    """The units of a whole answer (WR-7)."""
    return JOB + weights[0] * fresh + weights[1] * cached + weights[2] * output


def units_due(weights, fresh: int, cached: int, output: int, rows=0, rows_wanted=0, complete=False) -> int:
    """The units that are due for a part of an answer (WR-21)."""
    fixed = units(weights, fresh, cached, 0)
    done, whole = (rows, rows_wanted) if rows_wanted else (output, 32)
    return (fixed if complete or done >= whole else fixed * done // whole) + weights[2] * output


def units_read(weights, fresh: int, cached: int, read: int) -> int:
    """The units that are due for reading alone, for a client that gives up (WR-24)."""
    return units(weights, fresh, cached, 0) * min(read, fresh) // (4 * fresh) if fresh else 0


def bill(price: int, units: int):
    """The bill in nano, or None where it does not fit 64 bits."""
    nano = -(-price * units // 1000)
    return nano if nano < U64 else None


def bound(task: dict) -> int:
    """The most input tokens that a task can have (WR-8)."""
    if "Embed" in task:
        inputs = task["Embed"]["inputs"]
        return sum(len(text.encode()) for text in inputs) + 32 * (len(inputs) + 1)
    generate = task["Generate"]
    return text_bytes(task) + 32 * (len(generate["messages"]) + 1) + len(generate["prefix"])


def estimate(task: dict) -> int:
    """About how many input tokens a task has (WR-22)."""
    return -(-text_bytes(task) // 3) + (len(task["Generate"]["prefix"]) if "Generate" in task else 0)


def text_bytes(task: dict) -> int:
    if "Embed" in task:
        texts = task["Embed"]["inputs"]
    else:
        texts = [message["content"] for message in task["Generate"]["messages"]] + task["Generate"]["stop"]
    return sum(len(text.encode()) for text in texts)


def begin(job: bytes, model: bytes, task: bytes) -> bytes:
    return blake3_derive("bombyx/1/transcript", job + model + blake3(task))


def then(before: bytes, index: int, content: bytes) -> bytes:
    return blake3_derive("bombyx/1/transcript", before + struct.pack("<I", index) + content)


# ---- cells, spec/06-channel.md --------------------------------------------------------------------------------------
# A cell is bits as text, and cells that it refers to; of one that is known by its hash alone, hash and depth are enough.

CODE = (bytes.fromhex("a4584edef159b7739f94ce7c7f0b8bfb409ac63e256581d28d372308b4687a85"), 7)


def cell(bits: str, *refs):
    """Hash and depth of a cell."""
    whole, rest = divmod(len(bits), 8)
    padded = bits + ("1" + "0" * (7 - rest) if rest else "")
    data = int(padded, 2).to_bytes(len(padded) // 8, "big") if padded else b""
    depth = 1 + max(depth for _, depth in refs) if refs else 0
    raw = bytes([len(refs), 2 * whole + (rest > 0)]) + data
    raw += b"".join(depth.to_bytes(2, "big") for _, depth in refs) + b"".join(known for known, _ in refs)
    return hashlib.sha256(raw).digest(), depth


def number(value: int, width: int) -> str:
    return format(value % 2**width, f"0{width}b")


def amount(nano: int) -> str:
    length = (nano.bit_length() + 7) // 8
    return number(length, 4) + (number(nano, 8 * length) if length else "")


def standard(address: dict) -> str:
    return "100" + number(address["workchain"], 8) + number(int(address["hash"], 16), 256)


def account(terms: dict) -> bytes:
    """The account of a channel (CH-1)."""
    parties = cell(number(int(terms["provider_key"], 16), 256) + standard(terms["client"]) + standard(terms["provider"])
                   + number(terms["challenge_s"], 32))
    data = cell(number(0, 64 + 32) + amount(0) + amount(0) + number(terms["network_id"], 32)
                + number(int(terms["salt"]), 64) + number(int(terms["client_key"], 16), 256), parties)
    return cell("00110", CODE, data)[0]


VOUCHER, CLOSE_ORDER, CLOSE_REQUEST = 0x42585601, 0x42585602, 0x42585603


def statement(tag: int, of: bytes, epoch: int, cumulative: int) -> bytes:
    """What a voucher, a close order and a close request sign (CH-12 to CH-14)."""
    return cell(number(tag, 32) + number(int.from_bytes(of, "big"), 256) + number(epoch, 64) + amount(cumulative))[0]


def payment(key: bytes, of: bytes, epoch: int, cumulative: int) -> dict:
    signature = sign_raw(key, statement(VOUCHER, of, epoch, cumulative))
    return {"epoch": str(epoch), "cumulative": str(cumulative), "signature": signature.hex()}


def key_proof(key: bytes, binding: bytes, of: bytes) -> bytes:
    """What shows within a session that a channel is the client's own (CH-53)."""
    return sign(key, "work", binding + of)


# ---- files ----------------------------------------------------------------------------------------------------------


def seed(number: int) -> bytes:
    return bytes([number]) * 32


def write(beside: str, name: str, content: dict) -> None:
    """Writes a file beside the generator, one case a line."""
    path = pathlib.Path(beside).parent / name
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            cases = ",\n".join("    " + json.dumps(case, ensure_ascii=True) for case in value)
            lines.append(f"  {json.dumps(key)}: [\n{cases}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=True)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
