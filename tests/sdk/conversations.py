"""Conversations of the official Python SDKs with a server: the cells of cells.json, which
node/conversations.mjs holds with the SDKs for Node.

Environment:
  SIMULATOR_URL  base URL of the simulator that plays the upstreams; it is asked whether it saw a
                 client leave, and without AIPROXY_URL each client talks to it directly
  AIPROXY_URL    base URL of a gateway; every client talks to every upstream there
  AIPROXY_KEY    API key sent by every client (default: sk-sdk-test)

Arguments: `short` for the representative part of the cells, and words that must be in a row of the
table for it to be run. Prints one row per conversation and exits with 1 if any of them failed.
"""

import base64
import hashlib
import json
import os
import socket
import sys
import time
import traceback
import urllib.parse
import urllib.request
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import anthropic
import openai
from google import genai
from google.genai import errors, types

CELLS = json.loads((Path(__file__).parent / "cells.json").read_text())
PROMPTS, TOOLS, MEDIA, ERRORS = (CELLS[name] for name in ("prompts", "tools", "media", "errors"))
KEY = os.environ.get("AIPROXY_KEY", "sk-sdk-test")
TIMEOUT = 20


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_has(text, *parts):
    for part in parts:
        check(part in text, f"{part!r} is missing: {text!r}")


class Client:
    """One client protocol: how the SDK is asked, and what of its answers is the same in all of them.

    `ask` returns an answer with text, reasoning, calls (id, name, arguments), finish, usage (in, out)
    and turn (what goes into the next request); where they are asked for, with tokens (text, number of
    the most probable ones) and with the pages that a search found and the answer cites. `deltas` counts
    texts while they come, `warnings` is what the gateway left out.
    """

    deltas = 0
    warnings = ""

    def hooks(self):
        """What an HTTP client calls with each response."""

        def note(response):
            self.warnings = response.headers.get("x-aiproxy-warnings", "")

        return {"response": [note]}


