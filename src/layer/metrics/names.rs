//! Every metric: its name, its unit, its help. An API: a name changes only with a deprecation.
//!
//! Labels come from closed sets: protocols, configured upstream and model names (else `other`), and the
//! vocabulary of [`Error::error_type`](crate::Error::error_type). Never text of a client.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Client requests by outcome.
pub const REQUESTS: &str = "aiproxy_requests_total";
/// Time to the last byte of the answer.
pub const REQUEST_DURATION: &str = "aiproxy_request_duration_seconds";
/// Time to the first byte of the answer's body.
pub const TIME_TO_FIRST_BYTE: &str = "aiproxy_time_to_first_event_seconds";
/// Requests under way, each until its last byte.
pub const IN_FLIGHT: &str = "aiproxy_inflight_requests";
/// Attempts at upstreams.
pub const ATTEMPTS: &str = "aiproxy_upstream_attempts_total";
/// Time of an attempt to its commit point or failure.
pub const ATTEMPT_DURATION: &str = "aiproxy_upstream_ttft_seconds";
/// Requests that moved from one upstream to another.
pub const FAILOVERS: &str = "aiproxy_failovers_total";
/// Attempts at an upstream that has failed in the same request.
pub const RETRIES: &str = "aiproxy_retries_total";
/// Attempts that were not made, because the retry budget was empty.
pub const RETRY_BUDGET_EXHAUSTED: &str = "aiproxy_retry_budget_exhausted_total";
/// Requests that went on to another model.
pub const MODEL_FALLBACKS: &str = "aiproxy_model_fallbacks_total";
/// Tokens that upstreams reported, and estimates where they reported none or were cut off.
pub const TOKENS: &str = "aiproxy_tokens_total";
/// Tokens of attempts that failed, and of answers that nobody read to their end.
pub const WASTED_TOKENS: &str = "aiproxy_wasted_tokens_total";
/// State of a circuit of an upstream, or of one of its keys.
pub const BREAKER_STATE: &str = "aiproxy_breaker_state";
/// How long the longest rest still lasts that has one reason.
pub const COOLDOWN: &str = "aiproxy_cooldown_remaining_seconds";
/// Circuits that opened.
pub const BREAKER_TRANSITIONS: &str = "aiproxy_breaker_transitions_total";
/// What translation could not carry.
pub const TRANSLATION_LOSSES: &str = "aiproxy_translation_losses_total";
/// Files that were fetched for upstreams that do not fetch.
pub const MEDIA_FETCHES: &str = "aiproxy_media_fetches_total";
/// Streams that failed after they had begun, or whose client left.
pub const STREAM_ABORTS: &str = "aiproxy_stream_aborts_total";
/// Streams whose upstream said nothing for too long, by what was waited for.
pub const STREAM_STALLS: &str = "aiproxy_stream_stalls_total";
/// Signs of life to clients whose upstreams were silent.
pub const KEEP_ALIVES: &str = "aiproxy_keepalives_sent_total";
/// Texts that broke off in mid-stream, and whether another upstream went on with them.
pub const CONTINUATIONS: &str = "aiproxy_continuations_total";
/// Requests that were sent once more because their idle connection had been closed.
pub const STALE_CONNECTIONS: &str = "aiproxy_stale_connections_total";
/// Version of the running program.
pub const BUILD_INFO: &str = "aiproxy_build_info";
/// Log lines that could not be written.
pub const LOG_DROPPED: &str = "aiproxy_log_dropped_total";

/// Bucket bounds of the duration histograms, in seconds.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0, 600.0];

/// Tells the installed recorder the help texts.
pub fn describe() {
    describe_counter!(REQUESTS, "Client requests, by outcome");
    describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Time to the last byte of the answer");
    describe_histogram!(TIME_TO_FIRST_BYTE, Unit::Seconds, "Time to the first byte of the answer's body");
    describe_gauge!(IN_FLIGHT, "Requests under way, each until the last byte of its answer");
    describe_counter!(ATTEMPTS, "Attempts at upstreams, by error type");
    describe_histogram!(
        ATTEMPT_DURATION,
        Unit::Seconds,
        "Time of an attempt to its first content or failure"
    );
    describe_counter!(FAILOVERS, "Requests that moved on from one upstream to another");
    describe_counter!(RETRIES, "Attempts at an upstream that has failed in the same request");
    describe_counter!(RETRY_BUDGET_EXHAUSTED, "Attempts not made because the retry budget was empty");
    describe_counter!(MODEL_FALLBACKS, "Requests that went on from one model to another");
    describe_counter!(
        WASTED_TOKENS,
        "Tokens of failed attempts and of answers that were not read to their end"
    );
    describe_counter!(TOKENS, "Tokens by kind, as reported by upstreams or else estimated");
    describe_gauge!(BREAKER_STATE, "State of a circuit: 0 closed, 1 half-open, 2 open");
    describe_gauge!(COOLDOWN, Unit::Seconds, "How long the longest rest still lasts, by reason");
    describe_counter!(BREAKER_TRANSITIONS, "Circuits that opened, by reason");
    describe_counter!(TRANSLATION_LOSSES, "Fields that a translation dropped or approximated");
    describe_counter!(MEDIA_FETCHES, "Files fetched for upstreams that do not fetch, by outcome");
    describe_counter!(
        STREAM_ABORTS,
        "Streams that ended before their answer did, by the side that ended them"
    );
    describe_counter!(
        STREAM_STALLS,
        "Streams whose upstream said nothing for too long, by what was waited for"
    );
    describe_counter!(KEEP_ALIVES, "Signs of life to clients whose upstreams were silent");
    describe_counter!(CONTINUATIONS, "Texts that broke off, by whether another upstream went on with them");
    describe_counter!(
        STALE_CONNECTIONS,
        "Requests sent once more because their idle connection had been closed"
    );
    describe_gauge!(BUILD_INFO, "Always 1; the label tells the version");
    describe_counter!(LOG_DROPPED, "Log lines that could not be written");
}
