// Conversations of the official Node SDKs with a server: the cells of cells.json, which
// ../conversations.py holds with the SDKs for Python. Environment, arguments and rows are the same.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";

import Anthropic from "@anthropic-ai/sdk";
import { ApiError, GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

const CELLS = JSON.parse(readFileSync(new URL("../cells.json", import.meta.url)));
const { prompts: PROMPTS, tools: TOOLS, media: MEDIA, errors: ERRORS } = CELLS;
const KEY = process.env.AIPROXY_KEY || "sk-sdk-test";
const TIMEOUT = 20_000;

function version(name) {
  const lock = JSON.parse(readFileSync(new URL("package-lock.json", import.meta.url)));
  return lock.packages[`node_modules/${name}`].version;
}

// What the gateway left out of the last request.
let warnings = "";
const send = globalThis.fetch;
globalThis.fetch = async (...request) => {
  const answer = await send(...request);
  warnings = answer.headers.get("x-aiproxy-warnings") ?? "";
  return answer;
};

function has(text, ...parts) {
  for (const part of parts) {
    assert(text.includes(part), `${JSON.stringify(part)} is missing: ${JSON.stringify(text)}`);
  }
}

const isImage = (media) => media.type.startsWith("image/");
const dataUrl = (media) => `data:${media.type};base64,${media.data}`;

// A stream whose client has read the first text: `find` is asked for every event.
async function firstOf(events, find) {
  for await (const event of events) {
    if (find(event)) return;
  }
  assert.fail("no text came");
}

// One class per client protocol: how the SDK is asked. `ask` returns an answer with text, reasoning,
// calls (id, name, arguments), finish, usage (in, out) and turn (what goes into the next request); where
// they are asked for, with tokens (text, number of the most probable ones) and with the pages that a
// search found and the answer cites. `deltas` counts texts while they come.

class Messages {
  static label = "anthropic";
  static native = "anthropic";
  static package = "@anthropic-ai/sdk";
  family = "anthropic";
  stop = "end_turn";
  calls = "tool_use";
  error = Anthropic.APIError;
  deltas = 0;

  constructor(url) {
    this.client = new Anthropic({ baseURL: url, apiKey: KEY, maxRetries: 0, timeout: TIMEOUT });
  }

  user(text, media) {
    const content = [{ type: "text", text }];
    if (media) {
      const source = media.url
        ? { type: "url", url: media.url }
        : { type: "base64", media_type: media.type, data: media.data };
      content.push({ type: isImage(media) ? "image" : "document", source });
    }
    return [{ role: "user", content }];
  }

  results(calls) {
    const content = calls.map(([call, result]) => ({
      type: "tool_result",
      tool_use_id: call.id,
      content: result,
    }));
    return [{ role: "user", content }];
  }

  request(model, messages, { system, tools, reasoning, schema, search } = {}) {
    const request = { model, max_tokens: 8192, messages };
    if (search) request.tools = [{ type: "web_search_20250305", name: "web_search" }];
    if (system) request.system = system;
    if (tools) {
      request.tools = tools.map((t) => ({ name: t.name, description: t.about, input_schema: t.schema }));
    }
    if (reasoning) request.thinking = { type: "enabled", budget_tokens: 2048 };
    if (schema) request.output_config = { format: { type: "json_schema", schema } };
    return request;
  }

  async ask(stream, ...args) {
    const request = this.request(...args);
    let answer;
    if (stream) {
      const events = this.client.messages.stream(request);
      for await (const event of events) this.deltas += event.delta?.type === "text_delta" ? 1 : 0;
      answer = await events.finalMessage();
    } else {
      answer = await this.client.messages.create(request);
    }
    assert.deepEqual([answer.type, answer.role], ["message", "assistant"]);
    const blocks = (type) => answer.content.filter((block) => block.type === type);
    assert(blocks("thinking").every((block) => block.signature), "thinking without a signature");
    return {
      text: blocks("text").map((block) => block.text).join(""),
      reasoning: blocks("thinking").map((block) => block.thinking).join(""),
      calls: blocks("tool_use").map(({ id, name, input }) => ({ id, name, arguments: input })),
      finish: answer.stop_reason,
      usage: [answer.usage.input_tokens, answer.usage.output_tokens],
      turn: [{ role: "assistant", content: answer.content }],
      pages: blocks("web_search_tool_result").flatMap((block) => block.content.map((page) => page.url)),
      cited: blocks("text").flatMap((block) => (block.citations ?? []).map((cited) => cited.url)),
    };
  }

  async leave(...args) {
    const events = this.client.messages.stream(this.request(...args));
    await firstOf(events, (event) => event.delta?.type === "text_delta");
    events.abort();
  }

  told(error) {
    return [error.status, [error.error?.error?.type], error.headers?.get("retry-after")];
  }
}

class Open {
  static package = "openai";
  family = "openai";
  error = OpenAI.APIError;
  deltas = 0;

  constructor(url) {
    this.client = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY, maxRetries: 0, timeout: TIMEOUT });
  }

  told(error) {
    return [error.status, [error.code, error.type], error.headers?.get("retry-after")];
  }
}

