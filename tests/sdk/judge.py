"""Judges translations by the types that the official SDKs publish: the providers' own word on what a
request, an answer and an event may hold. types.sh has the translations written and calls this.

  judge.py FOLDER [all]

The folder is laid out as tests/support/translations.rs says. Everything in it must be what the types say:
no member that they do not know, none missing that they require, no value outside of its list, no number
for a string. What the client or the provider wrote is judged by the same rule first; a translation of
something that is at odds with the types already is counted apart.

Prints a table and one example of each kind of finding, with `all` of those in what was written before,
too, and exits with 1 if a translation is invalid.
"""

import json
import logging
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import List, Optional, get_args

import anthropic
import httpx2
import openai
from anthropic.types import ErrorResponse, Message, RawMessageStreamEvent, message_create_params
from google import genai
from google.genai import types as google
from openai.types import ErrorObject
from openai.types.chat import ChatCompletion, ChatCompletionChunk, completion_create_params
from openai.types.responses import Response, ResponseStreamEvent, response_create_params
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, ValidationError
from typing_extensions import TypedDict

# The SDK for Anthropic has none of these any more; its API takes them for the models that the capability
# table sends them to.
SAMPLING = {"temperature": "float", "top_p": "float", "top_k": "int"}
# How servers that speak Chat tell reasoning, and where Google's has its signatures: no SDK types them.
REASONING = {"reasoning_content": "str", "reasoning_details": "list", "extra_content": "dict"}

# Members that are meant although the types do not have them, by the name of the type.
FURTHER = {
    "MessageCreateParamsNonStreaming": SAMPLING,
    "MessageCreateParamsStreaming": SAMPLING,
    "ChatCompletionMessage": REASONING,
    # A whole message has `annotations`; in streams OpenRouter sends them like this.
    "ChoiceDelta": REASONING | {"annotations": "list"},
    "ChatCompletionMessageFunctionToolCall": {"extra_content": "dict"},
    "ChoiceDeltaToolCall": {"extra_content": "dict"},
    # Towards Gemini models, which refuse a call without its signature.
    "ChatCompletionMessageFunctionToolCallParam": {"extra_content": "dict"},
    # OpenAI sends these: `bytes` in streams, too, where the types of deltas lack it.
    "Response": {"store": "bool"},
    "Logprob": {"bytes": "list"},
    "LogprobTopLogprob": {"bytes": "list"},
    # SDKs before version 3 require it.
    "ResponseFunctionCallArgumentsDoneEvent": {"name": "str"},
}
# Members that may be missing although the types require them.
OPTIONAL = {
    # Ids are the provider's to give, and it takes its own messages back without them.
    "ResponseOutputMessageParam": {"id", "status"},
}
# Events that the SDKs read and do not type, with their members.
EVENTS = {("anthropic", "ping"): {"type"}, ("responses", "keepalive"): {"type", "sequence_number"}}


# The SDKs read answers leniently and leave requests to type checkers; this takes them at their word.

for package in (anthropic, openai):
    # A sequence that is no string: in JSON, a list.
    package._types.SequenceNotStr.__get_pydantic_core_schema__ = classmethod(
        lambda cls, source, handler: handler.generate_schema(List[get_args(source)[0]])
    )


def strict(schema):
    """The same pydantic schema without its leniency: no further members, no further values, and
    iterables are looked into."""
    if isinstance(schema, (list, tuple)):
        return type(schema)(map(strict, schema))
    if not isinstance(schema, dict):
        return schema
    schema = {key: value if key in ("metadata", "serialization") else strict(value) for key, value in schema.items()}
    match schema.get("type"):
        case "typed-dict":
            allow(schema, schema["cls"].__name__, lambda of: {"type": "typed-dict-field", "schema": of, "required": False})
        case "model-fields":
            allow(schema, schema["model_name"], lambda of: {
                "type": "model-field", "schema": {"type": "default", "schema": of, "default": None}
            })
        case "generator":
            schema["type"] = "list"
        case "enum":
            # Those of Gemini make a member of any string.
            return {"type": "literal", "expected": [member.value for member in schema["members"]]}
    return schema


def allow(schema, name, field):
    schema["extra_behavior"] = "forbid"
    for member, kind in FURTHER.get(name, {}).items():
        schema["fields"].setdefault(member, field({"type": kind}))
    for member in OPTIONAL.get(name, ()):
        schema["fields"][member]["required"] = False


