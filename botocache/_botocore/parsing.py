"""DynamoDB's answers, parsed in C where botocore walks them in Python.

botocore's parser takes 25 microseconds for an item, and a millisecond for 50: more than
half of a call. Here a typed decoder makes the items. The rest of the answer stays in
the body, with a blank in place of the items. So botocore still parses the body, puts
its members in order, and makes the metadata. Then it takes the items from where a
handler of `before-parse` may put them, `customized_response_dict`.

The application gets exactly what botocore's parser returns, or the error it raises. So
the decoder takes an answer only if both must agree on it:

- It accepts what DynamoDB's protocol allows, and refuses all else: a null, another
  type, a lone surrogate, lenient base64, invalid UTF-8, or levels too many.
- Its types are derived from the model of the operation. A member that is not made of
  attribute values alone stays with botocore.
- It is tried on a sample, beside botocore's parser, before it is used.
- It steps aside for clients with parsers of their own, for parsers that are patched, if
  another handler of `before-parse` is there, and while botocore logs bodies.

What is refused costs a few microseconds, and botocore parses it.
"""

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from logging import DEBUG
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

import msgspec
from botocore import parsers
from botocore.endpoint import Endpoint
from botocore.model import OperationModel, Shape

from botocache._botocore.clients import ClientTraits, traits_of_model
from botocache._botocore.types import (
    Emitter,
    Response,
    ResponseDict,
    endpoint_of,
    parser_defaults_of,
    parser_factory_of,
    version_of_handlers,
)
from botocache._cache.entries import ATTRIBUTE_VALUE
from botocache._dynamodb.types import Answer

_MADE = "_botocache_made"
"""The name under which the headers of a response have what was made of its body."""

_OK = 200
_WORTHWHILE = 128
"""Bytes of a body from which a decoder takes less time than botocore's parser."""

_NOTED = 1024
"""Bytes of an entry from which a note takes less time than the check that it saves. In
a batch it saves a check for each key."""

_MOST_REFUSED = 20
"""Answers of an operation that are refused in a row; then a client's are left alone."""

_MOST_DECODERS = 100
"""botocore's model needs eight. An application may load models of its own."""

_MOST_STEPS = 8
"""Maps, lists and structures around an attribute value. DynamoDB has three."""


# --- the form of an answer ---------------------------------------------------------

Path: TypeAlias = tuple[str, ...]
"""What stands around the attribute values of a member, from the outside: `map`, `list`,
or the name of a structure's only member."""

Form: TypeAlias = tuple[tuple[str, Path], ...]
"""The members of an answer, each with its path; empty for what botocore parses."""

_LEAVES: Final = {
    **dict.fromkeys(("S", "N"), "string"),
    **dict.fromkeys(("BOOL", "NULL"), "boolean"),
    "B": "blob",
}
_LISTS: Final = {**dict.fromkeys(("SS", "NS"), "string"), "BS": "blob"}


def form_of(shape: Shape | None) -> Form:
    """Return the form of an operation's answers; empty if they hold no items.

    shape: of the answer, as botocore has it.
    """
    if shape is None or _is_special(shape) or shape.type_name != "structure":
        return ()
    form = tuple((name, _path_to_values(each)) for name, each in _members(shape))
    if not any(path for _, path in form):
        return ()
    return form


def _path_to_values(shape: Any) -> Path:
    """Return the path to a member's attribute values; empty if it holds anything else.

    shape: of the member. Any: its kind says which attributes it has.
    """
    path: list[str] = []
    while len(path) <= _MOST_STEPS and not _is_special(shape):
        if shape.type_name == "structure":
            members = _members(shape)
            if path and _is_attribute_value(shape):
                return tuple(path) if path[-1] in {"map", "list"} else ()
            if len(members) != 1:  # botocore puts several in the order of its model
                return ()
            ((name, shape),) = members
            path.append(name)
        elif shape.type_name == "map" and _is_plain(shape.key, "string"):
            path.append("map")
            shape = shape.value
        elif shape.type_name == "list":
            path.append("list")
            shape = shape.member
        else:
            return ()
    return ()


