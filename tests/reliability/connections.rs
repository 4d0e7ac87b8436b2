//! The connections to upstreams: what one stream suffers, no other does.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::channel::{Channel, Sender};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::support::client::{Client, read_rest, read_until};
use crate::support::program::{Running, aiproxy, file, started};
use crate::support::talk::Talk;
use crate::support::{Protocol, native, soon, tls};

/// Begins each answer, and keeps the rest of it until it is told to go on.
#[derive(Clone, Default)]
struct Provider {
    versions: Arc<Mutex<Vec<Version>>>,
    begun: Arc<Mutex<Vec<Sender<Bytes>>>>,
}

impl Provider {
    /// A provider that speaks both versions of HTTP, and the program with it as its upstream.
    async fn start(name: &str, http2: bool) -> (Provider, Running, Client) {
        let provider = Provider::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, certificate) = tls::acceptor("localhost", &["h2", "http/1.1"]);
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serving) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                    let mut builder = auto::Builder::new(TokioExecutor::new());
                    // As providers do, only that there it takes a hundred to find out.
                    builder.http2().max_concurrent_streams(1);
                    let answer = service_fn(move |request| serving.clone().answer(request));
                    // Ends with the gateway.
                    let _ = builder.serve_connection(stream, answer).await;
                });
            }
        });
        let certificates = file(&format!("{name}.pem"), &certificate);
        let config = format!(
            "listen: 127.0.0.1:0\nupstreams:\n  - {{ name: only, api_type: openai, token: t, http2: {http2}, base_url: \"https://localhost:{port}/v1\" }}\n"
        );
        let config = file(&format!("{name}.yaml"), &config);
        let mut command = aiproxy(&["--config", config.to_str().unwrap()]);
        command.env("SSL_CERT_FILE", certificates);
        let (running, address, _) = started(command);
        (provider, running, Client::new(address))
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Channel<Bytes>>, Infallible> {
        self.versions.lock().unwrap().push(request.version());
        let (mut sender, body) = Channel::new(4);
        let frames = native::stream(Protocol::OpenAi);
        let (_, second_text) = native::text_at(Protocol::OpenAi);
        for frame in &frames[..second_text] {
            sender.send_data(Bytes::from(frame.clone())).await.unwrap();
        }
        self.begun.lock().unwrap().push(sender);
        Ok(Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
    }

    /// Ends the answer that began first.
    async fn end(&self) {
        let mut sender = self.begun.lock().unwrap().remove(0);
        let (_, second_text) = native::text_at(Protocol::OpenAi);
        for frame in &native::stream(Protocol::OpenAi)[second_text..] {
            sender.send_data(Bytes::from(frame.clone())).await.unwrap();
        }
    }
}

fn talk() -> Talk {
    Talk::new(native::model(Protocol::OpenAi), "Hi").stream(true)
}

#[tokio::test]
async fn a_stream_does_not_wait_for_another_to_end() {
    let (provider, _running, client) = Provider::start("streams_apart", false).await;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let response = soon("an answer", client.open(talk().request(Protocol::OpenAi))).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        soon("its first word", read_until(&mut body, &mut String::new(), "Hello")).await;
        bodies.push(body);
    }
    assert_eq!(*provider.versions.lock().unwrap(), [Version::HTTP_11; 3]);
}

#[tokio::test]
async fn an_upstream_may_choose_http2_where_somebody_wants_it() {
    let (provider, _running, client) = Provider::start("streams_together", true).await;
    for _ in 0..2 {
        let mut body = soon("an answer", client.open(talk().request(Protocol::Anthropic))).await.into_body();
        let mut text = String::new();
        soon("its first word", read_until(&mut body, &mut text, "Hello")).await;
        provider.end().await;
        soon("its end", read_rest(body, &mut text)).await;
        assert!(text.contains("message_stop"), "{text}");
    }
    assert_eq!(*provider.versions.lock().unwrap(), [Version::HTTP_2; 2]);
}