class Anthropic(Client):
    name, native, package, family = "anthropic", "anthropic", "anthropic", "anthropic"
    STOP, CALLS = "end_turn", "tool_use"
    ERROR = anthropic.APIError

    def __init__(self, url):
        http = anthropic.DefaultHttpxClient(event_hooks=self.hooks())
        self.client = anthropic.Anthropic(
            base_url=url, api_key=KEY, max_retries=0, timeout=TIMEOUT, http_client=http
        )

    def user(self, text, media=None):
        content = [{"type": "text", "text": text}]
        if media:
            source = {"type": "url", "url": media["url"]} if "url" in media else {
                "type": "base64", "media_type": media["type"], "data": media["data"]
            }
            kind = "image" if media["type"].startswith("image/") else "document"
            content.append({"type": kind, "source": source})
        return [{"role": "user", "content": content}]

    def results(self, calls):
        return [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call.id, "content": result} for call, result in calls
        ]}]

    def request(self, model, history, system=None, tools=(), reasoning=False, schema=None, search=False):
        request = dict(model=model, max_tokens=8192, messages=history)
        if search:
            request["tools"] = [{"type": "web_search_20250305", "name": "web_search"}]
        if system:
            request["system"] = system
        if tools:
            request["tools"] = [
                {"name": t["name"], "description": t["about"], "input_schema": t["schema"]} for t in tools
            ]
        if reasoning:
            request["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        if schema:
            request["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return request

    def ask(self, stream, *args, **more):
        request = self.request(*args, **more)
        if stream:
            with self.client.messages.stream(**request) as events:
                for event in events:
                    self.deltas += event.type == "text"
                answer = events.get_final_message()
        else:
            answer = self.client.messages.create(**request)
        check(answer.role == "assistant" and answer.type == "message", "not a message")
        blocks = lambda kind: [block for block in answer.content if block.type == kind]
        check(all(block.signature for block in blocks("thinking")), "thinking without a signature")
        return SimpleNamespace(
            text="".join(block.text for block in blocks("text")),
            reasoning="".join(block.thinking for block in blocks("thinking")),
            calls=[SimpleNamespace(id=b.id, name=b.name, arguments=b.input) for b in blocks("tool_use")],
            finish=answer.stop_reason,
            usage=(answer.usage.input_tokens, answer.usage.output_tokens),
            turn=[{"role": "assistant", "content": answer.content}],
            pages=[page.url for block in blocks("web_search_tool_result") for page in block.content],
            cited=[cited.url for block in blocks("text") for cited in block.citations or []],
        )

    def leave(self, *args):
        with self.client.messages.stream(**self.request(*args)) as events:
            next(event for event in events if event.type == "text")

    def told(self, error):
        status = getattr(error, "status_code", None)
        body = error.body if isinstance(error.body, dict) else {}
        headers = error.response.headers if status else {}
        return status, ((body.get("error") or {}).get("type"),), headers.get("retry-after")


class OpenAi(Client):
    package, family = "openai", "openai"
    ERROR = openai.APIError

    def __init__(self, url):
        http = openai.DefaultHttpxClient(event_hooks=self.hooks())
        self.client = openai.OpenAI(
            base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT, http_client=http
        )

    def told(self, error):
        response = getattr(error, "response", None)
        retry_after = response.headers.get("retry-after") if response is not None else None
        return getattr(error, "status_code", None), (error.code, error.type), retry_after


def data_url(media):
    return f"data:{media['type']};base64,{media['data']}"


class Chat(OpenAi):
    name, native = "openai chat", "openai"
    STOP, CALLS = "stop", "tool_calls"

    def user(self, text, media=None):
        content = [{"type": "text", "text": text}]
        if media and media["type"].startswith("image/"):
            content.append({"type": "image_url", "image_url": {"url": data_url(media)}})
        elif media and media["type"].startswith("audio/"):
            content.append({"type": "input_audio", "input_audio": {"data": media["data"], "format": "wav"}})
        elif media:
            file = {"filename": media["name"], "file_data": data_url(media)}
            content.append({"type": "file", "file": file})
        return [{"role": "user", "content": content}]

    def results(self, calls):
        return [{"role": "tool", "tool_call_id": call.id, "content": result} for call, result in calls]

    def request(
        self, model, history, system=None, tools=(), reasoning=False, schema=None, search=False, logprobs=False
    ):
        system = [{"role": "system", "content": system}] if system else []
        request = dict(model=model, messages=system + history)
        if search:
            request["web_search_options"] = {}
        if logprobs:
            request |= {"logprobs": True, "top_logprobs": 2}
        if tools:
            request["tools"] = [
                {"type": "function", "function": {
                    "name": t["name"], "description": t["about"], "parameters": t["schema"], "strict": True
                }} for t in tools
            ]
        if reasoning:
            request["reasoning_effort"] = "medium"
        if schema:
            request["response_format"] = {
                "type": "json_schema", "json_schema": {"name": "trip", "schema": schema, "strict": True}
            }
        return request

    def ask(self, stream, *args, **more):
        request = self.request(*args, **more)
        if stream:
            request["stream_options"] = {"include_usage": True}
            with self.client.chat.completions.stream(**request) as events:
                for event in events:
                    self.deltas += event.type == "content.delta" and event.delta != ""
                answer = events.get_final_completion()
        else:
            answer = self.client.chat.completions.create(**request)
        check(len(answer.choices) == 1, f"{len(answer.choices)} choices")
        message = answer.choices[0].message
        # What the stream helper parsed is not part of the protocol.
        turn = message.model_dump(exclude_none=True, exclude={"parsed"})
        for call in turn.get("tool_calls", []):
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        return SimpleNamespace(
            text=message.content or "",
            reasoning=turn.get("reasoning_content", ""),
            calls=[
                SimpleNamespace(id=c.id, name=c.function.name, arguments=json.loads(c.function.arguments))
                for c in message.tool_calls or []
            ],
            finish=answer.choices[0].finish_reason,
            usage=(answer.usage.prompt_tokens, answer.usage.completion_tokens),
            turn=[turn],
            tokens=tokens((answer.choices[0].logprobs and answer.choices[0].logprobs.content) or []),
            # What was found and is not cited Chat does not tell.
            pages=None,
            cited=[cited["url_citation"]["url"] for cited in turn.get("annotations", [])],
        )

    def leave(self, *args):
        with self.client.chat.completions.stream(**self.request(*args)) as events:
            next(event for event in events if event.type == "content.delta")


class Responses(OpenAi):
    name, native = "openai responses", "responses"
    STOP, CALLS = "completed", "completed"
    # The stream helper raises this where the last event is not a complete response.
    ERROR = (openai.APIError, RuntimeError)

    def user(self, text, media=None):
        content = [{"type": "input_text", "text": text}]
        if media and media["type"].startswith("image/"):
            content.append({"type": "input_image", "detail": "auto", "image_url": data_url(media)})
        elif media and "url" in media:
            content.append({"type": "input_file", "file_url": media["url"]})
        elif media:
            content.append(
                {"type": "input_file", "filename": media["name"], "file_data": data_url(media)}
            )
        return [{"role": "user", "content": content}]

    def results(self, calls):
        return [
            {"type": "function_call_output", "call_id": call.id, "output": result} for call, result in calls
        ]

    def request(
        self, model, history, system=None, tools=(), reasoning=False, schema=None, search=False, logprobs=False
    ):
        request = dict(model=model, input=history, store=False)
        if search:
            request |= {"tools": [{"type": "web_search"}], "include": ["web_search_call.action.sources"]}
        if logprobs:
            request |= {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
        if system:
            request["instructions"] = system
        if tools:
            request["tools"] = [
                {
                    "type": "function", "name": t["name"], "description": t["about"],
                    "parameters": t["schema"], "strict": True,
                } for t in tools
            ]
        if reasoning:
            request["reasoning"] = {"effort": "medium", "summary": "auto"}
            request["include"] = ["reasoning.encrypted_content"]
        if schema:
            request["text"] = {
                "format": {"type": "json_schema", "name": "trip", "schema": schema, "strict": True}
            }
        return request

    def ask(self, stream, *args, **more):
        request = self.request(*args, **more)
        if stream:
            with self.client.responses.stream(**request) as events:
                for event in events:
                    self.deltas += event.type == "response.output_text.delta"
                answer = events.get_final_response()
        else:
            answer = self.client.responses.create(**request)
        check(answer.object == "response", f"object: {answer.object}")
        items = lambda kind: [item for item in answer.output if item.type == kind]
        texts = [part for item in items("message") for part in item.content]
        searches = items("web_search_call")
        # What the stream helper parsed is not part of the protocol.
        exclude = {"parsed_arguments": True, "content": {"__all__": {"parsed"}}}
        return SimpleNamespace(
            text=answer.output_text,
            reasoning="".join(part.text for item in items("reasoning") for part in item.summary),
            calls=[
                SimpleNamespace(id=c.call_id, name=c.name, arguments=json.loads(c.arguments))
                for c in items("function_call")
            ],
            finish=answer.status,
            usage=(answer.usage.input_tokens, answer.usage.output_tokens),
            turn=[item.model_dump(exclude_none=True, exclude=exclude) for item in answer.output],
            tokens=[token for part in texts for token in tokens(part.logprobs or [])],
            # Towards Chat, which tells of no search, the annotations are all there is.
            pages=[page.url for search in searches for page in search.action.sources] if searches else None,
            cited=[cited.url for part in texts for cited in part.annotations],
        )

    def leave(self, *args):
        with self.client.responses.stream(**self.request(*args)) as events:
            next(event for event in events if event.type == "response.output_text.delta")


class Gemini(Client):
    name, native, package, family = "gemini", "gemini", "google-genai", "gemini"
    STOP, CALLS = types.FinishReason.STOP, types.FinishReason.STOP
    ERROR = errors.APIError

    def __init__(self, url):
        # The client reads these before the arguments.
        for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
            os.environ.pop(name, None)
        options = types.HttpOptions(
            base_url=url, timeout=TIMEOUT * 1000, client_args={"event_hooks": self.hooks()}
        )
        self.client = genai.Client(api_key=KEY, http_options=options)

    def user(self, text, media=None):
        parts = [types.Part(text=text)]
        if media and "url" in media:
            parts.append(types.Part.from_uri(file_uri=media["url"], mime_type=media["type"]))
        elif media:
            data = base64.b64decode(media["data"])
            parts.append(types.Part.from_bytes(data=data, mime_type=media["type"]))
        return [types.Content(role="user", parts=parts)]

    def results(self, calls):
        return [types.Content(role="user", parts=[
            types.Part(function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"output": result}
            )) for call, result in calls
        ])]

    def request(
        self, model, history, system=None, tools=(), reasoning=False, schema=None, search=False, logprobs=False
    ):
        config = types.GenerateContentConfig(
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            system_instruction=system,
        )
        if tools:
            config.tools = [types.Tool(function_declarations=[
                types.FunctionDeclaration(
                    name=t["name"], description=t["about"], parameters_json_schema=t["schema"]
                ) for t in tools
            ])]
        if search:
            config.tools = [types.Tool(google_search=types.GoogleSearch())]
        if logprobs:
            config.response_logprobs, config.logprobs = True, 2
        if reasoning:
            config.thinking_config = types.ThinkingConfig(
                include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH
            )
        if schema:
            config.response_mime_type = "application/json"
            config.response_json_schema = schema
        return dict(model=model, contents=history, config=config)

    def ask(self, stream, *args, **more):
        request = self.request(*args, **more)
        if stream:
            chunks = self.client.models.generate_content_stream(**request)
        else:
            chunks = [self.client.models.generate_content(**request)]
        parts, finish, usage, told, pages, cited = [], None, None, [], [], []
        for chunk in chunks:
            usage = chunk.usage_metadata or usage
            for candidate in chunk.candidates or []:
                finish = candidate.finish_reason or finish
                if logprobs := candidate.logprobs_result:
                    tops = [top.candidates or [] for top in logprobs.top_candidates]
                    told += [(one.token, len(top)) for one, top in zip(logprobs.chosen_candidates, tops)]
                if grounding := candidate.grounding_metadata:
                    pages = [chunk.web.uri for chunk in grounding.grounding_chunks]
                    supports = grounding.grounding_supports
                    cited = [pages[n] for support in supports for n in support.grounding_chunk_indices]
                if candidate.content:
                    check(candidate.content.role == "model", f"role: {candidate.content.role}")
                    got = candidate.content.parts or []
                    self.deltas += sum(1 for part in got if part.text and not part.thought)
                    parts += got
        check(parts and finish and usage, f"an answer without an end: {parts} {finish} {usage}")
        return SimpleNamespace(
            text="".join(part.text for part in parts if part.text and not part.thought),
            reasoning="".join(part.text for part in parts if part.text and part.thought),
            calls=[
                SimpleNamespace(id=p.function_call.id, name=p.function_call.name, arguments=p.function_call.args)
                for p in parts if p.function_call
            ],
            finish=finish,
            usage=(usage.prompt_token_count, usage.candidates_token_count),
            turn=[types.Content(role="model", parts=parts)],
            tokens=told,
            pages=pages,
            cited=cited,
        )

    def leave(self, *args):
        chunks = self.client.models.generate_content_stream(**self.request(*args))
        next(chunk for chunk in chunks if chunk.text)
        chunks.close()

    def told(self, error):
        details = (error.details or {}).get("error", {}).get("details", [])
        delays = [detail["retryDelay"] for detail in details if "retryDelay" in detail]
        return error.code, (error.status,), delays[0].rstrip("s") if delays else None


CLIENTS = [Anthropic, Chat, Responses, Gemini]


def tokens(logprobs):
    return [(token.token, len(token.top_logprobs)) for token in logprobs]


class Talk:
    """What is said in the cells."""

    def __init__(self, client, model, upstream, streamed, cell, watch):
        self.client, self.model, self.streamed = client, model, streamed
        self.upstream, self.cell, self.watch = upstream, cell, watch
        client.deltas = 0

    def ask(self, history, **more):
        answer = self.client.ask(self.streamed, self.model, history, **more)
        for count in answer.usage:
            check(count is not None and count > 0, f"usage: {answer.usage}")
        return answer

    def end(self, answer):
        check(not answer.calls, f"calls: {answer.calls!r}")
        check(answer.finish == self.client.STOP, f"finish: {answer.finish}")
        deltas = self.client.deltas
        check(not self.streamed or deltas > 1, f"the text came in {deltas} deltas")

    def text(self):
        answer = self.ask(self.client.user(PROMPTS["hello"]), system=PROMPTS["system"])
        check_has(answer.text, f"You said: {PROMPTS['hello']}", f"[system: {PROMPTS['system']}]", "🦀")
        self.end(answer)

    def use_tools(self, history, tools, **more):
        answer = self.ask(history, tools=TOOLS, **more)
        check([call.name for call in answer.calls] == [t["name"] for t in tools], f"calls: {answer.calls!r}")
        for call, tool in zip(answer.calls, tools):
            check(call.arguments == tool["arguments"], f"arguments of {call.name}: {call.arguments!r}")
        check(answer.finish == self.client.CALLS, f"finish: {answer.finish}")
        check(len({call.id for call in answer.calls}) == len(tools), "call ids are not unique")
        results = self.client.results([(c, t["result"]) for c, t in zip(answer.calls, tools)])
        last = self.ask(history + answer.turn + results, tools=TOOLS, **more)
        check_has(last.text, *(f"The tool said: {tool['result']}" for tool in tools))
        self.end(last)
        return answer, last

    def tool(self):
        self.use_tools(self.client.user(PROMPTS["one"]), TOOLS[:1])

    def tools(self):
        self.use_tools(self.client.user(PROMPTS["two"]), TOOLS)

    def reasoning(self):
        first, last = self.use_tools(self.client.user(PROMPTS["one"]), TOOLS[:1], reasoning=True)
        # A client that has no word to ask for it is not shown what some upstreams think.
        silent = self.upstream in self.cell["silent"].get(self.client.name, [])
        for answer in first, last:
            shown = "The user said something" in answer.reasoning
            check(shown != silent, f"reasoning: {answer.reasoning!r}")
        # Chat Completions has no reasoning state.
        came = "[reasoning: 1]" in last.text
        check(came == (self.upstream != "openai"), f"reasoning state, second request: {last.text!r}")

    def media(self):
        media = MEDIA[self.cell["media"]]
        answer = self.ask(self.client.user(PROMPTS["look"], media))
        kind = "images" if media["type"].startswith("image/") else "documents"
        check_has(answer.text, f"You said: {PROMPTS['look']}", f"[{kind}: 1]")
        if "data" in media:
            data = base64.b64decode(media["data"])
            digest = hashlib.sha256(data).hexdigest()[:8]
            check_has(answer.text, f"[inline: {media['type']} {len(data)} bytes {digest}]")
        self.end(answer)

    def structured(self):
        tool = TOOLS[0]
        answer = self.ask(self.client.user(PROMPTS["one"]), schema=tool["schema"])
        check(json.loads(answer.text) == tool["arguments"], f"document: {answer.text!r}")
        check(answer.finish == self.client.STOP, f"finish: {answer.finish}")

    def logprobs(self):
        answer = self.ask(self.client.user(PROMPTS["hello"]), logprobs=True)
        lost = self.upstream in self.cell["warned"].get(self.client.name, [])
        warned = "drop:logprobs, drop:top_logprobs" if lost else ""
        check(self.client.warnings == warned, f"warnings: {self.client.warnings!r}")
        texts, tops = "".join(text for text, _ in answer.tokens), {top for _, top in answer.tokens}
        check(texts == ("" if lost else answer.text), f"tokens: {texts!r}")
        check(tops == (set() if lost else {2}), f"most probable ones: {tops}")
        self.end(answer)

    def search(self):
        history = self.client.user(PROMPTS["hello"])
        answer = self.ask(history, search=True)
        check_has(answer.text, f"You said: {PROMPTS['hello']}")
        pages = CELLS["pages"]
        check(answer.cited == pages[:1], f"cited: {answer.cited}")
        # Of Chat nobody hears what was found and is not cited.
        found = pages[:1] if self.upstream == "openai" else pages
        none = self.client.name == "openai chat" or (self.client.name, self.upstream) == ("openai responses", "openai")
        check(answer.pages == (None if none else found), f"found: {answer.pages}")
        self.end(answer)
        # What the search left in the history is no trouble.
        self.client.deltas = 0
        last = self.ask(history + answer.turn + self.client.user(PROMPTS["look"]), search=True)
        check_has(last.text, f"You said: {PROMPTS['look']}")
        self.end(last)

    def long(self):
        answer = self.ask(self.client.user(PROMPTS["hello"]))
        count, words = CELLS["long"]["events"], CELLS["long"]["words"].split()
        expected = " ".join(words[n % len(words)] for n in range(count))
        check(answer.text.rstrip() == expected, f"{len(answer.text)} characters instead of {len(expected)}")
        check(self.client.deltas == count, f"{self.client.deltas} deltas")
        self.end(answer)

    def must_raise(self):
        media = MEDIA[self.cell["media"]] if "media" in self.cell else None
        more = {"search": True} if self.cell["do"] == "search" else {}
        try:
            answer = self.client.ask(self.streamed, self.model, self.client.user(PROMPTS["look"], media), **more)
        except self.client.ERROR as error:
            return error
        raise AssertionError(f"no error, but {answer.text!r}")

    def must_tell(self, kind):
        expected, error = ERRORS[kind], self.must_raise()
        status, codes, retry_after = self.client.told(error)
        check(status == expected["status"], f"status {status}: {error}")
        check(expected[self.client.family] in codes, f"codes {codes}: {error}")
        check("retry-after" not in expected or retry_after == expected["retry-after"], f"wait: {retry_after}")

    def error_before(self):
        self.must_tell("rate limit")

    def refused(self):
        self.must_tell("unsupported")

    def error_after(self):
        error = self.must_raise()
        check(self.client.deltas > 0, f"nothing came before {error!r}")
        if not isinstance(error, RuntimeError):
            codes = self.client.told(error)[1]
            check(ERRORS["in the stream"][self.client.family] in codes, f"codes {codes}: {error!r}")

    def cancel(self):
        self.model = f"{self.model}-python-{self.client.name.replace(' ', '-')}-{time.monotonic_ns()}"
        self.client.leave(self.model, self.client.user(PROMPTS["hello"]))
        if not self.watch:
            return
        query = urllib.parse.urlencode({"model": self.model})
        with urllib.request.urlopen(f"{self.watch}/simulator/departures?{query}", timeout=TIMEOUT) as answer:
            check(json.load(answer)["departures"] == 1, "the upstream still sends")


def rows(url, upstreams, watch, words):
    """(client, upstream, what, streamed, the conversation)"""
    direct = url == watch
    short = "short" in words
    words = [word for word in words if word != "short"]
    for kind in CLIENTS:
        client = kind(url)
        label = f"python {kind.name} {version(kind.package)}"
        for upstream, model in upstreams.items():
            if direct and upstream != kind.native:
                continue
            for cell in CELLS["cells"]:
                if kind.name not in cell.get("clients", [kind.name]) or direct and "gateway" in cell:
                    continue
                if upstream not in cell.get("only", [upstream]):
                    continue
                refused = upstream in cell.get("refused", {}).get(kind.name, [])
                do = "refused" if refused else cell["do"].replace(" ", "_")
                warned = upstream in cell.get("warned", {}).get(kind.name, [])
                what = cell["what"] + (", refused" if refused else ", warned" if warned else "")
                chosen = cell.get("models", {}).get(upstream, model) + cell.get("model", "")
                for streamed in cell["short" if short else "streamed"]:
                    row = f"| {label} | {upstream} | {what} | {'yes' if streamed else 'no'} |"
                    if all(word in row for word in words):
                        yield row, client, (chosen, upstream, streamed, cell, watch), do


def wait_for(url):
    """Connects until somebody listens."""
    parts = urllib.parse.urlsplit(url)
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


def main():
    gateway = os.environ.get("AIPROXY_URL", "").rstrip("/")
    simulator = os.environ.get("SIMULATOR_URL", "").rstrip("/")
    if not gateway and not simulator:
        sys.exit("set AIPROXY_URL, SIMULATOR_URL, or both")
    for url in filter(None, [simulator, gateway]):
        wait_for(url)
    failures = []
    print("| client | upstream | what | streamed | ok |\n| --- | --- | --- | --- | --- |")
    for row, client, talk, do in rows(gateway or simulator, CELLS["upstreams"], simulator, sys.argv[1:]):
        try:
            getattr(Talk(client, *talk), do)()
            result = "ok"
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            result = f"FAILED: {type(error).__name__}: {first[:200]}"
            failures.append((row, traceback.format_exc()))
        print(f"{row} {result} |", flush=True)
    for row, trace in failures:
        print(f"\n--- {row}\n{trace}", file=sys.stderr)
    print(f"\n{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