def _is_attribute_value(shape: Any) -> bool:
    """Return whether a structure is what entries take for an attribute value."""
    members = dict(_members(shape))
    if members.keys() != {*_LEAVES, *_LISTS, "M", "L"}:
        return False
    inner = [members["M"], members["L"]]
    return (
        all(_is_plain(members[name], kind) for name, kind in _LEAVES.items())
        and all(
            _is_plain(members[name], "list") and _is_plain(members[name].member, kind)
            for name, kind in _LISTS.items()
        )
        and all(map(_is_plain, inner, ("map", "list")))
        and _is_plain(members["M"].key, "string")
        and members["M"].value.name == members["L"].member.name == shape.name
    )


def _members(shape: Any) -> list[tuple[str, Any]]:
    return list(shape.members.items())


def _is_plain(shape: Shape, kind: str) -> bool:
    return shape.type_name == kind and not _is_special(shape)


def _is_special(shape: Any) -> bool:
    """Return whether botocore does more with a shape than its type says."""
    return (
        bool(shape.serialization)  # another name on the wire, a header, a stream
        or getattr(shape, "is_document_type", False)
        or getattr(shape, "is_tagged_union", False)
    )


_LONG = 640
_HUGE: Final = re.compile(rb"[0-9]{%d}" % _LONG)
"""A number that Python may refuse to read, and with it botocore the whole answer. An
application may set the limit of digits, to no less than this."""

# --- decoders ----------------------------------------------------------------------

Parsed: TypeAlias = tuple[dict[str, object], bytes]
"""The members that were made, and the body that botocore has still to parse."""


class RefusedError(Exception):
    """An answer that botocore must parse."""