class Type:
    """Something that the SDKs have a type for."""

    def __init__(self, of):
        # In a list, because a model that stands alone hands out a schema that it has not built yet.
        self.validator = SchemaValidator(strict(TypeAdapter(List[of]).core_schema), {"strict": True})

    def findings(self, document):
        """What is wrong: kind, place, and a description."""
        try:
            self.validator.validate_json(json.dumps([document]))
            return []
        except ValidationError as error:
            return list(shorten(error.errors(include_url=False, include_context=False)))


def shorten(errors):
    """A union tells what is wrong with each of its members. This keeps what is wrong with the one that was
    meant: the one with this `type` or `role`, and that gets farthest."""
    tags = [error for error in errors if error["type"] == "literal_error" and error["loc"][-1] in ("type", "role")]
    others = {error["loc"][:-1] for error in tags}
    meant = [
        error for error in errors
        if not any(error["loc"][:end] in others for end in range(1, len(error["loc"]) + 1))
    ] or [max(tags, key=lambda error: len(error["loc"]))]
    depth = max(len(error["loc"]) for error in meant)
    for error in meant:
        if len(error["loc"]) == depth:
            # Indexes and the names of types say nothing about the kind of the finding.
            where = ".".join(part for part in error["loc"] if isinstance(part, str) and re.fullmatch(r"[a-z]\w*", part))
            value = json.dumps(error["input"], ensure_ascii=False, default=str)
            yield error["type"], where, f"{error['msg']}: {value[:160]}"


class OpenAiError(TypedDict):
    """The SDK types what is inside."""

    error: ErrorObject


class GeminiConfig(google.GenerateContentConfig):
    """What the SDK for Gemini is asked, without what stands for something else in Python."""

    system_instruction: Optional[google.Content] = None
    tools: Optional[List[google.Tool]] = None
    response_schema: Optional[google.Schema] = None
    speech_config: Optional[google.SpeechConfig] = None


class Written(Exception):
    """Ends a request of the SDK as soon as its body is there."""


class GeminiRequest:
    """The SDK for Gemini types what it is asked and not the body that it makes of it. So what a body asks
    must fit the types, and the SDK must make the same body of it."""

    def __init__(self):
        http = httpx2.Client(transport=httpx2.MockTransport(self.receive))
        self.client = genai.Client(api_key="none", http_options=google.HttpOptions(httpx_client=http))
        self.contents, self.config = Type(List[google.Content]), Type(GeminiConfig)

    def receive(self, request):
        raise Written(request.content)

    def findings(self, body):
        contents = body.get("contents") or []
        config = {key: value for key, value in body.items() if key not in ("contents", "generationConfig")}
        config |= body.get("generationConfig") or {}
        if found := self.contents.findings(contents) + self.config.findings(config):
            return found
        try:
            self.client.models.generate_content(
                model="m",
                contents=[google.Content.model_validate(content) for content in contents],
                config=GeminiConfig.model_validate(config),
            )
        except Written as written:
            theirs = json.loads(written.args[0])
            return list(differences("", normal({"generationConfig": {}} | body), normal(theirs)))
        except ValueError as refused:
            return [("the_sdk_refuses", str(refused).split()[0], str(refused))]


def normal(value, key=""):
    """Spellings that Gemini does not tell apart: keys in camel or snake case, both alphabets of base64, null
    for nothing."""
    match value:
        case list():
            return [normal(item, key) for item in value]
        case dict():
            keys = {key: re.sub("_([a-z])", lambda found: found[1].upper(), key) for key in value}
            return {keys[key]: normal(item, keys[key]) for key, item in value.items() if item is not None}
        case str() if key in ("data", "thoughtSignature"):
            return value.replace("-", "+").replace("_", "/").rstrip("=")
    return value


def differences(where, ours, theirs):
    match ours, theirs:
        case dict(), dict():
            for key in ours.keys() | theirs.keys():
                yield from differences(f"{where}.{key}", ours.get(key), theirs.get(key))
        case list(), list() if len(ours) == len(theirs):
            for pair in zip(ours, theirs):
                yield from differences(where, *pair)
        case _ if ours != theirs:
            yield "not_as_the_sdk_writes_it", where, f"{json.dumps(ours)[:160]} for {json.dumps(theirs)[:160]}"


