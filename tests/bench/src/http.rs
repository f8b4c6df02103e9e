//! HTTP/1.1 on one connection.

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Result;

/// Answers the requests of one connection, until it ends. One that breaks ends, too.
pub async fn serve<S, F>(stream: S, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    // A client that ends in the middle is a function that was ended.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The whole body.
pub async fn body(request: Request<Incoming>) -> Result<Bytes> {
    Ok(request.into_body().collect().await?.to_bytes())
}

/// An answer of this status, with this body.
pub fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}