class Chat extends Open {
  static label = "openai chat";
  static native = "openai";
  stop = "stop";
  calls = "tool_calls";

  user(text, media) {
    const content = [{ type: "text", text }];
    if (media && isImage(media)) {
      content.push({ type: "image_url", image_url: { url: dataUrl(media) } });
    } else if (media?.type.startsWith("audio/")) {
      content.push({ type: "input_audio", input_audio: { data: media.data, format: "wav" } });
    } else if (media) {
      content.push({ type: "file", file: { filename: media.name, file_data: dataUrl(media) } });
    }
    return [{ role: "user", content }];
  }

  results(calls) {
    return calls.map(([call, content]) => ({ role: "tool", tool_call_id: call.id, content }));
  }

  request(model, history, { system, tools, reasoning, schema, search, logprobs } = {}) {
    const messages = system ? [{ role: "system", content: system }, ...history] : history;
    const request = { model, messages };
    if (search) request.web_search_options = {};
    if (logprobs) Object.assign(request, { logprobs: true, top_logprobs: 2 });
    if (tools) {
      request.tools = tools.map((t) => ({
        type: "function",
        function: { name: t.name, description: t.about, parameters: t.schema, strict: true },
      }));
    }
    if (reasoning) request.reasoning_effort = "medium";
    if (schema) {
      const json_schema = { name: "trip", schema, strict: true };
      request.response_format = { type: "json_schema", json_schema };
    }
    return request;
  }

  async ask(stream, ...args) {
    const request = this.request(...args);
    let answer;
    let thought = "";
    if (stream) {
      request.stream_options = { include_usage: true };
      const chunks = this.client.chat.completions.stream(request);
      for await (const chunk of chunks) {
        this.deltas += chunk.choices[0]?.delta.content ? 1 : 0;
        // The helper does not know the field: of its texts it keeps the last.
        thought += chunk.choices[0]?.delta.reasoning_content ?? "";
      }
      answer = await chunks.finalChatCompletion();
    } else {
      answer = await this.client.chat.completions.create(request);
    }
    assert.equal(answer.choices.length, 1);
    const message = answer.choices[0].message;
    // What the stream helper parsed is not part of the protocol.
    const { parsed, ...turn } = message;
    turn.tool_calls = message.tool_calls?.map(({ id, type, function: f, ...more }) => {
      const { index, ...rest } = more;
      return { id, type, function: { name: f.name, arguments: f.arguments }, ...rest };
    });
    return {
      text: message.content ?? "",
      reasoning: stream ? thought : (message.reasoning_content ?? ""),
      calls: (message.tool_calls ?? []).map(({ id, function: f }) => ({
        id,
        name: f.name,
        arguments: JSON.parse(f.arguments),
      })),
      finish: answer.choices[0].finish_reason,
      usage: [answer.usage.prompt_tokens, answer.usage.completion_tokens],
      turn: [turn],
      tokens: tokens(answer.choices[0].logprobs?.content),
      // What was found and is not cited Chat does not tell.
      pages: null,
      cited: (message.annotations ?? []).map((cited) => cited.url_citation.url),
    };
  }

  async leave(...args) {
    const chunks = this.client.chat.completions.stream(this.request(...args));
    await firstOf(chunks, (chunk) => chunk.choices[0]?.delta.content);
    chunks.abort();
  }
}

class Responses extends Open {
  static label = "openai responses";
  static native = "responses";
  stop = "completed";
  calls = "completed";