@cache
def type_of(protocol, part):
    match protocol, part:
        case "gemini", "request":
            return GeminiRequest()
        # The SDK for Gemini has no type for errors.
        case "gemini", "error":
            return None
    return Type({
        ("anthropic", "request"): message_create_params.MessageCreateParamsNonStreaming,
        ("anthropic", "streaming request"): message_create_params.MessageCreateParamsStreaming,
        ("anthropic", "answer"): Message,
        ("anthropic", "event"): RawMessageStreamEvent,
        ("anthropic", "error"): ErrorResponse,
        ("openai", "request"): completion_create_params.CompletionCreateParamsNonStreaming,
        ("openai", "streaming request"): completion_create_params.CompletionCreateParamsStreaming,
        ("openai", "answer"): ChatCompletion,
        ("openai", "event"): ChatCompletionChunk,
        ("openai", "error"): OpenAiError,
        ("responses", "request"): response_create_params.ResponseCreateParamsNonStreaming,
        ("responses", "streaming request"): response_create_params.ResponseCreateParamsStreaming,
        ("responses", "answer"): Response,
        ("responses", "event"): ResponseStreamEvent,
        ("responses", "error"): OpenAiError,
        ("gemini", "answer"): google.GenerateContentResponse,
        ("gemini", "event"): google.GenerateContentResponse,
    }[protocol, part])


def judge(protocol, part, text):
    """The findings about one file."""
    if part == "stream":
        return [finding for event in events(text) for finding in judge_part(protocol, "event", event)]
    return judge_part(protocol, part, json.loads(text))


def events(stream):
    for event in re.split(r"\r\n\r\n|\n\n", stream):
        lines = [line[5:].removeprefix(" ") for line in event.splitlines() if line.startswith("data:")]
        if lines and lines != ["[DONE]"]:
            yield json.loads("\n".join(lines))


def judge_part(protocol, part, body):
    if part == "request" and body.get("stream"):
        part = "streaming request"
    if part == "event" and EVENTS.get((protocol, body.get("type"))) == body.keys():
        return []
    if part in ("event", "error") and "error" in body:
        part = "error"
    known = type_of(protocol, part)
    return known.findings(body) if known else []


PARTS = {"request.json": "request", "answer.json": "answer", "answer.sse": "stream", "error.json": "error"}


def files(folder):
    for path in sorted(folder.glob("*/*")):
        name, suffix = re.fullmatch(r"(.*?)\.(\w+\.\w+)", path.name.replace(".folded", "")).groups()
        pair, part = path.parent.name, PARTS[suffix]
        if part != "error" or type_of(pair.split("-to-")[-1], part):
            yield pair, name, part, path


class Findings:
    """How often each kind was found, and where first."""

    def __init__(self):
        self.counts, self.firsts = Counter(), {}

    def add(self, pair, part, path, found):
        for kind, where, what in found:
            key = (pair.split("-to-")[-1], part, kind, where)
            self.counts[key] += 1
            self.firsts.setdefault(key, f"{pair}/{path.name}: {what}")

    def print(self, title):
        if self.counts:
            print(f"\n{title}")
        for key, count in sorted(self.counts.items()):
            print(f"- {' '.join(key)}: {count}, first in {self.firsts[key]}")


def main(folder, tell_all=False):
    logging.disable()
    at_odds, before, explained, new = set(), Findings(), Findings(), Findings()
    table = Counter()
    for protocol, name, part, path in files(folder / "recorded"):
        found = judge(protocol, part, path.read_text())
        before.add(protocol, part, path, found)
        if found:
            at_odds.add((protocol, name, part == "request"))
    for pair, name, part, path in files(folder / "translated"):
        found = judge(pair.split("-to-")[1], part, path.read_text())
        is_explained = (pair.split("-to-")[0], name, part == "request") in at_odds
        (explained if is_explained else new).add(pair, part, path, found)
        table[part, pair, "explained" if found and is_explained else "invalid" if found else "valid"] += 1
    if tell_all:
        before.print("In what clients and providers wrote:")
    explained.print("In translations of what is at odds with the types already:")
    new.print("In other translations:")
    print("\n| what | from → to | count | valid | at odds before | invalid |\n| --- | --- | --- | --- | --- | --- |")
    for part, pair in sorted({row[:2] for row in table}):
        counts = [table[part, pair, verdict] for verdict in ("valid", "explained", "invalid")]
        print("|", " | ".join(map(str, [part, pair.replace("-to-", " → "), sum(counts), *counts])), "|")
    invalid = sum(count for row, count in table.items() if row[2] == "invalid")
    # An empty folder must not look like success.
    print(f"\n{table.total()} translations, {invalid} invalid")
    return invalid > 0 or not table


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), tell_all="all" in sys.argv[2:]))
