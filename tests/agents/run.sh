#!/usr/bin/env bash
# Has real agents complete a task through the gateway: Claude Code, Codex (with two kinds of models, which
# get different tools, and with compressed requests), Gemini CLI and opencode, each against every upstream
# protocol. A simulated provider plays the model (`sim-agent`, see src/simulator/mod.rs): it has the agent
# run two commands, one after the other, and quotes their output, and like the strictest models it refuses
# reasoning state that is missing or another's (`sim-strict`).
# An agent has passed if it quotes both, exits with 0 and had no request refused.
#
#   tests/agents/run.sh                    every agent against every upstream protocol
#   tests/agents/run.sh short              every agent against one, not its own
#   tests/agents/run.sh codex:openai ...   these
#
# Needs Node 20 or newer with npm. AIPROXY_BIN names the binary; without it one is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec </dev/null

agents=(claude codex codex-functions codex-zstd gemini opencode)
apis=(anthropic openai responses gemini)
runs=()
case "${1:-}" in
  "") for agent in "${agents[@]}"; do for api in "${apis[@]}"; do runs+=("$agent:$api"); done; done ;;
  short) runs=(claude:gemini codex:anthropic codex-functions:openai codex-zstd:gemini gemini:openai opencode:responses) ;;
  *) runs=("$@") ;;
esac

# The agents bring programs for this machine, which their install scripts put in place. The scripts of
# what they depend on would compile optional parts, and are not run. Not `npm ci`: it insists on the
# programs for all other machines, which not every registry has.
installed=$PWD/target/agents
if ! cmp -s tests/agents/package-lock.json "$installed/installed.json"; then
  rm -rf "$installed"
  mkdir -p "$installed"
  cp tests/agents/package.json tests/agents/package-lock.json "$installed"
  (
    cd "$installed"
    npm install --ignore-scripts --fetch-retries=5 --no-audit --no-fund --loglevel=error
    (cd node_modules/@anthropic-ai/claude-code && node install.cjs)
    (cd node_modules/opencode-ai && node postinstall.mjs)
  )
  cp tests/agents/package-lock.json "$installed/installed.json"
fi
bin=$installed/node_modules/.bin

if [ -z "${AIPROXY_BIN:-}" ]; then
  cargo build --quiet --bin aiproxy
  AIPROXY_BIN=target/debug/aiproxy
fi

# Everything is on this machine.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
key=sk-agents-test
work=$(mktemp -d)
children=()
stop() {
  kill "${children[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT

free_ports() {
  node -e '
    const held = Array.from({ length: +process.argv[1] }, () => require("net").createServer());
    Promise.all(held.map((s) => new Promise((done) => s.listen(0, "127.0.0.1", done)))).then(() => {
      console.log(held.map((s) => s.address().port).join(" "));
      held.forEach((s) => s.close());
    });' "$1"
}

# Waits until something answers at the URLs.
await() {
  node -e '
    const end = Date.now() + 20000;
    const up = (url) => fetch(url).catch((error) => {
      if (Date.now() > end) throw error;
      return new Promise((done) => setTimeout(done, 20)).then(() => up(url));
    });
    Promise.all(process.argv.slice(1).map(up)).then(() => process.exit(0));' "$@"
}

# How many requests a gateway has answered well, and how many otherwise.
answered() {
  node -e '
    fetch(process.argv[1] + "/metrics").then((answer) => answer.text()).then((text) => {
      let [well, otherwise] = [0, 0];
      for (const line of text.split("\n")) {
        if (!line.startsWith("aiproxy_requests_total{")) continue;
        const count = Number(line.slice(line.lastIndexOf(" ")));
        if (line.includes("outcome=\"ok\"")) well += count;
        else otherwise += count;
      }
      console.log(well, otherwise);
    });' "$1"
}

read -r simulator_port anthropic openai responses gemini < <(free_ports 5)
declare -A gateways=([anthropic]=$anthropic [openai]=$openai [responses]=$responses [gemini]=$gemini)
# Names that the gateway takes for what they look like.
declare -A models=([anthropic]=claude-sonnet-4-5 [openai]=gpt-5 [responses]=gpt-5 [gemini]=gemini-3-pro)
"$AIPROXY_BIN" simulate --listen "127.0.0.1:$simulator_port" >"$work/simulator.log" 2>&1 &
children+=($!)
urls=("http://127.0.0.1:$simulator_port/v1/models")
for api in "${apis[@]}"; do
  cat >"$work/$api.yaml" <<YAML
listen: 127.0.0.1:${gateways[$api]}
api-key: $key
upstreams:
  - name: $api
    api_type: $api
    base_url: http://127.0.0.1:$simulator_port
    available_models: [claude-sonnet-4-5, gpt-5.6-sol, gpt-5.5, gpt-5, gemini-2.5-pro]
    model_mappings:
      claude-sonnet-4-5: ${models[$api]}-sim-agent-sim-strict
      gpt-5.6-sol: ${models[$api]}-sim-agent-sim-strict
      gpt-5.5: ${models[$api]}-sim-agent-sim-strict
      gpt-5: ${models[$api]}-sim-agent-sim-strict
      gemini-2.5-pro: ${models[$api]}-sim-agent-sim-strict
YAML
  "$AIPROXY_BIN" --config "$work/$api.yaml" >"$work/$api.log" 2>&1 &
  children+=($!)
  urls+=("http://127.0.0.1:${gateways[$api]}/healthz")
done
await "${urls[@]}"

# shellcheck disable=SC2016 # The backticks are for the model.
task='Run `cat one.txt`, then `cat two.txt`, and tell me what they say.'

# The agents: each one gets a home of its own, a folder to work in, and the gateway's URL, and writes its
# last words to stdout.
claude() {
  alone ANTHROPIC_BASE_URL="$2" ANTHROPIC_AUTH_TOKEN="$key" ANTHROPIC_MODEL=claude-sonnet-4-5 \
    CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 \
    DISABLE_AUTOUPDATER=1 DISABLE_TELEMETRY=1 CLAUDE_CODE_MAX_RETRIES=0 \
    "$bin/claude" -p "$task" --allowedTools Bash
}

# To current models Codex offers one tool that runs scripts, to older ones many functions.
codex() {
  codex_with gpt-5.6-sol "$codex_key" "$@"
}

codex-functions() {
  codex_with gpt-5.5 "$codex_key" "$@"
}

# With an account, and a provider that is called OpenAI, Codex compresses its requests.
codex-zstd() {
  local claims='{"exp":4102444800,"https://api.openai.com/auth":{"chatgpt_plan_type":"pro","chatgpt_account_id":"a"}}'
  mkdir "$1/codex"
  cat >"$1/codex/auth.json" <<JSON
{
  "auth_mode": "chatgpt",
  "tokens": {
    "id_token": "$(base64url '{"alg":"none"}').$(base64url "$claims").$(base64url none)",
    "access_token": "$key",
    "refresh_token": "none",
    "account_id": "a"
  },
  "last_refresh": "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
}
JSON
  # Nor does it ask the account's own server, which is not on this machine.
  codex_with gpt-5.5 $'name = "OpenAI"\nrequires_openai_auth = true' "$@" \
    -c features.apps=false -c features.plugins=false -c 'chatgpt_base_url="http://127.0.0.1:9"'
}

base64url() {
  printf %s "$1" | base64 | tr -d '\n=' | tr '+/' '-_'
}

codex_key=$'name = "aiproxy"\nenv_key = "AIPROXY_KEY"'

codex_with() {
  local model=$1 identity=$2 home=$3 url=$4
  shift 4
  mkdir -p "$home/codex"
  cat >"$home/codex/config.toml" <<TOML
model = "$model"
model_provider = "aiproxy"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.aiproxy]
$identity
base_url = "$url/v1"
wire_api = "responses"
supports_websockets = false
request_max_retries = 0
stream_max_retries = 0
TOML
  alone CODEX_HOME="$home/codex" AIPROXY_KEY="$key" "$bin/codex" exec "$@" --skip-git-repo-check "$task"
}