  user(text, media) {
    const content = [{ type: "input_text", text }];
    if (media && isImage(media)) {
      content.push({ type: "input_image", detail: "auto", image_url: dataUrl(media) });
    } else if (media?.url) {
      content.push({ type: "input_file", file_url: media.url });
    } else if (media) {
      content.push({ type: "input_file", filename: media.name, file_data: dataUrl(media) });
    }
    return [{ role: "user", content }];
  }

  results(calls) {
    return calls.map(([call, output]) => ({ type: "function_call_output", call_id: call.id, output }));
  }

  request(model, input, { system, tools, reasoning, schema, search, logprobs } = {}) {
    const request = { model, input, store: false };
    if (search) {
      Object.assign(request, { tools: [{ type: "web_search" }], include: ["web_search_call.action.sources"] });
    }
    if (logprobs) Object.assign(request, { include: ["message.output_text.logprobs"], top_logprobs: 2 });
    if (system) request.instructions = system;
    if (tools) {
      request.tools = tools.map((t) => ({
        type: "function",
        name: t.name,
        description: t.about,
        parameters: t.schema,
        strict: true,
      }));
    }
    if (reasoning) {
      request.reasoning = { effort: "medium", summary: "auto" };
      request.include = ["reasoning.encrypted_content"];
    }
    if (schema) request.text = { format: { type: "json_schema", name: "trip", schema, strict: true } };
    return request;
  }

  async ask(stream, ...args) {
    const request = this.request(...args);
    let answer;
    if (stream) {
      const events = this.client.responses.stream(request);
      for await (const event of events) {
        this.deltas += event.type === "response.output_text.delta" ? 1 : 0;
      }
      answer = await events.finalResponse();
    } else {
      answer = await this.client.responses.create(request);
    }
    assert.equal(answer.object, "response");
    const items = (type) => answer.output.filter((item) => item.type === type);
    const texts = items("message").flatMap((item) => item.content);
    const searches = items("web_search_call");
    return {
      text: texts.map((part) => part.text).join(""),
      reasoning: items("reasoning").flatMap((item) => item.summary.map((part) => part.text)).join(""),
      calls: items("function_call").map((call) => ({
        id: call.call_id,
        name: call.name,
        arguments: JSON.parse(call.arguments),
      })),
      finish: answer.status,
      failure: answer.error,
      usage: [answer.usage?.input_tokens, answer.usage?.output_tokens],
      // What the stream helper parsed is not part of the protocol.
      turn: answer.output.map(({ parsed_arguments, ...item }) => item),
      tokens: texts.flatMap((part) => tokens(part.logprobs)),
      // Towards Chat, which tells of no search, the annotations are all there is.
      pages: searches.length ? searches.flatMap((call) => call.action.sources.map((page) => page.url)) : null,
      cited: texts.flatMap((part) => (part.annotations ?? []).map((cited) => cited.url)),
    };
  }

  async leave(...args) {
    const events = this.client.responses.stream(this.request(...args));
    await firstOf(events, (event) => event.type === "response.output_text.delta");
    events.abort();
  }
}

class Gemini {
  static label = "gemini";
  static native = "gemini";
  static package = "@google/genai";
  family = "gemini";
  stop = "STOP";
  calls = "STOP";
  error = ApiError;
  deltas = 0;

  constructor(url) {
    const httpOptions = { baseUrl: url, timeout: TIMEOUT };
    this.client = new GoogleGenAI({ apiKey: KEY, httpOptions });
  }

  user(text, media) {
    const parts = [{ text }];
    if (media?.url) parts.push({ fileData: { fileUri: media.url, mimeType: media.type } });
    else if (media) parts.push({ inlineData: { data: media.data, mimeType: media.type } });
    return [{ role: "user", parts }];
  }

  results(calls) {
    const parts = calls.map(([{ id, name }, output]) => ({
      functionResponse: { id, name, response: { output } },
    }));
    return [{ role: "user", parts }];
  }

  request(model, contents, { system, tools, reasoning, schema, search, logprobs } = {}) {
    const config = {};
    if (system) config.systemInstruction = system;
    if (tools) {
      const functionDeclarations = tools.map((t) => ({
        name: t.name,
        description: t.about,
        parametersJsonSchema: t.schema,
      }));
      config.tools = [{ functionDeclarations }];
    }
    if (search) config.tools = [{ googleSearch: {} }];
    if (logprobs) Object.assign(config, { responseLogprobs: true, logprobs: 2 });
    if (reasoning) config.thinkingConfig = { includeThoughts: true, thinkingLevel: "HIGH" };
    if (schema) Object.assign(config, { responseMimeType: "application/json", responseJsonSchema: schema });
    return { model, contents, config };
  }

