"""Conversations of the official SDKs with a server, as a matrix of clients and upstreams.

Environment:
  AIPROXY_URL    base URL of a gateway; every client talks to every model of AIPROXY_MODELS there
  AIPROXY_MODELS models to ask for, by commas (one per upstream protocol); this is the default:
                 sim-anthropic,sim-openai,sim-responses,sim-gemini
  AIPROXY_KEY    API key sent by every client (default: sk-sdk-test)
  SIMULATOR_URL  base URL of a simulator; every client talks to it directly

The upstreams must be simulators: what they say is checked. Prints one line per conversation and
exits with 1 if any of them failed.
"""

import json
import os
import socket
import sys
import time
import traceback
from urllib.parse import urlsplit

import anthropic
import openai
from google import genai
from google.genai import types

KEY = os.environ.get("AIPROXY_KEY", "sk-sdk-test")
MODELS = os.environ.get("AIPROXY_MODELS", "sim-anthropic,sim-openai,sim-responses,sim-gemini")
TIMEOUT = 20

SYSTEM = "Answer briefly."
HELLO = "hello from the matrix"
ONE = "What is the weather? city=Paris days=3"
TWO = "In parallel, the weather and the time, please. city=Paris days=3 zone=CET"
SUNNY = "sunny, 21 degrees"
NOON = "twelve o'clock"

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "A city"},
        "days": {"type": "integer", "description": "How many days"},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
CLOCK = {
    "type": "object",
    "properties": {"zone": {"type": "string", "enum": ["UTC", "CET"]}},
    "required": ["zone"],
    "additionalProperties": False,
}
TOOLS = [("get_weather", "The weather in a city", WEATHER), ("get_time", "The time", CLOCK)]
RESULTS = {"get_weather": SUNNY, "get_time": NOON}
EXPECTED = {"get_weather": {"city": "Paris", "days": 3}, "get_time": {"zone": "CET"}}


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_text(text):
    check(f"You said: {HELLO}" in text, f"the user's text is missing: {text!r}")
    check(f"[system: {SYSTEM}]" in text, f"the system prompt is missing: {text!r}")
    check("🦀" in text, f"the emoji is missing: {text!r}")


def check_calls(calls, names):
    """calls: list of (name, arguments as a dictionary)."""
    check([name for name, _ in calls] == names, f"calls: {calls!r}")
    for name, arguments in calls:
        check(arguments == EXPECTED[name], f"arguments of {name}: {arguments!r}")


def check_quotes(text, names):
    for name in names:
        check(f"The tool said: {RESULTS[name]}" in text, f"the result of {name} is missing: {text!r}")


def check_usage(given, received):
    check(given is not None and given > 0, f"input tokens: {given!r}")
    check(received is not None and received > 0, f"output tokens: {received!r}")


def check_deltas(count, stream):
    check(not stream or count > 1, f"the text came in {count} deltas")


class Anthropic:
    name = "anthropic"

    def __init__(self, url, model):
        self.client = anthropic.Anthropic(
            base_url=url, api_key=KEY, max_retries=0, timeout=TIMEOUT
        )
        self.model = model
        self.tools = [
            {"name": name, "description": about, "input_schema": schema}
            for name, about, schema in TOOLS
        ]

    def ask(self, stream, messages, **more):
        request = dict(model=self.model, max_tokens=1024, messages=messages, **more)
        if not stream:
            return self.client.messages.create(**request), 0
        deltas = 0
        with self.client.messages.stream(**request) as events:
            for event in events:
                deltas += event.type == "text"
            return events.get_final_message(), deltas

    def text(self, stream):
        messages = [{"role": "user", "content": HELLO}]
        answer, deltas = self.ask(stream, messages, system=SYSTEM)
        check_text("".join(block.text for block in answer.content if block.type == "text"))
        check(answer.stop_reason == "end_turn", f"stop_reason: {answer.stop_reason}")
        check(answer.role == "assistant" and answer.type == "message", "not a message")
        check_usage(answer.usage.input_tokens, answer.usage.output_tokens)
        check_deltas(deltas, stream)

    def tool(self, stream, prompt, names):
        messages = [{"role": "user", "content": prompt}]
        answer, _ = self.ask(stream, messages, tools=self.tools)
        calls = [block for block in answer.content if block.type == "tool_use"]
        check_calls([(call.name, call.input) for call in calls], names)
        check(answer.stop_reason == "tool_use", f"stop_reason: {answer.stop_reason}")
        check_usage(answer.usage.input_tokens, answer.usage.output_tokens)
        check(len({call.id for call in calls}) == len(calls), "call ids are not unique")
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": RESULTS[call.name]}
            for call in calls
        ]
        messages += [
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": results},
        ]
        answer, _ = self.ask(stream, messages, tools=self.tools)
        check_quotes("".join(block.text for block in answer.content if block.type == "text"), names)
        check(answer.stop_reason == "end_turn", f"stop_reason: {answer.stop_reason}")