gemini() {
  mkdir "$1/.gemini"
  cat >"$1/.gemini/settings.json" <<'JSON'
{
  "general": { "enableAutoUpdate": false, "enableAutoUpdateNotification": false },
  "privacy": { "usageStatisticsEnabled": false },
  "security": { "auth": { "selectedType": "gemini-api-key" } },
  "telemetry": { "enabled": false }
}
JSON
  alone GOOGLE_GEMINI_BASE_URL="$2" GEMINI_API_KEY="$key" GEMINI_CLI_TRUST_WORKSPACE=true \
    "$bin/gemini" -m gemini-2.5-pro --yolo -p "$task"
}

opencode() {
  cat >opencode.json <<JSON
{
  "autoupdate": false,
  "share": "disabled",
  "provider": {
    "aiproxy": {
      "npm": "@ai-sdk/openai-compatible",
      "options": { "baseURL": "$2/v1", "apiKey": "{env:AIPROXY_KEY}" },
      "models": { "gpt-5": {} }
    }
  },
  "model": "aiproxy/gpt-5"
}
JSON
  alone AIPROXY_KEY="$key" OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 \
    OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1 \
    "$bin/opencode" run "$task"
}

# Runs a program with these variables and no others of the caller's, and not for long.
alone() {
  env -i PATH="$PATH" LANG=C.UTF-8 TERM=dumb HOME="$PWD/.." TMPDIR="$work/tmp" \
    NO_PROXY="$NO_PROXY" no_proxy="$no_proxy" timeout -k 5 90 env "$@"
}
mkdir "$work/tmp"

passed=0
failed=0
printf '| agent | upstream | turns | seconds | ok |\n|---|---|---:|---:|---|\n'
for run in "${runs[@]}"; do
  agent=${run%:*} api=${run#*:}
  home=$work/$agent-$api
  url=http://127.0.0.1:${gateways[$api]}
  # Secrets that only the commands can tell.
  one=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n') two=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
  mkdir -p "$home/task"
  echo "$one" >"$home/task/one.txt"
  echo "$two" >"$home/task/two.txt"
  read -r well_before otherwise_before < <(answered "$url")
  start=$SECONDS
  code=0
  (cd "$home/task" && "$agent" "$home" "$url") >"$home/out.txt" 2>"$home/err.txt" || code=$?
  seconds=$((SECONDS - start))
  read -r well otherwise < <(answered "$url")
  turns=$((well - well_before)) refused=$((otherwise - otherwise_before))
  verdict=ok
  if [ "$code" -ne 0 ]; then
    verdict="exit $code"
  elif ! tr '\n' ' ' <"$home/out.txt" | grep -q "The tool said: .*$one.*The tool said: .*$two"; then
    verdict="not told"
  elif [ "$refused" -ne 0 ]; then
    verdict="$refused refused"
  fi
  printf '| %s | %s | %d | %d | %s |\n' "$agent" "$api" "$turns" "$seconds" "$verdict"
  if [ "$verdict" = ok ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    tail -n 20 "$home/out.txt" "$home/err.txt" "$work/$api.log" "$work/simulator.log" | cut -c1-2000 >&2
  fi
done

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