  async ask(stream, ...args) {
    const request = this.request(...args);
    const models = this.client.models;
    const chunks = stream
      ? await models.generateContentStream(request)
      : [await models.generateContent(request)];
    const [parts, told] = [[], []];
    let finish, usage;
    let [pages, cited] = [[], []];
    for await (const chunk of chunks) {
      usage = chunk.usageMetadata ?? usage;
      for (const candidate of chunk.candidates ?? []) {
        finish = candidate.finishReason ?? finish;
        const { chosenCandidates = [], topCandidates = [] } = candidate.logprobsResult ?? {};
        told.push(...chosenCandidates.map(({ token }, n) => [token, topCandidates[n].candidates.length]));
        if (candidate.groundingMetadata) {
          const { groundingChunks, groundingSupports } = candidate.groundingMetadata;
          pages = groundingChunks.map((chunk) => chunk.web.uri);
          cited = groundingSupports.flatMap((support) => support.groundingChunkIndices.map((n) => pages[n]));
        }
        if (candidate.content) {
          assert.equal(candidate.content.role, "model");
          const got = candidate.content.parts ?? [];
          this.deltas += got.filter((part) => part.text && !part.thought).length;
          parts.push(...got);
        }
      }
    }
    assert(parts.length && finish && usage, "an answer without an end");
    const texts = (thought) => parts.filter((part) => part.text && !part.thought === !thought);
    return {
      text: texts(false).map((part) => part.text).join(""),
      reasoning: texts(true).map((part) => part.text).join(""),
      calls: parts
        .filter((part) => part.functionCall)
        .map(({ functionCall: { id, name, args } }) => ({ id, name, arguments: args })),
      finish,
      usage: [usage.promptTokenCount, usage.candidatesTokenCount],
      turn: [{ role: "model", parts }],
      tokens: told,
      pages,
      cited,
    };
  }

  async leave(...args) {
    const request = this.request(...args);
    const leaving = new AbortController();
    request.config.abortSignal = leaving.signal;
    await firstOf(await this.client.models.generateContentStream(request), (chunk) => chunk.text);
    leaving.abort();
  }

  // The message is the body, or holds it; where a stream was asked for, within a body of the SDK's.
  told(error) {
    const read = (text) => (text.includes("{") ? JSON.parse(text.slice(text.indexOf("{"))).error : null);
    const outer = read(error.message) ?? {};
    const body = read(outer.message ?? "") ?? outer;
    const delay = body.details?.find((detail) => detail.retryDelay)?.retryDelay;
    return [error.status, [body.status], delay?.replace(/s$/, "")];
  }
}

const CLIENTS = [Messages, Chat, Responses, Gemini];

function tokens(logprobs) {
  return (logprobs ?? []).map((token) => [token.token, token.top_logprobs.length]);
}

// What is said in the cells.
class Talk {
  constructor(client, model, upstream, streamed, cell, watch) {
    Object.assign(this, { client, model, upstream, streamed, cell, watch });
    client.deltas = 0;
  }

  async ask(history, options) {
    const answer = await this.client.ask(this.streamed, this.model, history, options);
    assert(answer.usage.every((count) => count > 0), `usage: ${answer.usage}`);
    return answer;
  }

  end(answer) {
    assert.deepEqual(answer.calls, []);
    assert.equal(answer.finish, this.client.stop);
    assert(!this.streamed || this.client.deltas > 1, `the text came in ${this.client.deltas} deltas`);
  }

  async text() {
    const answer = await this.ask(this.client.user(PROMPTS.hello), { system: PROMPTS.system });
    has(answer.text, `You said: ${PROMPTS.hello}`, `[system: ${PROMPTS.system}]`, "🦀");
    this.end(answer);
  }