class Chat:
    name = "openai chat"

    def __init__(self, url, model):
        self.client = openai.OpenAI(
            base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT
        )
        self.model = model
        self.tools = [
            {
                "type": "function",
                "function": {
                    "name": name, "description": about, "parameters": schema, "strict": True
                },
            }
            for name, about, schema in TOOLS
        ]

    def ask(self, stream, messages, **more):
        request = dict(model=self.model, messages=messages, **more)
        if not stream:
            return self.client.chat.completions.create(**request), 0
        deltas = 0
        request["stream_options"] = {"include_usage": True}
        with self.client.chat.completions.stream(**request) as events:
            for event in events:
                deltas += event.type == "content.delta"
            return events.get_final_completion(), deltas

    def text(self, stream):
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": HELLO},
        ]
        answer, deltas = self.ask(stream, messages)
        check(len(answer.choices) == 1, f"{len(answer.choices)} choices")
        check_text(answer.choices[0].message.content)
        finish = answer.choices[0].finish_reason
        check(finish == "stop", f"finish_reason: {finish}")
        check_usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        check_deltas(deltas, stream)

    def tool(self, stream, prompt, names):
        messages = [{"role": "user", "content": prompt}]
        answer, _ = self.ask(stream, messages, tools=self.tools)
        message = answer.choices[0].message
        calls = message.tool_calls or []
        check_calls([(c.function.name, json.loads(c.function.arguments)) for c in calls], names)
        finish = answer.choices[0].finish_reason
        check(finish == "tool_calls", f"finish_reason: {finish}")
        check_usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        check(len({call.id for call in calls}) == len(calls), "call ids are not unique")
        messages.append(
            {
                "role": "assistant",
                "content": message.content,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {
                            "name": call.function.name, "arguments": call.function.arguments
                        },
                    }
                    for call in calls
                ],
            }
        )
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": RESULTS[call.function.name]}
            for call in calls
        ]
        answer, _ = self.ask(stream, messages, tools=self.tools)
        check_quotes(answer.choices[0].message.content, names)
        finish = answer.choices[0].finish_reason
        check(finish == "stop", f"finish_reason: {finish}")


class Responses:
    name = "openai responses"

    def __init__(self, url, model):
        self.client = openai.OpenAI(
            base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT
        )
        self.model = model
        self.tools = [
            {
                "type": "function",
                "name": name, "description": about, "parameters": schema, "strict": True,
            }
            for name, about, schema in TOOLS
        ]

    def ask(self, stream, items, **more):
        request = dict(model=self.model, input=items, store=False, **more)
        if not stream:
            return self.client.responses.create(**request), 0
        deltas = 0
        with self.client.responses.stream(**request) as events:
            for event in events:
                deltas += event.type == "response.output_text.delta"
            return events.get_final_response(), deltas

    def text(self, stream):
        answer, deltas = self.ask(stream, HELLO, instructions=SYSTEM)
        check_text(answer.output_text)
        check(answer.status == "completed", f"status: {answer.status}")
        check(answer.object == "response", f"object: {answer.object}")
        check_usage(answer.usage.input_tokens, answer.usage.output_tokens)
        check_deltas(deltas, stream)

    def tool(self, stream, prompt, names):
        items = [{"role": "user", "content": prompt}]
        answer, _ = self.ask(stream, items, tools=self.tools)
        calls = [item for item in answer.output if item.type == "function_call"]
        check_calls([(call.name, json.loads(call.arguments)) for call in calls], names)
        check(answer.status == "completed", f"status: {answer.status}")
        check_usage(answer.usage.input_tokens, answer.usage.output_tokens)
        check(len({call.call_id for call in calls}) == len(calls), "call ids are not unique")
        # What the stream helper parsed is not part of the protocol.
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
        items += [
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": RESULTS[call.name],
            }
            for call in calls
        ]
        answer, _ = self.ask(stream, items, tools=self.tools)
        check_quotes(answer.output_text, names)
        check(answer.status == "completed", f"status: {answer.status}")


