//! One room per concern. Each layer works alone in front of any tower service.
//!
//! Outermost first, the order in which [`Gateway`](crate::Gateway) stacks them:
//!
//! | layer | concern |
//! |---|---|
//! | [`MetricsLayer`] | counts and times |
//! | [`RequestIdLayer`] | a name for each request |
//! | [`AccessLogLayer`] | one line per request |
//! | [`LingerLayer`] | early answers to clients that still write |
//! | [`RespondLayer`] | errors become answers in the client's protocol |
//! | [`HostCheckLayer`] | no web page of another site |
//! | [`RequireApiKeyLayer`] | known clients only |
//! | [`InFlightLimitLayer`] | requests under way |
//! | [`CollectLayer`] | the body, read once: `Request<B>` → `Request<Payload>` |
//! | [`KeepAliveLayer`] | signs of life for clients that wait |
//! | [`ContinuationLayer`] | goes on with answers that broke off |
//! | [`ModelFallbackLayer`] | asks for another model |
//! | [`failover::Failover`] | asks another upstream |
//! | [`balance::WeightedBalance`] | whose turn it is |
//! | [`ModelFilterLayer`] | which models an upstream serves |
//! | [`PrefillFilterLayer`] | which models go on with an answer |
//! | [`CircuitBreakerLayer`] | rest after failures |
//! | [`ModelMapLayer`] | the upstream's names of models |
//! | [`FetchMediaLayer`] | media by address, for upstreams that fetch none |
//! | [`TranslateLayer`] | protocols |
//! | [`UsageLayer`] | token counts |
//! | [`MustStreamLayer`] | streaming-only upstreams |
//! | [`CredentialsLayer`] | the upstream's key |
//! | [`ClassifyLayer`] | success or failure |
//! | [`StreamTimeoutLayer`] | clocks of one attempt |

pub mod access_log;
pub mod balance;
pub mod circuit_breaker;
pub mod classify;
pub mod collect;
pub mod continuation;
pub mod credentials;
pub mod failover;
#[cfg(feature = "client")]
pub mod fetch_media;
pub mod health;
pub mod host_check;
pub mod in_flight_limit;
pub mod inspect;
pub mod keep_alive;
pub mod linger;
pub mod metrics;
pub mod model_fallback;
pub mod model_filter;
pub mod model_map;
pub mod must_stream;
mod prompt_preview;
mod refusal;
pub mod request_id;
pub mod require_api_key;
pub mod respond;
pub mod stream_timeout;
mod tally;
pub mod trail;
pub mod translate;
pub mod usage;

pub use access_log::{AccessLog, AccessLogLayer};
pub use circuit_breaker::{CircuitBreaker, CircuitBreakerLayer};
pub use classify::{Classify, ClassifyLayer};
pub use collect::{Collect, CollectLayer};
pub use continuation::{Continuation, ContinuationLayer, PrefillFilter, PrefillFilterLayer};
pub use credentials::{Credentials, CredentialsLayer};
#[cfg(feature = "client")]
pub use fetch_media::{FetchMedia, FetchMediaLayer};
pub use health::BreakerPolicy;
pub use host_check::{HostCheck, HostCheckLayer};
pub use in_flight_limit::{InFlightLimit, InFlightLimitLayer};
pub use keep_alive::{KeepAlive, KeepAliveLayer};
pub use linger::{Linger, LingerLayer};
pub use metrics::{Metrics, MetricsLayer};
pub use model_fallback::{ModelFallback, ModelFallbackLayer};
pub use model_filter::{ModelFilter, ModelFilterLayer};
pub use model_map::{ModelMap, ModelMapLayer};
pub use must_stream::{MustStream, MustStreamLayer};
pub use request_id::{RequestIdLayer, SetRequestId};
pub use require_api_key::{RequireApiKey, RequireApiKeyLayer};
pub use respond::{Respond, RespondLayer};
pub use stream_timeout::{StreamTimeout, StreamTimeoutLayer};
pub use translate::{StateStore, Translate, TranslateLayer};
pub use usage::{Usage, UsageLayer};