  async useTools(history, tools, options = {}) {
    const all = { tools: TOOLS, ...options };
    const answer = await this.ask(history, all);
    const calls = answer.calls.map((call) => [call.name, call.arguments]);
    assert.deepEqual(calls, tools.map((tool) => [tool.name, tool.arguments]));
    assert.equal(answer.finish, this.client.calls);
    assert.equal(new Set(answer.calls.map((call) => call.id)).size, tools.length, "call ids are not unique");
    const results = this.client.results(answer.calls.map((call, n) => [call, tools[n].result]));
    const last = await this.ask([...history, ...answer.turn, ...results], all);
    has(last.text, ...tools.map((tool) => `The tool said: ${tool.result}`));
    this.end(last);
    return [answer, last];
  }

  async tool() {
    await this.useTools(this.client.user(PROMPTS.one), TOOLS.slice(0, 1));
  }

  async tools() {
    await this.useTools(this.client.user(PROMPTS.two), TOOLS);
  }

  async reasoning() {
    const history = this.client.user(PROMPTS.one);
    const answers = await this.useTools(history, TOOLS.slice(0, 1), { reasoning: true });
    // A client that has no word to ask for it is not shown what some upstreams think.
    const silent = (this.cell.silent[this.client.constructor.label] ?? []).includes(this.upstream);
    for (const answer of answers) {
      const shown = answer.reasoning.includes("The user said something");
      assert.equal(shown, !silent, `reasoning: ${JSON.stringify(answer.reasoning)}`);
    }
    // Chat Completions has no reasoning state.
    const came = answers[1].text.includes("[reasoning: 1]");
    assert.equal(came, this.upstream !== "openai", `reasoning state, second request: ${answers[1].text}`);
  }

  async media() {
    const media = MEDIA[this.cell.media];
    const answer = await this.ask(this.client.user(PROMPTS.look, media));
    has(answer.text, `You said: ${PROMPTS.look}`, `[${isImage(media) ? "images" : "documents"}: 1]`);
    if (media.data) {
      const data = Buffer.from(media.data, "base64");
      const digest = createHash("sha256").update(data).digest("hex").slice(0, 8);
      has(answer.text, `[inline: ${media.type} ${data.length} bytes ${digest}]`);
    }
    this.end(answer);
  }

  async structured() {
    const [tool] = TOOLS;
    const answer = await this.ask(this.client.user(PROMPTS.one), { schema: tool.schema });
    assert.deepEqual(JSON.parse(answer.text), tool.arguments);
    assert.equal(answer.finish, this.client.stop);
  }

  async logprobs() {
    const answer = await this.ask(this.client.user(PROMPTS.hello), { logprobs: true });
    const lost = (this.cell.warned[this.client.constructor.label] ?? []).includes(this.upstream);
    assert.equal(warnings, lost ? "drop:logprobs, drop:top_logprobs" : "");
    assert.equal(answer.tokens.map(([text]) => text).join(""), lost ? "" : answer.text);
    assert(answer.tokens.every(([, top]) => top === 2), `tokens: ${JSON.stringify(answer.tokens)}`);
    this.end(answer);
  }

  async search() {
    const history = this.client.user(PROMPTS.hello);
    const answer = await this.ask(history, { search: true });
    has(answer.text, `You said: ${PROMPTS.hello}`);
    const pages = CELLS.pages;
    assert.deepEqual(answer.cited, pages.slice(0, 1));
    // Of Chat nobody hears what was found and is not cited.
    const label = this.client.constructor.label;
    const found = this.upstream === "openai" ? pages.slice(0, 1) : pages;
    const none = label === "openai chat" || (label === "openai responses" && this.upstream === "openai");
    assert.deepEqual(answer.pages, none ? null : found);
    this.end(answer);
    // What the search left in the history is no trouble.
    this.client.deltas = 0;
    const turns = [...history, ...answer.turn, ...this.client.user(PROMPTS.look)];
    const last = await this.ask(turns, { search: true });
    has(last.text, `You said: ${PROMPTS.look}`);
    this.end(last);
  }

  async long() {
    const answer = await this.ask(this.client.user(PROMPTS.hello));
    const words = CELLS.long.words.split(" ");
    const expected = Array.from({ length: CELLS.long.events }, (_, n) => words[n % words.length]).join(" ");
    assert(answer.text.trimEnd() === expected, `${answer.text.length} characters, not ${expected.length}`);
    assert.equal(this.client.deltas, CELLS.long.events);
    this.end(answer);
  }

