//! What the shipped server serves: POST goes to the gateway at once, everything else to the router.
//!
//! All that a model is asked is a POST. The router would find that out too, and copy and box itself for
//! every request on the way (`benches/overhead.rs`, W1).

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body as PageBody;
use axum::routing::future::RouteFuture;
use futures_util::FutureExt as _;
use futures_util::future::CatchUnwind;
use http::{Method, Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::Service;

use super::router::panicked;
use crate::gateway::{Gateway, ResponseBody};

type GatewayFuture = <Gateway as Service<Request<Incoming>>>::Future;

/// See the module.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) gateway: Gateway,
    pub(super) pages: Router,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Either<ResponseBody, PageBody>>;
    type Error = Infallible;
    type Future = FrontFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The router is always ready.
        <Gateway as Service<Request<Incoming>>>::poll_ready(&mut self.gateway, cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> FrontFuture {
        if request.method() != Method::POST {
            return FrontFuture::Page { future: self.pages.call(request) };
        }
        // A bug in one request is that request's failure only. Nothing that could be left half done is
        // used again: the service is this request's own copy, and what copies share stays valid.
        match catch_unwind(AssertUnwindSafe(|| self.gateway.call(request))) {
            Ok(future) => FrontFuture::Gateway { future: AssertUnwindSafe(future).catch_unwind() },
            Err(_) => FrontFuture::Panicked,
        }
    }
}

pin_project! {
    /// Response future of [`Front`].
    #[project = FrontFutureProj]
    pub(super) enum FrontFuture {
        Gateway { #[pin] future: CatchUnwind<AssertUnwindSafe<GatewayFuture>> },
        Page { #[pin] future: RouteFuture<Infallible> },
        Panicked,
    }
}

impl Future for FrontFuture {
    type Output = Result<Response<Either<ResponseBody, PageBody>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let page = |response: Response<PageBody>| response.map(Either::Right);
        match self.project() {
            FrontFutureProj::Gateway { future } => future.poll(cx).map(|outcome| match outcome {
                Ok(Ok(response)) => Ok(response.map(Either::Left)),
                Err(_) => Ok(page(panicked())),
            }),
            FrontFutureProj::Page { future } => future.poll(cx).map(|outcome| outcome.map(page)),
            FrontFutureProj::Panicked => Poll::Ready(Ok(page(panicked()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::rt::TokioIo;
    use hyper_util::service::TowerToHyperService;
    use tower::layer::layer_fn;
    use tower::service_fn;

    use super::*;
    use crate::body::Body;
    use crate::error::Error;
    use crate::gateway::UpstreamSpec;
    use crate::payload::Payload;
    use crate::server::{Pages, router};
    use crate::upstream::ApiType;

    #[tokio::test]
    async fn a_bug_in_one_request_is_that_requests_failure_only() {
        let buggy = layer_fn(|_| {
            service_fn(|request: Request<Payload>| async move {
                assert_ne!(request.body().model(), "bug", "the bug");
                Ok::<_, Error>(Response::new(Body::empty()))
            })
        });
        let spec = UpstreamSpec::new("main", ApiType::OpenAi, "http://127.0.0.1:9".parse().unwrap());
        let gateway = Gateway::builder().upstream(spec).layer(buggy).build().unwrap();
        let front = Front { gateway: gateway.clone(), pages: router(gateway, Pages::default()) };
        let (client, server) = tokio::io::duplex(1 << 16);
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(server), TowerToHyperService::new(front)),
        );
        let (mut client, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        for (model, want) in [
            ("bug", StatusCode::INTERNAL_SERVER_ERROR),
            ("fine", StatusCode::OK),
            ("bug", StatusCode::INTERNAL_SERVER_ERROR),
        ] {
            let body = Full::new(Bytes::from(format!(r#"{{"model":"{model}"}}"#)));
            let request = Request::post("/v1/messages").header("host", "gateway").body(body).unwrap();
            let answer = client.send_request(request).await.unwrap();
            assert_eq!(answer.status(), want, "{model}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.is_empty(), want == StatusCode::OK);
            client.ready().await.unwrap();
        }
        let page = Request::get("/healthz").header("host", "gateway").body(Full::default()).unwrap();
        assert_eq!(client.send_request(page).await.unwrap().status(), StatusCode::OK);
    }
}