class Gemini:
    name = "gemini"

    def __init__(self, url, model):
        # The client reads these before the arguments.
        for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
            os.environ.pop(name, None)
        self.client = genai.Client(
            api_key=KEY, http_options=types.HttpOptions(base_url=url, timeout=TIMEOUT * 1000)
        )
        self.model = model
        self.tools = [
            {
                "function_declarations": [
                    {"name": name, "description": about, "parameters_json_schema": schema}
                    for name, about, schema in TOOLS
                ]
            }
        ]

    def ask(self, stream, contents, **more):
        config = types.GenerateContentConfig(
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **more
        )
        request = dict(model=self.model, contents=contents, config=config)
        if not stream:
            chunks = [self.client.models.generate_content(**request)]
        else:
            chunks = list(self.client.models.generate_content_stream(**request))
        parts, finish, usage = [], None, None
        for chunk in chunks:
            usage = chunk.usage_metadata or usage
            for candidate in chunk.candidates or []:
                finish = candidate.finish_reason or finish
                if candidate.content:
                    check(candidate.content.role == "model", f"role: {candidate.content.role}")
                    parts += candidate.content.parts or []
        return parts, finish, usage

    def text(self, stream):
        contents = [types.Content(role="user", parts=[types.Part(text=HELLO)])]
        parts, finish, usage = self.ask(stream, contents, system_instruction=SYSTEM)
        texts = [part.text for part in parts if part.text and not part.thought]
        check_text("".join(texts))
        check(finish == types.FinishReason.STOP, f"finish reason: {finish}")
        check_usage(usage.prompt_token_count, usage.candidates_token_count)
        check_deltas(len(texts), stream)

    def tool(self, stream, prompt, names):
        contents = [types.Content(role="user", parts=[types.Part(text=prompt)])]
        parts, finish, usage = self.ask(stream, contents, tools=self.tools)
        calls = [part.function_call for part in parts if part.function_call]
        check_calls([(call.name, call.args) for call in calls], names)
        check(finish == types.FinishReason.STOP, f"finish reason: {finish}")
        check_usage(usage.prompt_token_count, usage.candidates_token_count)
        contents += [
            types.Content(role="model", parts=parts),
            types.Content(
                role="user",
                parts=[
                    types.Part(
                        function_response=types.FunctionResponse(
                            id=call.id, name=call.name, response={"output": RESULTS[call.name]}
                        )
                    )
                    for call in calls
                ],
            ),
        ]
        parts, finish, _ = self.ask(stream, contents, tools=self.tools)
        check_quotes("".join(part.text or "" for part in parts if not part.thought), names)
        check(finish == types.FinishReason.STOP, f"finish reason: {finish}")


CLIENTS = [Anthropic, Chat, Responses, Gemini]

BOTH = ["get_weather", "get_time"]
SCENARIOS = [
    ("text", lambda client: client.text(False)),
    ("text, stream", lambda client: client.text(True)),
    ("tool", lambda client: client.tool(False, ONE, BOTH[:1])),
    ("tool, stream", lambda client: client.tool(True, ONE, BOTH[:1])),
    ("parallel tools", lambda client: client.tool(False, TWO, BOTH)),
    ("parallel tools, stream", lambda client: client.tool(True, TWO, BOTH)),
]


def wait_for(url):
    """Connects until somebody listens."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((parts.hostname, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            os.sched_yield()


def conversations():
    """(base URL, model, what the table calls the upstream)."""
    gateway = os.environ.get("AIPROXY_URL", "").rstrip("/")
    simulator = os.environ.get("SIMULATOR_URL", "").rstrip("/")
    if simulator:
        wait_for(simulator)
        yield simulator, "sim-model", "direct"
    if gateway:
        wait_for(gateway)
        for model in MODELS.split(","):
            yield gateway, model.strip(), model.strip()
    if not gateway and not simulator:
        sys.exit("set AIPROXY_URL, SIMULATOR_URL, or both")


def main():
    failures = []
    print("client | scenario | upstream | result")
    print("---|---|---|---")
    for url, model, upstream in conversations():
        for kind in CLIENTS:
            client = kind(url, model)
            for scenario, talk in SCENARIOS:
                try:
                    talk(client)
                    result = "ok"
                except Exception as error:
                    first = (str(error).splitlines() or [""])[0]
                    result = f"FAILED: {type(error).__name__}: {first[:160]}"
                    failures.append((kind.name, scenario, upstream, traceback.format_exc()))
                print(f"{kind.name} | {scenario} | {upstream} | {result}", flush=True)
    for client, scenario, upstream, trace in failures:
        print(f"\n--- {client}, {scenario}, {upstream}\n{trace}", file=sys.stderr)
    print(f"\n{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