  async mustRaise() {
    const media = this.cell.media && MEDIA[this.cell.media];
    const more = this.cell.do === "search" ? { search: true } : {};
    let answer;
    try {
      answer = await this.client.ask(this.streamed, this.model, this.client.user(PROMPTS.look, media), more);
    } catch (error) {
      if (error instanceof this.client.error) return error;
      throw error;
    }
    // The Responses helper for Node returns failed responses, as they were told, instead of raising.
    if (answer.finish === "failed") return answer.failure;
    assert.fail(`no error, but ${JSON.stringify(answer.text)}`);
  }

  async mustTell(kind) {
    const expected = ERRORS[kind];
    const error = await this.mustRaise();
    const [status, codes, retryAfter] = this.client.told(error);
    assert.equal(status, expected.status);
    assert(codes.includes(expected[this.client.family]), `codes ${codes}: ${error}`);
    if (expected["retry-after"]) assert.equal(retryAfter, expected["retry-after"]);
  }

  error_before() {
    return this.mustTell("rate limit");
  }

  refused() {
    return this.mustTell("unsupported");
  }

  async error_after() {
    const error = await this.mustRaise();
    assert(this.client.deltas > 0, `nothing came before ${error}`);
    const [, codes] = this.client.told(error);
    assert(codes.includes(ERRORS["in the stream"][this.client.family]), `codes ${codes}: ${error}`);
  }

  async cancel() {
    const label = this.client.constructor.label.replace(" ", "-");
    this.model += `-node-${label}-${process.hrtime.bigint()}`;
    await this.client.leave(this.model, this.client.user(PROMPTS.hello));
    if (!this.watch) return;
    const query = new URLSearchParams({ model: this.model });
    const answer = await fetch(`${this.watch}/simulator/departures?${query}`);
    assert.deepEqual(await answer.json(), { departures: 1 }, "the upstream still sends");
  }
}

function* rows(url, watch, words) {
  const direct = url === watch;
  const short = words.includes("short");
  const wanted = words.filter((word) => word !== "short");
  for (const Kind of CLIENTS) {
    const client = new Kind(url);
    const label = `node ${Kind.label} ${version(Kind.package)}`;
    for (const [upstream, model] of Object.entries(CELLS.upstreams)) {
      if (direct && upstream !== Kind.native) continue;
      for (const cell of CELLS.cells) {
        if ((cell.clients && !cell.clients.includes(Kind.label)) || (direct && cell.gateway)) continue;
        if (cell.only && !cell.only.includes(upstream)) continue;
        const refused = cell.refused?.[Kind.label]?.includes(upstream) ?? false;
        const act = refused ? "refused" : cell.do.replace(" ", "_");
        const warned = cell.warned?.[Kind.label]?.includes(upstream) ?? false;
        const what = cell.what + (refused ? ", refused" : warned ? ", warned" : "");
        const chosen = (cell.models?.[upstream] ?? model) + (cell.model ?? "");
        for (const streamed of short ? cell.short : cell.streamed) {
          const row = `| ${label} | ${upstream} | ${what} | ${streamed ? "yes" : "no"} |`;
          if (!wanted.every((word) => row.includes(word))) continue;
          const talk = () => new Talk(client, chosen, upstream, streamed, cell, watch);
          yield [row, () => talk()[act]()];
        }
      }
    }
  }
}

const gateway = (process.env.AIPROXY_URL ?? "").replace(/\/$/, "");
const simulator = (process.env.SIMULATOR_URL ?? "").replace(/\/$/, "");
if (!gateway && !simulator) {
  console.error("set AIPROXY_URL, SIMULATOR_URL, or both");
  process.exit(2);
}
const failures = [];
console.log("| client | upstream | what | streamed | ok |\n| --- | --- | --- | --- | --- |");
for (const [row, talk] of rows(gateway || simulator, simulator, process.argv.slice(2))) {
  let result = "ok";
  try {
    await talk();
  } catch (error) {
    const first = String(error.message).split("\n").join(" ");
    result = `FAILED: ${error.constructor.name}: ${first.slice(0, 200)}`;
    failures.push([row, error]);
  }
  console.log(`${row} ${result} |`);
}
for (const [row, error] of failures) console.error(`\n--- ${row}\n`, error);
console.log(`\n${failures.length} failed`);
process.exit(failures.length ? 1 : 0);