class AnswerDecoder:
    """Makes the items of answers of one form.

    form: of the answers.
    """

    def __init__(self, form: Form) -> None:
        absent = msgspec.UnsetType
        fields: list[Any] = [
            (name, _type_of(path) | absent, msgspec.UNSET)
            if path
            else (name, msgspec.Raw, msgspec.Raw(b""))
            for name, path in form
        ]
        # By a Struct, because it refuses members that are not in the model.
        kind = msgspec.defstruct("Answer", fields, forbid_unknown_fields=True, gc=False)
        self._decode: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(kind).decode
        self._members: Final = tuple(
            (name, path, f'"{name}":'.encode()) for name, path in form
        )

    def parse(self, body: bytes) -> Parsed:
        """Return the items of an answer, and what is left for botocore.

        Raises RefusedError.
        """
        try:
            if not body.isascii():
                body.decode()  # msgspec does not check what it skips
            values = msgspec.structs.astuple(self._decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RefusedError from error
        made: dict[str, object] = {}
        left: list[bytes] = []
        for (name, path, start), value in zip(self._members, values, strict=True):
            if not path:
                if value:
                    if len(value) > _LONG and _HUGE.search(value):
                        raise RefusedError
                    left.append(b"%b%b" % (start, value))
            elif value is not msgspec.UNSET:
                if not _has_one_type_each(value, path):
                    raise RefusedError
                made[name] = value
                left.append(start + b"{}")  # for botocore, a blank list as well
        return made, b"{%b}" % b",".join(left)


def _type_of(path: Path) -> Any:
    """Return the type of what a path leads through."""
    inner: Any = ATTRIBUTE_VALUE
    for step in reversed(path):
        if step == "map":
            inner = dict[str, inner]
        elif step == "list":
            inner = list[inner]
        else:
            # Not a TypedDict, which takes members that are not in the model.
            inner = dict[Literal[step], inner]  # type: ignore[valid-type]  # a name of the model
    return inner


def _has_one_type_each(value: Any, path: Path) -> bool:
    """Return whether no attribute value under a path has several members.

    botocore puts those in the order of its model, and msgspec in that of the answer.
    """
    inner = value if path[0] == "list" else value.values()
    if len(path) == 1:
        return _have_one_type_each(inner)
    rest = path[1:]
    return all(_has_one_type_each(each, rest) for each in inner)


def _have_one_type_each(values: Collection[Any]) -> bool:
    for value in values:
        if len(value) > 1:
            return False
        if "M" in value:
            if not _have_one_type_each(value["M"].values()):
                return False
        elif "L" in value and not _have_one_type_each(value["L"]):
            return False
    return True


# --- a decoder beside botocore's parser --------------------------------------------

_SAMPLE: Final = (
    b'{"s":{"S":"\\u00e9\\n"},"n":{"N":"-1.50"},"b":{"B":"AP8="},"t":{"BOOL":false},'
    b'"z":{"NULL":true},"ss":{"SS":["b","a"]},"ns":{"NS":["2","1"]},'
    b'"bs":{"BS":["","QQ=="]},"m":{"M":{"l":{"L":[{"M":{}},{"L":[]}]}}}}'
)


def _sample_of(form: Form) -> bytes:
    """Return the body of an answer that has each member with a path."""
    members: list[bytes] = []
    for name, path in form:
        if not path:
            continue
        inner = _SAMPLE if path[-1] == "map" else b'[{"S":"a"},{"L":[]}]'
        for step in reversed(path[:-1]):
            if step == "list":
                inner = b"[%b,%b]" % (inner, inner)
            else:
                key = "a" if step == "map" else step
                inner = b'{"%b":%b}' % (key.encode(), inner)
        members.append(b'"%b":%b' % (name.encode(), inner))
    members.reverse()  # botocore puts them in the order of its model
    return b"{%b}" % b",".join(members)


def _agrees(decoder: AnswerDecoder, form: Form, shape: Shape) -> bool:
    """Return whether a decoder and botocore's parser make the same of a sample."""
    body = _sample_of(form)
    answer: dict[str, Any] = {"status_code": _OK, "headers": {}, "context": {}}
    parser = parsers.ResponseParserFactory().create_parser("json")
    made, left = decoder.parse(body)
    ours = parser.parse({**answer, "body": left}, shape)
    ours.update(made)
    # By its text, which shows the order and the types as well.
    return repr(ours) == repr(parser.parse({**answer, "body": body}, shape))


_decoders: Final[dict[Form, AnswerDecoder | None]] = {}
"""Decoders by their form: each client has a model of its own, of the same forms."""


def decoder_of(shape: Shape | None) -> AnswerDecoder | None:
    """Return the decoder for an operation's answers; None if botocore must parse them.

    shape: of the answers, as botocore has it.
    """
    form = form_of(shape)
    if not form or shape is None:
        return None
    if form not in _decoders:
        if len(_decoders) >= _MOST_DECODERS:
            _decoders.clear()
        _decoders[form] = None  # if something fails below
        decoder = AnswerDecoder(form)
        if _agrees(decoder, form, shape):
            _decoders[form] = decoder
    return _decoders.get(form)


# --- clients -----------------------------------------------------------------------


class _Parsing:
    """The classes by which botocore parses an answer."""

    endpoint = Endpoint
    factory = parsers.ResponseParserFactory
    parser = parsers.JSONParser


_parsing: Final = attrgetter(
    "endpoint._do_get_response",
    "factory.create_parser",
    *(
        f"parser.{name}"
        for name in (
            "__init__",
            "_default_blob_parser",
            "_default_handle",
            "_do_parse",
            "_handle_blob",
            "_handle_json_body",
            "_handle_list",
            "_handle_map",
            "_handle_structure",
            "_inject_response_metadata",
            "_parse_body_as_json",
            "_parse_shape",
            "parse",
        )
    ),
)
"""Returns what these classes parse with at this moment."""


def _is_of_botocore(function: object) -> bool:
    module = getattr(function, "__globals__", {}).get("__name__", "")
    return module in {"botocore.endpoint", "botocore.parsers"}


_PARSING_METHODS: Final = tuple(
    each if _is_of_botocore(each) else None for each in _parsing(_Parsing)
)


_PROTOCOLS: Final = {**parsers.PROTOCOL_PARSERS, "json": parsers.JSONParser}


class _Operation:
    """The answers of one operation of one client.

    decoder: None if botocore must parse them.
    refused: answers in a row that the decoder did not take.
    handlers: the last version of the client's handlers of which no other one parses.
    """

    __slots__ = ("decoder", "handlers", "refused")

    def __init__(self) -> None:
        self.decoder: AnswerDecoder | None = None
        self.handlers: object = None
        self.refused = 0


class _Made:
    """What was made of a body, until `after-call`.

    members: those that were made.
    emitter: of the client.
    version: of its handlers.
    """

    __slots__ = ("emitter", "members", "version")

    def __init__(
        self, members: Mapping[str, object], emitter: Emitter, version: object
    ) -> None:
        self.members, self.emitter, self.version = members, emitter, version

    def __reduce__(self) -> tuple[type, tuple[()]]:
        # A handler may copy or pickle the headers. A copy has nothing of this.
        return bool, ()


class AnswerParsing:
    """Parses the answers of one client. Kept by its traits.

    traits: of the client.
    """

    def __init__(self, traits: ClientTraits) -> None:
        self._traits: Final = traits
        self._operations: Final[dict[str, _Operation]] = {}

    def parse(
        self, model: OperationModel, response: ResponseDict, customized: dict[str, Any]
    ) -> None:
        """Parse an answer, or leave it to botocore. See `parse`."""
        operation = self._operations.get(model.name)
        if operation is None:
            operation = self._operations[model.name] = _Operation()
            operation.decoder = decoder_of(model.output_shape)
        decoder = operation.decoder
        traits = self._traits
        client = traits.client()
        if decoder is None or client is None or traits.emitter is None:
            return
        endpoint = endpoint_of(client)
        factory: Any = parser_factory_of(endpoint)
        # Whether botocore's own parser gets the answer; see `is_usual` in sending.py.
        if (
            type(endpoint) is not Endpoint  # type: ignore[comparison-overlap]  # it stands for that one
            or "_do_get_response" in vars(endpoint)
            or type(factory) is not parsers.ResponseParserFactory
            or "create_parser" in vars(factory)
            or parser_defaults_of(factory)
        ):
            return
        # First: a handler that is registered meanwhile outdates it.
        handlers = version_of_handlers(traits.emitter)
        if operation.handlers is not handlers:
            if traits.of(model.name).is_parsed_by_others:
                return
            operation.handlers = handlers
        body = response["body"]
        try:
            made, left = decoder.parse(body)
        except RefusedError:
            operation.refused += 1
            if operation.refused >= _MOST_REFUSED:
                operation.decoder = None  # of a server with a dialect of its own
            return
        operation.refused = 0
        if not made:
            return
        customized.update(made)
        response["body"] = left
        if len(body) >= _NOTED or "Responses" in made:
            self._note(model, response, made)

    def _note(
        self, model: OperationModel, response: ResponseDict, made: dict[str, Any]
    ) -> None:
        """Note what was made, for `after-call`, if nothing can change it until then."""
        traits, emitter = self._traits, self._traits.emitter
        if emitter is None or model.name not in _KEPT:
            return
        # First: a handler that is registered meanwhile outdates the note.
        version = version_of_handlers(emitter)
        if not traits.of(model.name).changes_answers and traits.is_sent_by_botocore():
            # With the headers, which are the only object that both events are given.
            with suppress(AttributeError):
                setattr(response["headers"], _MADE, _Made(made, emitter, version))


def parse(
    model: OperationModel, response: ResponseDict, customized: dict[str, Any]
) -> None:
    """Parse an answer in botocore's place, or change nothing.

    model: of the operation.
    response: what botocore will parse; gets another body.
    customized: what botocore will put into the parsed answer; gets the items.
    """
    body = response["body"]
    if (
        response["status_code"] != _OK
        or customized  # by another handler
        or type(body) is not bytes
        or len(body) < _WORTHWHILE
        or _parsing(_Parsing) != _PARSING_METHODS
        or parsers.PROTOCOL_PARSERS != _PROTOCOLS
        or parsers.LOG.isEnabledFor(DEBUG)  # it writes the body
    ):
        return
    traits = traits_of_model(model.service_model)
    if traits is None:
        return
    parsing = traits.parsing
    if not isinstance(parsing, AnswerParsing):
        parsing = traits.parsing = AnswerParsing(traits)
    parsing.parse(model, response, customized)


_KEPT: Final = frozenset({"GetItem", "BatchGetItem", "Query", "Scan"})
"""The operations whose answers become entries."""

_ENTRY_MEMBERS: Final = ("Item", "Items", "LastEvaluatedKey", "Responses")


def is_as_made(response: Response, parsed: Answer, length: int | None) -> bool:
    """Return whether the items of an answer are those that `parse` has made.

    response: the HTTP response.
    parsed: the answer, at the first handler of `after-call`.
    length: bytes of the answer on the wire, if they are known.
    """
    if length is not None and length < _NOTED and "Responses" not in parsed:
        return False
    made = getattr(response.headers, _MADE, None)
    if type(made) is not _Made or version_of_handlers(made.emitter) is not made.version:
        return False
    members = made.members
    return all(parsed.get(name) is members.get(name) for name in _ENTRY_MEMBERS)
